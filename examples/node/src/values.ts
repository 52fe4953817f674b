/**
 * `Value` is JSON text, in which integers may have 64 bits. A number of JavaScript is exact up to 2^53, so `JSON.parse`
 * would change larger ones without a word. Here they become a `bigint`, and a `bigint` is written as an integer.
 */
import { parse, stringify } from "lossless-json";

import type { Value } from "./gen/flowstate/v1/types.js";

export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json };

/** Numbers with a fraction or an exponent are a `number`, integers too unless they are beyond 2^53. */
export function fromValue(value: Value | undefined): Json | undefined {
  return value?.encoding === undefined ? undefined : (parse(value.encoding.value, null, readNumber) as Json);
}

/** JavaScript writes 1.0 as `1`; a float field of a schema takes that. NaN and Infinity are refused here. */
export function toValue(value: Json): Value {
  const text = stringify(value, finite);
  if (text === undefined) {
    throw new TypeError("this has no JSON form");
  }
  return { encoding: { $case: "json", value: text } };
}

function readNumber(text: string): number | bigint {
  const number = Number(text);
  return Number.isSafeInteger(number) || /[.eE]/.test(text) ? number : BigInt(text);
}

function finite(_key: string, value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new TypeError(`${value} has no JSON form`);
  }
  return value;
}

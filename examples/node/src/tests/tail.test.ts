import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, test } from "node:test";

import type { FlowState } from "../client.js";
import { EndReason } from "../gen/flowstate/v1/types.js";
import { tail, type TailOptions } from "../tail.js";
import { toValue } from "../values.js";
import { watch } from "../watch.js";
import { connected, FaultProxy, session } from "./server.js";

const ada = connected();
after(() => ada.close());

const WORDS = 40;
const TEXT = Array.from({ length: WORDS }, (_, number) => `word-${number} `).join("");

async function speaking(flowstate: FlowState, sessionId = ""): Promise<string> {
  const spec = { flowKind: "probe", action: "speak", userId: "ada", sessionId, requestId: randomUUID() };
  const input = toValue({ words: WORDS, pause: 0.02 });
  await flowstate.flows.dispatchAction({ spec: { ...spec, input } });
  return spec.requestId;
}

/** What a run says, with what is done to the way at the given word. */
async function heard(
  flowstate: FlowState,
  requestId: string,
  options: TailOptions & { atWord?: () => Promise<void> | void },
): Promise<{ text: string; types: string[]; sequences: bigint[] }> {
  let [text, done] = ["", false];
  const [types, sequences]: [string[], bigint[]] = [[], []];
  for await (const told of tail(flowstate, { $case: "requestId", value: requestId }, options)) {
    assert.equal(told.kind, "event");
    if (told.kind !== "event") continue;
    types.push(told.event.type);
    sequences.push(told.cursor.sequence);
    const payload = told.event.payload;
    if (payload?.$case !== "itemDelta" || payload.value.delta?.$case !== "text") continue;
    text += payload.value.delta.value;
    if (!done && text.includes("word-3 ")) {
      done = true;
      await options.atWord?.();
    }
  }
  return { text, types, sequences };
}

function inOrder(sequences: bigint[]): void {
  assert.deepEqual(sequences, [...new Set(sequences)].sort((a, b) => Number(a - b)));
}

describe("tails and watches", { concurrency: true }, () => {
  test("a tail goes on behind a cut of the connection, with nothing twice and nothing missing", async (context) => {
    const proxy = await FaultProxy.open("tcp");
    const shaky = connected({}, proxy.target);
    context.after(() => (shaky.close(), proxy.close()));
    let outages = 0;
    const { text, types, sequences } = await heard(shaky, await speaking(shaky), {
      atWord: () => proxy.do("cut"),
      onOutage: () => outages++,
    });
    assert.equal(text, TEXT);
    assert.equal(types.at(-1), "request.completed");
    inOrder(sequences);
    assert.ok(outages >= 1);
  });

  test("OK without `ended` is no end", async (context) => {
    const proxy = await FaultProxy.open("grpc");
    const shaky = connected({}, proxy.target);
    context.after(() => (shaky.close(), proxy.close()));
    await proxy.do("end_streams_after 3");
    const outages: unknown[] = [];
    const { text, types, sequences } = await heard(shaky, await speaking(ada), {
      onOutage: (error) => outages.push(String(error)),
    });
    assert.equal(text, TEXT);
    assert.equal(types.at(-1), "request.completed");
    inOrder(sequences);
    assert.deepEqual(outages, ["Error: the stream was closed before its end"]);
  });

  test("a connection that is silent for three heartbeats is given up", async (context) => {
    const proxy = await FaultProxy.open("tcp");
    const shaky = connected({}, proxy.target);
    context.after(() => (shaky.close(), proxy.close()));
    const sessionId = await session(ada);
    await speaking(ada, sessionId);
    const stop = new AbortController();
    context.after(() => stop.abort());
    const seen: string[] = [];
    const began = Date.now();
    const options = { heartbeat: 5, signal: stop.signal, onOutage: () => proxy.do("heal") };
    for await (const told of tail(shaky, { $case: "sessionId", value: sessionId }, options)) {
      if (told.kind !== "event") continue;
      if (seen.length === 0) await proxy.do("stall");
      seen.push(told.event.type);
      if (told.event.type === "request.completed") break;
    }
    assert.ok(Date.now() - began >= 15_000);
    assert.deepEqual([seen[0], seen.at(-1)], ["request.created", "request.completed"]);
  });

  test("a tail begins behind a cursor", async () => {
    const requestId = await speaking(ada);
    const whole = await heard(ada, requestId, {});
    const cursors = [];
    for await (const told of tail(ada, { $case: "requestId", value: requestId })) cursors.push(told.cursor);
    const rest = await heard(ada, requestId, { after: cursors[4]! });
    assert.deepEqual(rest.types, whole.types.slice(5));
  });

  test("a tail that is left, or stopped, is over on the server too", async (context) => {
    const proxy = await FaultProxy.open("grpc");
    const through = connected({}, proxy.target);
    context.after(() => (through.close(), proxy.close()));
    const sessionId = await session(ada);
    const log = { $case: "sessionId", value: sessionId } as const;
    await speaking(ada, sessionId);
    for await (const _ of tail(through, log)) {
      assert.equal(await proxy.count("open"), 1);
      break;
    }
    while ((await proxy.count("open")) > 0);

    const stop = new AbortController();
    const stopped = (async () => {
      for await (const _ of tail(through, log, { signal: stop.signal })) stop.abort();
    })();
    await assert.rejects(stopped, { name: "AbortError" });
    while ((await proxy.count("open")) > 0);
  });

  test("a watch tells what the flow shows, through a cut, until the session is deleted", async (context) => {
    const proxy = await FaultProxy.open("tcp");
    const shaky = connected({}, proxy.target);
    context.after(() => (shaky.close(), proxy.close()));
    const sessionId = await session(ada);
    const counts: unknown[] = [];
    for await (const shown of watch(shaky, sessionId)) {
      counts.push(shown.session["count"]);
      if (counts.length === 1) await proxy.do("cut");
      if (counts.length === 2) await speaking(ada, sessionId);
      if (shown.session["count"] === 1) await ada.sessions.deleteSession({ sessionId });
    }
    assert.deepEqual(counts, [0, 0, 1]);
  });

  test("a session's tail ends when the session is deleted", async () => {
    const sessionId = await session(ada);
    const frames = ada.events.tailEvents({ log: { $case: "sessionId", value: sessionId } });
    let reason: EndReason | undefined;
    for await (const { frame } of frames) {
      if (frame?.$case === "caughtUp") await ada.sessions.deleteSession({ sessionId });
      if (frame?.$case === "ended") reason = frame.value.reason;
    }
    assert.equal(reason, EndReason.DELETED);
  });
});

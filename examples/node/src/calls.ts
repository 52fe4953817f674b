/** Calls by name, typed by the service definitions that ts-proto generates. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { type Client, type Metadata, type ServiceError } from "@grpc/grpc-js";

import { ApiError } from "./errors.js";
import type { DeepPartial, MessageFns } from "./gen/flowstate/v1/types.js";

export interface CallOptions {
  signal?: AbortSignal;
  /** Milliseconds for the call and all its repeats. Streams have no limit. */
  timeout?: number;
}

/** `getSnapshot(request)` gives a promise, `watchSnapshot(request)` an async iterable, and so on. */
export type Service<D extends Definition> = {
  readonly [M in keyof D["methods"]]: D["methods"][M] extends Unary<infer I, infer O>
    ? (request: DeepPartial<I>, options?: CallOptions) => Promise<O>
    : D["methods"][M] extends Streaming<infer I, infer O>
      ? (request: DeepPartial<I>, options?: CallOptions) => AsyncGenerator<O, void>
      : never;
};

/** Where calls go: streams have a connection of their own, or many of them would block the calls beside them. */
export interface Connection {
  readonly calls: Client;
  readonly streams: Client;
  /** Asked before every attempt, so that it may bring a fresh token. */
  metadata(): Promise<Metadata>;
}

interface Method<I, O> {
  readonly name: string;
  readonly requestType: Pick<MessageFns<I>, "encode" | "fromPartial">;
  readonly responseType: Pick<MessageFns<O>, "decode">;
  readonly options: { readonly idempotencyLevel?: "NO_SIDE_EFFECTS" | "IDEMPOTENT" };
}
type Unary<I, O> = Method<I, O> & { readonly responseStream: false };
type Streaming<I, O> = Method<I, O> & { readonly responseStream: true };
type AnyMethod = Method<any, any> & { readonly responseStream: boolean };
interface Definition {
  readonly fullName: string;
  readonly methods: Readonly<Record<string, AnyMethod>>;
}

const DEFAULT_TIMEOUT = 30_000;

export function service<D extends Definition>(definition: D, connection: Connection): Service<D> {
  const methods = Object.entries(definition.methods).map(([name, method]) => {
    const call = new Call(connection, `/${definition.fullName}/${method.name}`, method);
    return [name, method.responseStream ? call.stream.bind(call) : call.unary.bind(call)];
  });
  return Object.fromEntries(methods) as Service<D>;
}

/** Milliseconds to pause after so many failures in a row: growing, and never the same for two callers. */
export function backoff(failures: number): number {
  return (0.5 + Math.random() / 2) * Math.min(10_000, 100 * 1.6 ** failures);
}

class Call {
  constructor(
    private readonly connection: Connection,
    private readonly path: string,
    private readonly method: AnyMethod,
  ) {}

  async unary(partial: object, { signal, timeout = DEFAULT_TIMEOUT }: CallOptions = {}): Promise<unknown> {
    const request = this.method.requestType.fromPartial(partial);
    const deadline = Date.now() + timeout;
    for (let failures = 0; ; failures++) {
      try {
        return await this.attempt(request, deadline, signal);
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof ApiError && error.passing && this.repeatable(request))) throw error;
        const pause = Math.max(backoff(failures), error.retryAfter ?? 0);
        if (Date.now() + pause >= deadline) throw error;
        await sleep(pause, undefined, { signal });
      }
    }
  }

  /** Leaving the loop over it ends the call on the server too. */
  async *stream(partial: object, { signal }: CallOptions = {}): AsyncGenerator<unknown, void> {
    signal?.throwIfAborted();
    const [metadata, correlationId] = await this.metadata();
    const request = this.method.requestType.fromPartial(partial);
    const { streams } = this.connection;
    const call = streams.makeServerStreamRequest(this.path, this.encode, this.decode, request, metadata);
    const cancel = () => call.cancel();
    signal?.addEventListener("abort", cancel);
    call.on("error", () => {}); // the loop below sees it; one that comes after the loop concerns nobody
    try {
      yield* call;
    } catch (error) {
      signal?.throwIfAborted();
      throw new ApiError(this.path, error as ServiceError, correlationId);
    } finally {
      signal?.removeEventListener("abort", cancel);
      call.cancel();
    }
  }

  private async attempt(request: unknown, deadline: number, signal?: AbortSignal): Promise<unknown> {
    signal?.throwIfAborted();
    const [metadata, correlationId] = await this.metadata();
    return new Promise((resolve, reject) => {
      const answered = (error: ServiceError | null, response: unknown) => {
        signal?.removeEventListener("abort", cancel);
        if (error === null) resolve(response);
        else reject(new ApiError(this.path, error, correlationId));
      };
      const { calls } = this.connection;
      const { path, encode, decode } = this;
      const call = calls.makeUnaryRequest(path, encode, decode, request, metadata, { deadline }, answered);
      const cancel = () => call.cancel();
      signal?.addEventListener("abort", cancel);
    });
  }

  /** The contract says which methods are; of the others the message must carry an id or a key. */
  private repeatable(request: { idempotencyKey?: string; spec?: { requestId: string } }): boolean {
    return Boolean(this.method.options.idempotencyLevel ?? (request.idempotencyKey || request.spec?.requestId));
  }

  private async metadata(): Promise<[Metadata, string]> {
    const metadata = await this.connection.metadata();
    const correlationId = randomUUID();
    metadata.set("x-correlation-id", correlationId);
    return [metadata, correlationId];
  }

  private readonly encode = (message: unknown) => Buffer.from(this.method.requestType.encode(message).finish());
  private readonly decode = (bytes: Buffer) => this.method.responseType.decode(bytes);
}

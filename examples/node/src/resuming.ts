/** A stream of the server as one that goes on by itself, over lost connections and servers that go away. */
import { setTimeout as sleep } from "node:timers/promises";

import { backoff } from "./calls.js";
import { ApiError } from "./errors.js";
import type { Duration } from "./gen/google/protobuf/duration.js";

export interface ResumingOptions {
  /** Ends the stream; the loop over it raises the reason of the signal. */
  signal?: AbortSignal;
  /** Told whenever the stream broke and is about to be opened anew; of an end without an error too. */
  onOutage?: (error: unknown) => void;
}

/** The parts of a frame that tails and watches have in common. */
interface Frame {
  frame?: { $case: string; value: object };
}

const DEFAULT_HEARTBEAT = 15_000;
const SILENT_HEARTBEATS = 3;
const HEALTHY_AFTER = 10_000;

/**
 * The frames of one call after the other, until one says `ended`. A call is over for us when it fails in passing, when
 * it ends with OK but without `ended` (a proxy did that), and when nothing came for three heartbeats (it is frozen).
 *
 * @param open Makes the next call, from where the last frame left off.
 */
export async function* resuming<F extends Frame>(
  open: (signal: AbortSignal) => AsyncIterable<F>,
  { signal, onOutage }: ResumingOptions,
): AsyncGenerator<F, void> {
  let silence = DEFAULT_HEARTBEAT * SILENT_HEARTBEATS;
  for (let failures = 0; ; failures++) {
    const begun = Date.now();
    const call = new AbortController();
    const frozen = () => call.abort(new Error(`nothing came for ${silence} ms`));
    let watchdog = setTimeout(frozen, silence);
    let outage: unknown = new Error("the stream was closed before its end");
    try {
      for await (const frame of open(signal ? AbortSignal.any([signal, call.signal]) : call.signal)) {
        clearTimeout(watchdog); // whoever reads the frame may take their time
        const { $case, value } = frame.frame ?? {};
        if ($case === "started") silence = heartbeat(value) * SILENT_HEARTBEATS;
        yield frame;
        if ($case === "ended") return;
        watchdog = setTimeout(frozen, silence);
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (!call.signal.aborted && !(error instanceof ApiError && error.passing)) throw error;
      outage = error;
    } finally {
      clearTimeout(watchdog);
    }
    onOutage?.(outage);
    if (Date.now() - begun > HEALTHY_AFTER) failures = 0;
    const pause = outage instanceof ApiError ? (outage.retryAfter ?? 0) : 0;
    await sleep(Math.max(pause, backoff(failures)), undefined, { signal });
  }
}

function heartbeat(started: { heartbeatInterval?: Duration } | undefined): number {
  const interval = started?.heartbeatInterval;
  return interval ? Number(interval.seconds) * 1000 + interval.nanos / 1e6 : DEFAULT_HEARTBEAT;
}

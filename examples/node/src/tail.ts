/** The events of a request or of a session, each once and in order, through whatever happens to the connection. */
import type { FlowState } from "./client.js";
import { ProtocolError } from "./errors.js";
import type { EventFilter, TailEventsRequest, TailTrimmed } from "./gen/flowstate/v1/event_service.js";
import type { Event } from "./gen/flowstate/v1/events.js";
import type { Cursor, DeepPartial } from "./gen/flowstate/v1/types.js";
import { type ResumingOptions, resuming } from "./resuming.js";

/** An event, or word of some that are not stored any more. `cursor` resumes behind it: keep it as it is. */
export type Told =
  | { readonly kind: "event"; readonly event: Event; readonly cursor: Cursor }
  | { readonly kind: "trimmed"; readonly trimmed: TailTrimmed; readonly cursor: Cursor };

export interface TailOptions extends ResumingOptions {
  /** Begin behind this; without it at the start of the log. */
  after?: Cursor;
  filter?: DeepPartial<EventFilter>;
  /** Seconds of silence after which the server gives a sign of life, 5 to 45; 15 unless said. */
  heartbeat?: number;
}

/** The log of a request ends with the request, that of a session when the session is deleted. */
export async function* tail(
  flowstate: FlowState,
  log: NonNullable<TailEventsRequest["log"]>,
  options: TailOptions = {},
): AsyncGenerator<Told, void> {
  let cursor = options.after;
  let trimmedTo = 0n;
  const open = (signal: AbortSignal) =>
    flowstate.events.tailEvents(
      {
        log,
        start: cursor && { $case: "after", value: cursor },
        filter: options.filter,
        heartbeatInterval: options.heartbeat ? { seconds: BigInt(options.heartbeat) } : undefined,
      },
      { signal },
    );
  for await (const { frame, cursor: reached } of resuming(open, options)) {
    if (reached === undefined) throw new ProtocolError("a frame came without a cursor");
    const before = cursor ?? reached; // of the first frame of all
    if (frame?.$case === "trimmed" && frame.value.last > trimmedTo) {
      trimmedTo = frame.value.last; // said once, though a tail that breaks here says it again
      yield { kind: "trimmed", trimmed: frame.value, cursor: before };
    }
    if (frame?.$case === "batch") {
      if (frame.value.afterSequence !== before.sequence) {
        throw new ProtocolError(`the tail stood at ${before.sequence} and goes on behind ${frame.value.afterSequence}`);
      }
      for (const event of frame.value.events) {
        const sequence = log.$case === "sessionId" ? event.sessionSequence : event.sequence;
        yield { kind: "event", event, cursor: { logId: reached.logId, sequence } };
      }
    }
    cursor = reached; // of other frames, also those that we do not know, this is all there is to do
  }
}

/** What a flow shows of a session, each time that it has changed. */
import type { FlowState } from "./client.js";
import type { GetSnapshotResponse, ScopeProjection } from "./gen/flowstate/v1/session_service.js";
import { ScopeKind } from "./gen/flowstate/v1/types.js";
import { type ResumingOptions, resuming } from "./resuming.js";
import { fromValue, type Json } from "./values.js";

/** Values by name. A name whose value could not be computed is absent. Never changed in place. */
export interface Shown {
  readonly session: Readonly<Record<string, Json>>;
  readonly user: Readonly<Record<string, Json>>;
  readonly org: Readonly<Record<string, Json>>;
}

export const NOTHING: Shown = { session: {}, user: {}, org: {} };

/** It is level, not history: several changes may come as one, and after an outage the whole comes again. */
export async function* watch(
  flowstate: FlowState,
  sessionId: string,
  options: ResumingOptions = {},
): AsyncGenerator<Shown, void> {
  let shown = NOTHING;
  const open = (signal: AbortSignal) => flowstate.sessions.watchSnapshot({ sessionId }, { signal });
  for await (const { frame } of resuming(open, options)) {
    if (frame?.$case === "snapshot") yield (shown = shownBy(frame.value));
    if (frame?.$case === "change") yield (shown = changed(shown, frame.value));
  }
}

export function shownBy(snapshot: GetSnapshotResponse): Shown {
  return snapshot.scopes.reduce(changed, NOTHING);
}

/** A name that is told of is what it is told to be; all others stay. */
function changed(shown: Shown, change: ScopeProjection): Shown {
  const scope = SCOPES[change.scope];
  if (scope === undefined) return shown;
  const values = { ...shown[scope] };
  for (const name of [...change.removed, ...Object.keys(change.failures)]) delete values[name];
  for (const [name, value] of Object.entries(change.values)) values[name] = fromValue(value) ?? null;
  return { ...shown, [scope]: values };
}

const SCOPES: { readonly [kind: number]: keyof Shown | undefined } = {
  [ScopeKind.SESSION]: "session",
  [ScopeKind.USER]: "user",
  [ScopeKind.ORG]: "org",
};

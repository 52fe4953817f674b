/**
 * A session for a user interface: `subscribe` and `getSnapshot` are what React's `useSyncExternalStore` asks for. A
 * `readable` of Svelte or a `shallowRef` of Vue is made from them in as few lines.
 */
import type { FlowState } from "./client.js";
import { ApiError } from "./errors.js";
import type { Item } from "./gen/flowstate/v1/events.js";
import type { Cursor } from "./gen/flowstate/v1/types.js";
import { type Told, tail } from "./tail.js";
import { fromValue } from "./values.js";
import { NOTHING, type Shown, shownBy, watch } from "./watch.js";

export interface SessionView {
  /** `connecting` at first and in an outage; `ended` once the session is deleted; `failed` for good, with `error`. */
  readonly status: "connecting" | "live" | "ended" | "failed";
  readonly error?: unknown;
  readonly shown: Shown;
  /** Messages in order, of those that run the text so far. */
  readonly messages: readonly Message[];
}

export interface Message {
  readonly id: string;
  readonly role: string;
  readonly text: string;
  readonly done: boolean;
}

/** Follows the session as long as somebody is subscribed. */
export class SessionStore {
  private view: SessionView = { status: "connecting", shown: NOTHING, messages: [] };
  private readonly listeners = new Set<() => void>();
  private following?: AbortController;

  constructor(
    private readonly flowstate: FlowState,
    private readonly sessionId: string,
  ) {}

  /** The same object until something has changed, and never changed in place. */
  readonly getSnapshot = (): SessionView => this.view;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    if (this.following === undefined) {
      this.following = new AbortController();
      void this.follow(this.following);
    }
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) {
        this.following?.abort();
        this.following = undefined;
      }
    };
  };

  private async follow(following: AbortController): Promise<void> {
    const { signal } = following;
    try {
      await this.load(signal);
      this.show(signal, { status: "ended" });
    } catch (error) {
      const deleted = error instanceof ApiError && error.reason === "SESSION_NOT_FOUND";
      this.show(signal, deleted ? { status: "ended" } : { status: "failed", error });
    } finally {
      following.abort(); // one of the two streams may still be there
    }
  }

  private async load(signal: AbortSignal): Promise<void> {
    const { flowstate, sessionId } = this;
    const snapshot = await flowstate.sessions.getSnapshot({ sessionId }, { signal });
    const messages: Message[] = [];
    for (let pageToken = ""; ; ) {
      const page = await flowstate.sessions.listItems({ sessionId, pageToken }, { signal });
      messages.push(...page.items.filter((item) => item.kind === "message").map(messageOf));
      if ((pageToken = page.nextPageToken) === "") break;
    }
    this.show(signal, { shown: shownBy(snapshot), messages });
    // What came between the two reads above is told again, and changes nothing.
    await Promise.all([this.followShown(signal), this.followMessages(signal, snapshot.cursor)]);
  }

  private async followShown(signal: AbortSignal): Promise<void> {
    const onOutage = () => this.show(signal, { status: "connecting" }); // until the whole comes again
    for await (const shown of watch(this.flowstate, this.sessionId, { signal, onOutage })) {
      this.show(signal, { status: "live", shown });
    }
  }

  private async followMessages(signal: AbortSignal, after: Cursor | undefined): Promise<void> {
    const log = { $case: "sessionId", value: this.sessionId } as const;
    const filter = { types: ["item.added", "item.delta", "item.done", "item.removed"] };
    for await (const told of tail(this.flowstate, log, { signal, after, filter })) {
      this.show(signal, { messages: afterwards(this.view.messages, told) });
    }
  }

  private show(signal: AbortSignal, change: Partial<SessionView>): void {
    if (signal.aborted) return; // nobody is subscribed any more, or follows anew
    this.view = { ...this.view, ...change };
    for (const listener of this.listeners) listener();
  }
}

function afterwards(messages: readonly Message[], told: Told): readonly Message[] {
  const payload = told.kind === "event" ? told.event.payload : undefined;
  switch (payload?.$case) {
    case "itemAdded":
    case "itemDone":
      return withMessage(messages, payload.value.item);
    case "itemDelta": {
      const { itemId, delta } = payload.value;
      const more = delta?.$case === "text" ? delta.value : "";
      return messages.map((one) => (one.id === itemId && !one.done ? { ...one, text: one.text + more } : one));
    }
    case "itemRemoved":
      return messages.filter((one) => one.id !== payload.value.itemId);
    default:
      return messages;
  }
}

function withMessage(messages: readonly Message[], item: Item | undefined): readonly Message[] {
  if (item?.kind !== "message") return messages;
  const message = messageOf(item);
  const known = messages.find((one) => one.id === message.id);
  if (known === undefined) return [...messages, message];
  return known.done ? messages : messages.map((one) => (one === known ? message : one));
}

function messageOf(item: Item): Message {
  const content = fromValue(item.content) as { parts: { text?: string }[] } | undefined;
  const text = content?.parts.map((part) => part.text ?? "").join("") ?? "";
  return { id: item.itemId, role: item.role, text, done: content !== undefined };
}

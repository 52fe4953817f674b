import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, test } from "node:test";

import { SessionStore, type SessionView } from "../store.js";
import { toValue } from "../values.js";
import { connected, FaultProxy, session } from "./server.js";

const ada = connected();
after(() => ada.close());

/** Resolves with the first view that is as wanted. */
function shows(store: SessionStore, wanted: (view: SessionView) => boolean): Promise<SessionView> {
  return new Promise((resolve) => {
    const unsubscribe = store.subscribe(look);
    function look() {
      const view = store.getSnapshot();
      if (!wanted(view)) return;
      unsubscribe();
      resolve(view);
    }
    queueMicrotask(look);
  });
}

async function speak(sessionId: string, words: number): Promise<string> {
  const spec = { flowKind: "probe", action: "speak", userId: "ada", sessionId, requestId: randomUUID() };
  await ada.flows.dispatchAction({ spec: { ...spec, input: toValue({ words, pause: 0.02 }) } });
  return spec.requestId;
}

test("a view is the same object until something changes, and shows a message as it is spoken", async () => {
  const sessionId = await session(ada);
  const store = new SessionStore(ada, sessionId);
  assert.equal(store.getSnapshot(), store.getSnapshot());
  assert.equal(store.getSnapshot().status, "connecting");

  const views: SessionView[] = [];
  const unsubscribe = store.subscribe(() => views.push(store.getSnapshot()));
  await shows(store, ({ status }) => status === "live");
  await speak(sessionId, 20);
  const last = await shows(store, ({ messages, shown }) => messages[0]?.done === true && shown.session["count"] === 1);
  unsubscribe();

  assert.equal(store.getSnapshot(), last);
  assert.equal(new Set(views).size, views.length);
  const texts = views.flatMap(({ messages }) => messages.map(({ text }) => text));
  assert.ok(new Set(texts).size > 3, "the text grows");
  assert.ok(texts.every((text, index) => text.startsWith(texts[index - 1] ?? "")), "and never shrinks");
});

test("what was said before is there, a cut shows, and it goes on by itself", async (context) => {
  const proxy = await FaultProxy.open("tcp");
  const shaky = connected({}, proxy.target);
  context.after(() => (shaky.close(), proxy.close()));
  const sessionId = await session(ada);
  await speak(sessionId, 2);
  await shows(new SessionStore(ada, sessionId), ({ shown }) => shown.session["count"] === 1);

  const store = new SessionStore(shaky, sessionId);
  context.after(store.subscribe(() => {}));
  const first = await shows(store, ({ status }) => status === "live");
  assert.deepEqual(first.messages.map(({ text }) => text), ["word-0 word-1 "]);
  const outage = shows(store, ({ status }) => status === "connecting");
  await proxy.do("cut");
  await outage;
  await speak(sessionId, 3);
  const last = await shows(store, ({ status, shown }) => status === "live" && shown.session["count"] === 2);
  assert.equal(last.status, "live");
  const both = await shows(store, ({ messages }) => messages[1]?.done === true);
  assert.deepEqual(both.messages.map(({ text }) => text), ["word-0 word-1 ", "word-0 word-1 word-2 "]);
});

test("it ends with the session, and says why it can't begin", async () => {
  const sessionId = await session(ada);
  const store = new SessionStore(ada, sessionId);
  const ended = shows(store, ({ status }) => status === "ended");
  await shows(store, ({ status }) => status === "live");
  await ada.sessions.deleteSession({ sessionId });
  await ended;

  const bob = connected({ tenant: "another", token: "not-asked-for" });
  const foreign = await shows(new SessionStore(bob, sessionId), ({ status }) => status !== "connecting");
  assert.equal(foreign.status, "ended");
  bob.close();
});

test("nobody subscribed, nothing followed; the next subscriber begins anew", async () => {
  const sessionId = await session(ada);
  const store = new SessionStore(ada, sessionId);
  await shows(store, ({ status }) => status === "live");
  const left = store.getSnapshot();
  await speak(sessionId, 1);
  await shows(new SessionStore(ada, sessionId), ({ shown }) => shown.session["count"] === 1);
  assert.equal(store.getSnapshot(), left);
  const anew = await shows(store, ({ shown }) => shown.session["count"] === 1);
  assert.deepEqual(anew.messages.map(({ text }) => text), ["word-0 "]);
});

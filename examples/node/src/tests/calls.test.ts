import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, test } from "node:test";

import { status } from "@grpc/grpc-js";

import type { FlowState } from "../client.js";
import { ApiError } from "../errors.js";
import { ActionRequestStatus } from "../gen/flowstate/v1/flow_service.js";
import { Audience, type DeepPartial, type ScopeRef } from "../gen/flowstate/v1/types.js";
import { upload } from "../upload.js";
import { fromValue, toValue } from "../values.js";
import { shownBy } from "../watch.js";
import { connected, FaultProxy, session } from "./server.js";

const ada = connected();
const trusted = connected({ plane: "trusted" });
after(() => [ada, trusted].forEach((client) => client.close()));

const spec = (sessionId: string, action: string, input: Parameters<typeof toValue>[0]) => ({
  ...{ flowKind: "probe", userId: "ada", requestId: randomUUID() },
  ...{ sessionId, action, input: toValue(input) },
});
const scope = (sessionId: string): DeepPartial<ScopeRef> => ({ owner: { $case: "sessionId", value: sessionId } });

async function refusal(call: Promise<unknown>): Promise<ApiError> {
  const error = await call.then(
    () => assert.fail("the call was not refused"),
    (error: unknown) => error,
  );
  assert.ok(error instanceof ApiError, String(error));
  return error;
}

test("an action is called, and its items and a snapshot are read", async () => {
  const sessionId = await session(ada);
  const request = await ada.call(spec(sessionId, "speak", { words: 3 }));
  assert.equal(request.status, ActionRequestStatus.COMPLETED);
  assert.equal(fromValue(request.output), "word-0 word-1 word-2 ");

  const { items } = await ada.sessions.listItems({ sessionId });
  assert.deepEqual(items.map((item) => fromValue(item.content)), [
    { parts: [{ type: "text", text: "word-0 word-1 word-2 " }] },
  ]);
  const snapshot = await ada.sessions.getSnapshot({ sessionId });
  assert.deepEqual(shownBy(snapshot).session, { count: 1, largest: 0, share: 0 }); // and no secret
});

test("the same request id attaches, and runs nothing again", async () => {
  const sessionId = await session(ada);
  const again = { spec: spec(sessionId, "speak", { words: 1 }) };
  const first = await ada.flows.dispatchAction(again);
  const second = await ada.flows.dispatchAction(again);
  assert.deepEqual([first.attached, second.attached], [false, true]);
  await ada.call(again.spec);
  assert.equal(shownBy(await ada.sessions.getSnapshot({ sessionId })).session["count"], 1);
});

test("a failure of the flow is data", async () => {
  const { status, failure } = await ada.call(spec(await session(ada), "fail", { words: 0 }));
  assert.equal(status, ActionRequestStatus.FAILED);
  assert.equal(failure?.reason, "NO_LUCK");
  assert.deepEqual(fromValue(failure?.details), { number: 2n ** 53n + 1n });
});

test("integers beyond 2^53 come and go unchanged", async () => {
  const sessionId = await session(ada);
  for (const number of [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n]) {
    const request = await ada.call(spec(sessionId, "keep", { number }));
    assert.deepEqual(fromValue(request.output), { number });
    assert.equal(shownBy(await ada.sessions.getSnapshot({ sessionId })).session["largest"], number);
  }
  const error = await refusal(ada.call(spec(sessionId, "keep", { number: 2n ** 63n })));
  assert.equal(error.reason, "JSON_NUMBER_UNREPRESENTABLE");
  assert.throws(() => toValue({ number: Number.NaN }), TypeError);
});

test("an error tells its reason, the fields and where the log has it", async () => {
  const unknown = await refusal(ada.flows.getFlow({ flowKind: "no-such-flow" }));
  assert.equal(unknown.code, status.NOT_FOUND);
  assert.equal(unknown.reason, "FLOW_NOT_FOUND");
  assert.deepEqual(unknown.info["flow_kind"], "no-such-flow");
  assert.match(unknown.correlationId, /^[0-9a-f-]{36}$/);

  const invalid = await refusal(ada.flows.dispatchAction({ spec: spec("", "speak", { words: "three" }) }));
  assert.equal(invalid.code, status.INVALID_ARGUMENT);
  assert.deepEqual(invalid.violations.map(({ field }) => field), ["spec.input/words"]);
});

test("services commit state, and clients may not", async () => {
  const sessionId = await session(ada);
  const commit = {
    mutations: [
      {
        scope: scope(sessionId),
        ops: [
          { path: "/count", op: { $case: "increment", value: { delta: { $case: "byInt", value: 41n } } } },
          { path: "/share", op: { $case: "set", value: toValue(0.5) } },
        ],
      },
    ],
    idempotencyKey: randomUUID(),
  } satisfies Parameters<FlowState["state"]["commitState"]>[0];
  assert.equal((await refusal(ada.state.commitState(commit))).reason, "ACCESS_DENIED");

  const { records } = await trusted.state.commitState(commit);
  assert.deepEqual(records.map(({ meta, changed }) => [meta?.version, changed]), [[1n, true]]);
  assert.equal((await trusted.state.commitState(commit)).replayed, true);
  const { session: shown } = shownBy(await ada.sessions.getSnapshot({ sessionId }));
  assert.deepEqual(shown, { count: 41, largest: 0, share: 0.5 });

  const stale = { scope: scope(sessionId), precondition: { condition: { $case: "version", value: 0n } } } as const;
  const error = await refusal(trusted.state.commitState({ mutations: [stale] }));
  assert.deepEqual([error.code, error.reason, error.info["current"]], [status.ABORTED, "VERSION_MISMATCH", "1"]);
});

test("services add items", async () => {
  const sessionId = await session(ada);
  const item = {
    ...{ kind: "message", role: "user", audiences: [Audience.CLIENT, Audience.HISTORY] },
    content: toValue({ parts: [{ type: "text", text: "from another system" }] }),
  };
  const added = { sessionId, items: [item], idempotencyKey: randomUUID() };
  const { items } = await trusted.sessions.appendItems(added);
  assert.equal((await trusted.sessions.appendItems(added)).replayed, true);
  const listed = await ada.sessions.listItems({ sessionId });
  assert.deepEqual(listed.items.map(({ itemId }) => itemId), items.map(({ itemId }) => itemId));
});

test("a content is uploaded in pieces through a cut of the connection, and read back", async (context) => {
  const proxy = await FaultProxy.open("tcp");
  const shaky = connected({ plane: "trusted" }, proxy.target);
  context.after(() => (shaky.close(), proxy.close()));
  const content = Buffer.alloc(300_000, "0123456789");
  const to = { scope: scope(await session(ada)), name: "report", mediaType: "text/plain" };

  for (const bytesOfAnswers of [100, 200, 300, 400, 500]) {
    const before = await proxy.count("accepted");
    await proxy.do(`cut_after ${bytesOfAnswers}`); // from the first of the ten answers to the last
    assert.equal(await upload(shaky, to, content, { pieceBytes: 30_000 }), 1n); // equal bytes make no new version
    assert.ok((await proxy.count("accepted")) > before);
  }
  const { resource } = await ada.resources.getResource({ scope: to.scope, name: to.name });
  assert.deepEqual([resource?.contentSize, resource?.mediaType], [300_000n, "text/plain"]);

  const pieces: Buffer[] = [];
  const from = { scope: to.scope, name: to.name };
  for await (const { data } of ada.resources.readContent(from)) pieces.push(Buffer.from(data));
  assert.ok(Buffer.concat(pieces).equals(content));
});

test("a call whose connection is cut is made again", async (context) => {
  const proxy = await FaultProxy.open("tcp");
  const shaky = connected({}, proxy.target);
  context.after(() => (shaky.close(), proxy.close()));
  const running = shaky.call(spec(await session(ada), "speak", { words: 20, pause: 0.03 }));
  await shaky.server.getServerInfo({});
  await proxy.do("cut");
  const request = await running;
  assert.equal(await proxy.count("accepted"), 2);
  assert.equal(request.status, ActionRequestStatus.COMPLETED);
});

test("a call can be given up", async () => {
  const givingUp = new AbortController();
  const waiting = ada.call(spec(await session(ada), "speak", { words: 100, pause: 0.1 }), { signal: givingUp.signal });
  await ada.server.getServerInfo({});
  givingUp.abort(new Error("no patience"));
  await assert.rejects(waiting, /no patience/);
});

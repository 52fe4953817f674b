/** A customer of a tea shop, and a service beside it. The server, at FLOWSTATE_SERVER:
 * `flowstate serve examples.assistant:flowstate`. */
import { randomUUID } from "node:crypto";

import { FlowState } from "./client.js";
import { CuttingProxy } from "./cutting-proxy.js";
import { ApiError } from "./errors.js";
import { ActionRequestStatus } from "./gen/flowstate/v1/flow_service.js";
import type { CommitStateRequest } from "./gen/flowstate/v1/state_service.js";
import { Audience, type DeepPartial } from "./gen/flowstate/v1/types.js";
import { SessionStore } from "./store.js";
import { tail } from "./tail.js";
import { upload } from "./upload.js";
import { fromValue, type Json, toValue } from "./values.js";
import { shownBy, watch } from "./watch.js";

process.once("uncaughtException", (error) => {
  console.error(error instanceof ApiError ? `${error.name}: ${error.message}` : error.message);
  process.exit(1);
});

const proxy = new CuttingProxy(process.env["FLOWSTATE_SERVER"] ?? "127.0.0.1:7437");
const target = await proxy.listen();
const ada = new FlowState(target, { user: "ada" });
const service = new FlowState(target, { plane: "trusted" });
const say = (line: string) => console.log(line);
const shown = (value: unknown) => JSON.stringify(value, (_, part) => (typeof part === "bigint" ? String(part) : part));

const { session } = await ada.sessions.createSession({
  session: { flowKind: "assistant", userId: "ada", title: "Tea" },
  idempotencyKey: randomUUID(),
});
const sessionId = session!.sessionId;
const owner = { $case: "sessionId", value: sessionId } as const;
say(`The session is ${sessionId}.`);

say("\n# Call an action, and tail its run through a cut of the connection");
const spec = {
  ...{ flowKind: "assistant", action: "say", userId: "ada", sessionId, requestId: randomUUID() },
  input: toValue({ message: "The cup in order 8 is broken." }),
};
await ada.flows.dispatchAction({ spec });
const onOutage = (error: unknown) => say(`  [${error}]`);
for await (const told of tail(ada, { $case: "requestId", value: spec.requestId }, { onOutage })) {
  if (told.kind === "trimmed") continue;
  const { payload } = told.event;
  if (payload?.$case === "itemDone" && payload.value.item?.kind === "tool_call") {
    const { name, content } = payload.value.item;
    say(`  [${name} ${shown(fromValue(content))}]`);
    proxy.cut();
  }
  if (payload?.$case === "itemDelta" && payload.value.delta?.$case === "text") {
    process.stdout.write(payload.value.delta.value);
  }
  if (payload?.$case === "requestCompleted") say(`\n  [${told.event.type}, event ${told.cursor.sequence}]`);
}

say("\n# Read items and a snapshot");
for (const { kind, role, name, content } of (await ada.sessions.listItems({ sessionId })).items) {
  say(`  ${kind} ${role || name}: ${shown(fromValue(content))}`);
}
say(`  Clients see ${shown(shownBy(await ada.sessions.getSnapshot({ sessionId })))}.`);

say("\n# Watch, while a service commits state");
const tone = (value: Json): DeepPartial<CommitStateRequest> => ({
  mutations: [
    {
      scope: { owner: { $case: "userId", value: "ada" }, flowKind: "assistant" },
      ops: [{ path: "/tone", op: { $case: "set", value: toValue(value) } }],
    },
  ],
  idempotencyKey: randomUUID(),
});
await service.state.commitState(tone("plain"));
for await (const { user } of watch(ada, sessionId)) {
  say(`  The tone is ${user["tone"]}.`);
  if (user["tone"] === "formal") break;
  await service.state.commitState(tone("formal"));
}

say("\n# Add an item, and upload a resource in pieces");
await service.sessions.appendItems({
  sessionId,
  items: [
    {
      ...{ kind: "message", role: "assistant", audiences: [Audience.CLIENT, Audience.HISTORY] },
      content: toValue({ parts: [{ type: "text", text: "A colleague has your ticket." }] }),
    },
  ],
  idempotencyKey: randomUUID(),
});
const picture = Buffer.alloc(3_000_000, "tea");
const version = await upload(service, { scope: { owner }, name: "ticket", mediaType: "image/png" }, picture);
say(`  ${picture.length} bytes are in version ${version} of the ticket.`);

say("\n# What a refusal says");
try {
  await service.state.commitState(tone("rude"));
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  say(`  ${error.name}: ${error.message} ${shown(error.info)}`);
  for (const { field, description } of error.violations) say(`  ${field}: ${description}`);
}

say("\n# The same session in a store for a user interface");
const store = new SessionStore(ada, sessionId);
const leave = store.subscribe(() => {
  const { status, messages } = store.getSnapshot();
  if (status === "live") say(`  ${messages.length} messages, the last: ${messages.at(-1)?.text}`);
});
const again = { ...spec, requestId: randomUUID(), input: toValue({ message: "Hello!" }) };
const { status } = await ada.call(again);
while (store.getSnapshot().messages.length < 5) await new Promise((done) => setTimeout(done, 10));
leave();
say(`  The request is ${ActionRequestStatus[status]}.`);

for (const open of [ada, service, proxy]) open.close();

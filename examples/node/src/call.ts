/** `npm run call -- FLOW ACTION [INPUT [SESSION]]` calls an action for Ada and prints what it says, else its output. */
import { randomUUID } from "node:crypto";

import { FlowState } from "./client.js";
import { ApiError } from "./errors.js";
import { tail } from "./tail.js";

const [flowKind, action, input = "{}", sessionId = ""] = process.argv.slice(2);
if (flowKind === undefined || action === undefined) {
  console.error("usage: npm run call -- FLOW ACTION [INPUT [SESSION]]");
  process.exit(2);
}
const flowstate = new FlowState(process.env["FLOWSTATE_SERVER"] ?? "127.0.0.1:7437", { user: "ada" });
const requestId = randomUUID();
try {
  const spec = { flowKind, action, sessionId, userId: "ada", requestId };
  await flowstate.flows.dispatchAction({ spec: { ...spec, input: { encoding: { $case: "json", value: input } } } });
  let spoken = false;
  for await (const told of tail(flowstate, { $case: "requestId", value: requestId })) {
    const payload = told.kind === "event" ? told.event.payload : undefined;
    if (payload?.$case === "itemDelta" && payload.value.delta?.$case === "text") {
      process.stdout.write(payload.value.delta.value);
      spoken = true;
    } else if (payload?.$case === "requestCompleted") {
      console.log(spoken ? "" : payload.value.output?.encoding?.value);
    } else if (payload?.$case === "requestFailed") {
      throw new Error(`${payload.value.failure?.reason}: ${payload.value.failure?.message}`);
    }
  }
} catch (error) {
  if (!(error instanceof Error)) throw error;
  console.error(error instanceof ApiError ? `${error.name}: ${error.message}` : error.message);
  process.exitCode = 1;
} finally {
  flowstate.close();
}

/** The server under test, and proxies before it that misbehave when they are told to. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createInterface, type Interface } from "node:readline";

import { type ConnectOptions, FlowState } from "../client.js";

function given(variable: string): string {
  const value = process.env[variable];
  if (!value) throw new Error(`${variable} is not set: run the tests by \`make test-polyglot\``);
  return value;
}

export const TARGET = given("FLOWSTATE_SERVER");

/** A client of Ada's, to be closed by whoever asks for it. */
export function connected(options: ConnectOptions = {}, target = TARGET): FlowState {
  return new FlowState(target, { user: "ada", ...options });
}

export class FaultProxy {
  private constructor(
    private readonly control: Socket,
    private readonly lines: Interface,
    readonly target: string,
  ) {}

  /** `tcp` passes bytes on and may cut and stall connections, `grpc` ends streams with OK before their end. */
  static async open(kind: "tcp" | "grpc"): Promise<FaultProxy> {
    const [host, port] = given("FLOWSTATE_FAULTS").split(":");
    const control = connect(Number(port), host);
    const lines = createInterface(control);
    control.write(`${kind}\n`);
    const [target] = await once(lines, "line");
    return new FaultProxy(control, lines, String(target));
  }

  async do(command: "cut" | "stall" | "heal" | `${"cut_after" | "end_streams_after"} ${number}`): Promise<void> {
    await this.ask(command);
  }

  /** How many connections a `tcp` proxy has accepted so far, and how many calls are open at a `grpc` proxy. */
  async count(what: "accepted" | "open"): Promise<number> {
    return Number(await this.ask(what));
  }

  private async ask(line: string): Promise<string> {
    this.control.write(`${line}\n`);
    const [answer] = await once(this.lines, "line");
    return String(answer);
  }

  close(): void {
    this.lines.close();
    this.control.destroy();
  }
}

/** A session of the awkward flow, for the user Ada. */
export async function session(flowstate: FlowState): Promise<string> {
  const created = await flowstate.sessions.createSession({ session: { flowKind: "probe", userId: "ada" } });
  return created.session!.sessionId;
}

/** A connection to a FlowState server. */
import { ChannelCredentials, Client, Metadata } from "@grpc/grpc-js";

import { type CallOptions, type Connection, type Service, service } from "./calls.js";
import { EventServiceDefinition } from "./gen/flowstate/v1/event_service.js";
import { type ActionRequest, type ActionSpec, FlowServiceDefinition } from "./gen/flowstate/v1/flow_service.js";
import { ResourceServiceDefinition } from "./gen/flowstate/v1/resource_service.js";
import { ServerServiceDefinition } from "./gen/flowstate/v1/server_service.js";
import { SessionServiceDefinition } from "./gen/flowstate/v1/session_service.js";
import { StateServiceDefinition } from "./gen/flowstate/v1/state_service.js";
import type { DeepPartial } from "./gen/flowstate/v1/types.js";

export interface ConnectOptions {
  /** The space that ids live in. */
  tenant?: string;
  /** A bearer token, or what brings one: it is asked before every call. */
  token?: string | (() => Promise<string>);
  /** Who calls and on which plane, where the server asks for no tokens. */
  user?: string;
  org?: string;
  plane?: "client" | "trusted";
  /** `ChannelCredentials.createSsl()` for TLS; without it the connection is plain. */
  credentials?: ChannelCredentials;
}

export class FlowState {
  readonly flows: Service<typeof FlowServiceDefinition>;
  readonly events: Service<typeof EventServiceDefinition>;
  readonly sessions: Service<typeof SessionServiceDefinition>;
  readonly state: Service<typeof StateServiceDefinition>;
  readonly resources: Service<typeof ResourceServiceDefinition>;
  readonly server: Service<typeof ServerServiceDefinition>;
  private readonly connection: Connection;

  /** Connects with the first call. */
  constructor(target: string, options: ConnectOptions = {}) {
    const credentials = options.credentials ?? ChannelCredentials.createInsecure();
    const channelOptions = {
      "grpc.keepalive_time_ms": 30_000,
      "grpc.keepalive_timeout_ms": 15_000,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 10_000,
      "grpc.use_local_subchannel_pool": 1, // else both clients share one connection
    };
    this.connection = {
      calls: new Client(target, credentials, channelOptions),
      streams: new Client(target, credentials, channelOptions),
      metadata: () => metadata(options),
    };
    this.flows = service(FlowServiceDefinition, this.connection);
    this.events = service(EventServiceDefinition, this.connection);
    this.sessions = service(SessionServiceDefinition, this.connection);
    this.state = service(StateServiceDefinition, this.connection);
    this.resources = service(ResourceServiceDefinition, this.connection);
    this.server = service(ServerServiceDefinition, this.connection);
  }

  /** Waits for the end of an action, however long it takes; a repeat with its `requestId` attaches to the run. */
  async call(spec: DeepPartial<ActionSpec> & { requestId: string }, options: CallOptions = {}): Promise<ActionRequest> {
    for (;;) {
      const { actionRequest, done } = await this.flows.callAction({ spec }, { timeout: 60_000, ...options });
      if (done && actionRequest !== undefined) return actionRequest;
    }
  }

  close(): void {
    this.connection.calls.close();
    this.connection.streams.close();
  }
}

async function metadata({ tenant, token, user, org, plane }: ConnectOptions): Promise<Metadata> {
  const metadata = new Metadata();
  if (tenant !== undefined) metadata.set("x-tenant-id", tenant);
  if (token !== undefined) {
    metadata.set("authorization", `Bearer ${typeof token === "string" ? token : await token()}`);
  }
  // Metadata is ASCII; ids need not be, and travel as bytes.
  if (user !== undefined) metadata.set("x-flowstate-user-bin", Buffer.from(user));
  if (org !== undefined) metadata.set("x-flowstate-org-bin", Buffer.from(org));
  if (plane !== undefined) metadata.set("x-flowstate-plane", plane);
  return metadata;
}

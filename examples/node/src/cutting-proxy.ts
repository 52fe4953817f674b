/** Passes bytes on to a server, until it is told to cut: what a lost network does to a client. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export class CuttingProxy {
  private readonly sockets = new Set<Socket>();
  private readonly server = createServer((client) => {
    const upstream = connect(this.port, this.host);
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) {
      this.sockets.add(socket);
      socket.on("error", () => {}).on("close", () => {
        this.sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
  });
  private readonly host: string;
  private readonly port: number;

  constructor(upstream: string) {
    const colon = upstream.lastIndexOf(":");
    this.host = upstream.slice(0, colon);
    this.port = Number(upstream.slice(colon + 1));
  }

  /** Where to connect to. */
  async listen(): Promise<string> {
    await once(this.server.listen(0, "127.0.0.1"), "listening");
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  close(): void {
    this.server.close();
    this.cut();
  }
}

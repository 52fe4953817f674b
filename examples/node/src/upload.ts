/** Content of a resource, in pieces that the server acknowledges one by one. */
import { createHash, randomUUID } from "node:crypto";

import type { FlowState } from "./client.js";
import { ProtocolError } from "./errors.js";
import type { WriteContentRequest } from "./gen/flowstate/v1/resource_service.js";
import type { DeepPartial } from "./gen/flowstate/v1/types.js";

export type Destination = DeepPartial<Pick<WriteContentRequest, "scope" | "name" | "mediaType" | "precondition">>;

/** The resource's version afterwards. `uploadId` continues an upload that was broken off. Trusted plane. */
export async function upload(
  flowstate: FlowState,
  to: Destination,
  content: Uint8Array,
  { uploadId = randomUUID(), pieceBytes = 1024 * 1024 }: { uploadId?: string; pieceBytes?: number } = {},
): Promise<bigint> {
  const contentSha256 = createHash("sha256").update(content).digest("hex");
  for (let position = 0; ; ) {
    const data = Buffer.from(content.subarray(position, position + pieceBytes));
    const finish = position + data.length === content.length;
    const piece = { ...to, uploadId, position: BigInt(position), data, finish };
    const whole = finish ? { contentSha256 } : {};
    const { received, resource } = await flowstate.resources.writeContent({ ...piece, ...whole });
    if (resource !== undefined) return resource.meta?.version ?? 0n; // all that a repeat of the last piece tells
    // A piece at the wrong place stores nothing and is told how far the content has come.
    if (Number(received) === position) throw new ProtocolError(`the upload stands still at ${position}`);
    position = Number(received);
  }
}

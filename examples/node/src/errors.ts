/** What a refused call says: a status, and in the trailer `grpc-status-details-bin` the details of google.rpc. */
import { type ServiceError, status } from "@grpc/grpc-js";

import { BadRequest, type BadRequest_FieldViolation, ErrorInfo, RetryInfo } from "./gen/google/rpc/error_details.js";
import { Status } from "./gen/google/rpc/status.js";

export class ApiError extends Error {
  /** The status of gRPC. Go by it where you do not know the reason. */
  readonly code: status;
  /** For programs, one of `ErrorReason` without its prefix: `SESSION_NOT_FOUND`. Empty if the server did not say it. */
  readonly reason: string = "";
  /** What belongs to the reason, such as the current version of a record. */
  readonly info: Readonly<Record<string, string>> = {};
  /** Which fields of the message, or of a state (as JSON Pointers), are wrong. */
  readonly violations: readonly BadRequest_FieldViolation[] = [];
  /** Milliseconds after which to come back, where the server says so. */
  readonly retryAfter?: number;

  constructor(
    readonly method: string,
    cause: ServiceError,
    /** Finds the call in the server's log. */
    readonly correlationId: string,
  ) {
    super(cause.details || cause.message, { cause });
    this.code = cause.code;
    for (const { typeUrl, value } of details(cause)) {
      switch (typeUrl.slice(typeUrl.lastIndexOf("/") + 1)) {
        case "google.rpc.ErrorInfo":
          ({ reason: this.reason, metadata: this.info } = ErrorInfo.decode(value));
          break;
        case "google.rpc.BadRequest":
          this.violations = BadRequest.decode(value).fieldViolations;
          break;
        case "google.rpc.RetryInfo": {
          const delay = RetryInfo.decode(value).retryDelay;
          this.retryAfter = Number(delay?.seconds ?? 0) * 1000 + (delay?.nanos ?? 0) / 1e6;
          break;
        }
      }
    }
    this.name = `ApiError ${status[this.code]} ${this.reason}`.trimEnd();
  }

  /** Whether the same call, with the same id or key, may succeed a little later. */
  get passing(): boolean {
    switch (this.code) {
      case status.UNAVAILABLE:
        return true;
      case status.RESOURCE_EXHAUSTED:
        return this.retryAfter !== undefined || this.reason === "SLOW_CONSUMER";
      case status.INTERNAL:
      case status.UNKNOWN:
      case status.CANCELLED:
        return this.reason === ""; // not the server's word: the connection, or a proxy
      default:
        return false;
    }
  }
}

/** The server breaks the rules of a tail. */
export class ProtocolError extends Error {}

function details(error: ServiceError): Status["details"] {
  const packed = error.metadata?.get("grpc-status-details-bin")[0];
  return packed instanceof Buffer ? Status.decode(packed).details : [];
}

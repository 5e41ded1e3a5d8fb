// A small client of a Trunnion host: calls as promises, streams as async iterators, refusals with a code.

import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const folders = ["proto", "../../../plugins/rpc/proto"]; // the second one is where this repository has the protocol
const definition = protoLoader.loadSync(["trunnion/v1/runtime.proto", "google/rpc/status.proto"], {
  includeDirs: folders.map((folder) => fileURLToPath(new URL(folder, import.meta.url))),
  defaults: true,
  enums: String,
  json: true, // what is packed in the details of a refusal is unpacked
  longs: String, // numbers of 64 bits
});
const { RuntimeService } = grpc.loadPackageDefinition(definition).trunnion.v1;
const Status = definition["google.rpc.Status"];

export const toJson = (value) => Buffer.from(JSON.stringify(value));
export const fromJson = (bytes) => (bytes.length ? JSON.parse(bytes.toString()) : null);

/** Why a call failed. `code` is the host's own; it is empty where the host was not reached. */
export class Refused extends Error {
  constructor(failure) {
    super(failure.details);
    this.status = failure.code; // of gRPC
    const [packed] = failure.metadata?.get("grpc-status-details-bin") ?? [];
    const details = packed ? Status.deserialize(packed).details : [];
    const own = details.find((each) => each["@type"] === "type.googleapis.com/trunnion.v1.Error");
    this.code = own?.code ?? "";
    this.details = own ? (fromJson(own.detailsJson) ?? {}) : {};
  }
}

/** A host at `unix:PATH` or `ADDRESS:PORT`. With `tls`, files of the authority, one's certificate and its key. */
export class Host {
  constructor(target, { token = "", tls } = {}) {
    const credentials = tls ? secured(tls) : grpc.credentials.createInsecure();
    const here = /^(localhost|127\.[\d.]+|\[::1\]):/.test(target); // where no proxy has anything to do
    this.client = new RuntimeService(target, credentials, here ? { "grpc.enable_http_proxy": 0 } : {});
    this.metadata = new grpc.Metadata();
    if (token) this.metadata.set("authorization", `Bearer ${token}`);
  }

  close() {
    this.client.close();
  }

  /** One request, one answer: `await host.ask("GetRun", { runId })`. */
  ask(method, request = {}, options = {}) {
    return new Promise((resolve, reject) => {
      this.client[method](request, this.metadata, options, answered(resolve, reject));
    });
  }

  /** One request, many answers: `for await (const { events } of host.listen("StreamEvents", { stream }))`. */
  async *listen(method, request) {
    const call = this.client[method](request, this.metadata);
    try {
      yield* call;
    } catch (failure) {
      throw new Refused(failure);
    } finally {
      call.cancel();
    }
  }

  /** Many requests, one answer: `await host.bring("WriteUpload", pieces)`, where pieces may be an async iterator. */
  bring(method, requests) {
    return new Promise((resolve, reject) => {
      Readable.from(requests).pipe(this.client[method](this.metadata, answered(resolve, reject)));
    });
  }
}

function secured({ ca, cert, key }) {
  return grpc.credentials.createSsl(...[ca, key, cert].map((file) => (file ? readFileSync(file) : null)));
}

function answered(resolve, reject) {
  return (failure, answer) => (failure ? reject(new Refused(failure)) : resolve(answer));
}

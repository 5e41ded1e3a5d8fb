// Call a host over gRPC: see who you are, run, follow, cancel, be refused, bring a file.

import { randomUUID } from "node:crypto";

import { Host, fromJson, toJson } from "./trunnion.js";

const [target, ca, cert, key] = process.argv.slice(2);
const host = new Host(target, { token: process.env.TRUNNION_TOKEN, tls: ca && { ca, cert, key } });

/** Start a run. It has a key, so that asking again after a lost line starts no second one. */
async function start(commandId, args) {
  const { run } = await host.ask("Invoke", { commandId, argsJson: toJson(args), idempotencyKey: randomUUID() });
  return run.id;
}

/** Print what a run says, to its end. */
async function show(runId) {
  for await (const { events } of host.listen("StreamEvents", { stream: `run/${runId}`, follow: true })) {
    for (const event of events) {
      if (["text", "progress"].includes(event.kind)) console.log(event.text.trimEnd());
    }
  }
}

/** The run at its end. */
async function wait(runId) {
  const { run } = await host.ask("WaitRun", { runId });
  return { ...run, status: run.status.replace("RUN_STATUS_", "").toLowerCase() };
}

console.log("I am", (await host.ask("GetHost")).principal);

const basil = await start("greenhouse.water", { bed: "basil", pause: 0.1 });
await show(basil);
const run = await wait(basil);
console.log(run.status, fromJson(run.resultJson).bed);

const tomatoes = await start("greenhouse.water", { bed: "tomatoes", litres: 60, pause: 0.1 });
await host.ask("CancelRun", { runId: tomatoes });
console.log((await wait(tomatoes)).status);

try {
  await start("greenhouse.water", { bed: "roses" });
} catch (refused) {
  console.log(refused.code);
  for (const problem of refused.details.problems) console.log(`${problem.path}: ${problem.message}`);
}

const { upload } = await host.ask("OpenUpload", { name: "hello.txt", size: 6 });
await host.bring("WriteUpload", [{ uploadId: upload.id, chunk: Buffer.from("hello\n") }]);
const brought = await host.ask("FinishUpload", { uploadId: upload.id });
await show(await start("scripts.checksum", { file: brought.upload.handle }));

host.close();

// A stock Node client makes every RPC of linmem.v1 once, and checks each answer.
//
// Owns: one pass over all services on a daemon of its own, whose Unix socket is given: partitions and the
// drain need it. Law: @grpc/grpc-js and @grpc/proto-loader without options; what was called is compared
// with what the protos describe. The last call ends the daemon.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [tcp, socket, protos] = process.argv.slice(2);
const files = readdirSync(join(protos, "linmem/v1")).map((name) => `linmem/v1/${name}`);
const linmem = grpc.loadPackageDefinition(loader.loadSync(files, { includeDirs: [protos] })).linmem.v1;
const PAGE = 65536;
const called = new Set();
const services = Object.entries(linmem).filter(([, one]) => one.service);
const described = new Set(
  services.flatMap(([name, one]) => Object.keys(one.service).map((rpc) => `${name}/${rpc}`)),
);

/** A client of a service whose unary RPCs are promises, and which notes what is called. */
function client(name, target) {
  const stub = new linmem[name](target, grpc.credentials.createInsecure());
  const note = (rpc) => called.add(`${name}/${rpc}`);
  return {
    close: () => stub.close(),
    stream: (rpc, ...given) => (note(rpc), stub[rpc](...given)),
    unary: (rpc, request = {}) => {
      note(rpc);
      return new Promise((yes, no) =>
        stub[rpc](request, (failure, answer) => (failure ? no(failure) : yes(answer))),
      );
    },
  };
}

/** The number of an enum's value: without options enums come as numbers. */
const value = (kind, name) => linmem[kind].type.value.find((one) => one.name === name).number;

const memories = client("MemoryService", tcp);
const call = memories.unary;
const read = async (offset, length) =>
  (await call("ReadMemory", { memoryId: "m", offset, length })).data.toString("latin1");

async function memoriesAndBytes() {
  const { serverInfo } = await call("GetServerInfo");
  assert.equal(serverInfo.tenant, "default");
  assert.equal(Number(serverInfo.limits.pageBytes), PAGE);
  const spec = {
    initialPages: 1, maximumPages: 4, shared: true, labels: { all: "" }, leaseTtl: { seconds: 600 },
  };
  const made = (await call("CreateMemory", { memoryId: "m", spec })).memory;
  const got = (await call("GetMemory", { memoryId: "m" })).memory;
  assert.equal(got.uid, made.uid);
  assert.equal(Number(got.sizeBytes), PAGE);
  const listed = (await call("ListMemories", { labelSelector: "all" })).memories;
  assert.deepEqual(listed.map((one) => one.uid), [made.uid]);
  const updated = await call("UpdateMemory", {
    memoryId: "m", displayName: "named", updateMask: { paths: ["display_name"] },
  });
  assert.equal(updated.memory.spec.displayName, "named");
  const kept = await call("KeepAliveMemory", { memoryId: "m" });
  assert.ok(Number(kept.expireTime.seconds) >= Number(made.expireTime.seconds));
  const grown = await call("GrowMemory", { memoryId: "m", deltaPages: 1 });
  assert.deepEqual([Number(grown.previousPages), Number(grown.currentPages)], [1, 2]);
  await call("WriteMemory", { memoryId: "m", offset: 4, data: Buffer.from("hello") });
  assert.equal(await read(3, 7), "\0hello\0");
  await call("FillMemory", { memoryId: "m", offset: 16, length: 4, value: 7 });
  await call("CopyMemory", {
    sourceMemoryId: "m", sourceOffset: 4, destinationMemoryId: "m", destinationOffset: 20, length: 5,
  });
  assert.equal(await read(16, 9), "\x07\x07\x07\x07hello");
  const packed = { opcodes: ["OPCODE_READ"], addresses: [20, 4], lengths: [2] };
  const group = await call("ExecuteOperations", { memoryId: "m", packed });
  assert.equal(group.packed.data.toString(), "hehe");
  const uploaded = await new Promise((yes, no) => {
    const stream = memories.stream("UploadMemory", (failure, answer) =>
      failure ? no(failure) : yes(answer));
    stream.write({ memoryId: "m", offset: PAGE, data: Buffer.from("up") });
    stream.end({ data: Buffer.from("load") });
  });
  assert.equal(Number(uploaded.bytesWritten), 6);
  const parts = [];
  const download = memories.stream("DownloadMemory", { memoryId: "m", offset: PAGE, length: 6 });
  for await (const part of download) parts.push(part.data);
  assert.equal(Buffer.concat(parts).toString(), "upload");
  const first = { memoryId: "m", offset: 0, length: 8 };
  await call("ProtectMemory", { ...first, protection: "PROTECTION_READ" });
  assert.equal(await read(4, 4), "hell");
  const second = { memoryId: "m", offset: PAGE, length: PAGE };
  const set = await call("SetVolatility", { ...second, volatility: "VOLATILITY_NONVOLATILE" });
  // Without options a field that has its default is left out.
  assert.ok(!set.wasPurged);
  const { report } = await call("VerifyMemory", { memoryId: "m" });
  assert.ok(report.checks.some((one) => one.check === "lengths"));
  await call("DiscardMemory", second);
  assert.equal(await read(PAGE, 6), "\0".repeat(6));
  const reset = await call("ResetMemoryStats", { memoryId: "m" });
  assert.ok(!reset.memory.stats.readCount);
}

async function waitsAndSessions() {
  const waited = await call("WaitOnAddress", { memoryId: "m", address: 64, width: 4, expected: 1 });
  assert.equal(waited.outcome, value("WaitOutcome", "WAIT_OUTCOME_NOT_EQUAL"));
  const notified = await call("NotifyAddress", { memoryId: "m", address: 64 });
  assert.ok(!notified.wokenCount);
  const session = memories.stream("OpenSession");
  session.write({ start: {} });
  session.write({ attach: { tag: 1, handle: 1, memoryId: "m" } });
  session.end({ group: { tag: 2, handle: 1, single: { read: { offset: 4, length: 5 } } } });
  const answers = [];
  for await (const answer of session) answers.push(answer);
  assert.equal(answers.length, 3);
  assert.equal(answers[2].result.single.data.toString(), "hello");
}

async function segmentsSetsAndViews() {
  const { segment } = await call("PutSegment", { segmentId: "s", data: Buffer.from("segment") });
  const got = await call("GetSegment", { segmentId: "s", withData: true });
  assert.equal(got.data.toString(), "segment");
  assert.equal(got.segment.crc32c, segment.crc32c);
  assert.equal((await call("ListSegments")).segments.length, 1);
  await call("InitMemory", {
    memoryId: "m", segmentId: "s", destinationOffset: 128, sourceOffset: 3, length: 4,
  });
  assert.equal(await read(128, 4), "ment");
  await call("DropSegment", { segmentId: "s" });
  const members = [{ memoryId: "in-set", spec: { initialPages: 1 } }];
  const made = await call("CreateMemorySet", { setId: "set", members });
  const set = await call("GetMemorySet", { setId: "set" });
  assert.deepEqual(set.memorySet.members[0].uid, made.memorySet.members[0].uid);
  assert.equal((await call("ListMemorySets")).memorySets[0].setId, "set");
  await call("DeleteMemorySet", { setId: "set" });
  const opened = await call("OpenView", { memoryId: "m", offset: 128, length: 4 });
  assert.equal(opened.data.toString(), "ment");
  const { viewId } = opened.view;
  assert.ok(!(await call("RefreshView", { viewId })).changed);
  await call("CloseView", { viewId });
}

async function shares() {
  const access = "SHARE_ACCESS_READ";
  const { share } = await call("ShareMemory", { memoryId: "m", granteeTenant: "another", access });
  const { shareId } = share;
  assert.equal((await call("ListShares")).shares[0].shareId, shareId);
  // It is for another tenant.
  await assert.rejects(call("MountShare", { shareId, memoryId: "theirs" }), { code: 5 });
  await call("RevokeShare", { shareId });
  assert.equal(((await call("ListShares")).shares ?? []).length, 0);
}

/** The messages of a stream, one at a time. */
async function* messages(stream) {
  for await (const message of stream) yield message;
}

async function hooks() {
  const service = client("HookService", tcp);
  const { hook } = await service.unary("CreateGrowHook", { hookId: "h" });
  const got = await service.unary("GetGrowHook", { hookId: "h" });
  assert.deepEqual(got.hook, hook);
  assert.equal((await service.unary("ListGrowHooks")).hooks[0].hookId, "h");
  const stream = service.stream("AnswerGrowHook");
  const heard = messages(stream);
  stream.write({ hookId: "h" });
  assert.equal((await heard.next()).value.started.hookId, "h");
  const growing = call("GrowMemory", { memoryId: "m", deltaPages: 1 });
  const { question } = (await heard.next()).value;
  assert.deepEqual([question.memoryId, Number(question.requestedPages)], ["m", 3]);
  stream.write({ answer: { questionId: question.questionId, verdict: "GROW_VERDICT_ALLOW" } });
  assert.equal((await heard.next()).value.told.grown, true);
  assert.equal(Number((await growing).currentPages), 3);
  stream.end();
  assert.equal((await heard.next()).done, true);
  await service.unary("DeleteGrowHook", { hookId: "h" });
  service.close();
}

async function events() {
  const service = client("EventService", tcp);
  const watch = service.stream("WatchEvents", { snapshot: true });
  const told = messages(watch);
  assert.ok((await told.next()).value.started.bootId);
  assert.equal((await told.next()).value.event.memoryId, "m");
  assert.ok((await told.next()).value.snapshotEnd);
  await call("DeleteMemory", { memoryId: "m" });
  assert.equal((await told.next()).value.event.kind, value("EventKind", "EVENT_KIND_DELETED"));
  watch.on("error", () => {});
  watch.cancel();
  service.close();
}

async function operators() {
  const service = client("AdminService", `unix:${socket}`);
  assert.ok(Number((await service.unary("GetHost")).host.hostPageBytes) >= 4096);
  const { tenants } = await service.unary("ListTenants");
  assert.deepEqual(tenants.map((one) => one.tenant), ["default"]);
  const spec = { maximumBytes: 1 << 20 };
  await service.unary("CreatePartition", { partitionId: "p", spec });
  const { partition } = await service.unary("GetPartition", { partitionId: "p" });
  assert.equal(Number(partition.spec.maximumBytes), 1 << 20);
  assert.equal((await service.unary("ListPartitions")).partitions[0].partitionId, "p");
  await service.unary("DeletePartition", { partitionId: "p" });
  assert.ok((await service.unary("Reload", { validateOnly: true })).configHash);
  assert.ok(Number((await service.unary("Drain")).drainLimit.seconds) > 0);
  service.close();
}

await memoriesAndBytes();
await waitsAndSessions();
await segmentsSetsAndViews();
await shares();
await hooks();
await events();
await operators();
memories.close();
assert.deepEqual([...called].sort(), [...described].sort());
console.log(`${called.size} RPCs called, every one that is described`);

// The spool on a real disk: order, restart, torn lines, the size limit, and a disk that is full.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Spool } from "../../plugin/spool.js";

const folder = () => fs.mkdtempSync(path.join(os.tmpdir(), "spool-"));
const overflow = (dropped, reason) =>
  JSON.stringify({ type: "openclaw.spool.overflow", time: "2026-01-01T00:00:00.000Z", data: { dropped, reason } });
const make = (dir, maxBytes = 1 << 20) => new Spool({ dir, maxBytes, makeOverflow: overflow });
const line = (n, size = 0) =>
  JSON.stringify({ id: String(n), time: "2026-01-01T00:00:00.000Z", pad: "x".repeat(size) });
const written = (dir) =>
  fs
    .readdirSync(dir)
    .filter((name) => name.endsWith(".ndjson"))
    .sort()
    .flatMap((name) => fs.readFileSync(path.join(dir, name), "utf8").split("\n").filter(Boolean))
    .map((text) => JSON.parse(text));

test("a line is on disk when append returns, in order, readable by nobody else", () => {
  const dir = folder();
  const spool = make(dir);
  for (let n = 0; n < 100; n += 1) assert.equal(spool.append(line(n)), true);
  assert.deepEqual(
    written(dir).map((event) => Number(event.id)),
    [...Array(100).keys()],
  );
  for (const name of fs.readdirSync(dir)) assert.equal(fs.statSync(path.join(dir, name)).mode & 0o077, 0);
  assert.equal(spool.stats().events, 100);
});

test("what a killed process left is recovered, without its torn last line", async () => {
  const dir = folder();
  const script = `
    import { Spool } from ${JSON.stringify(new URL("../../plugin/spool.js", import.meta.url).href)};
    const spool = new Spool({ dir: ${JSON.stringify(dir)}, maxBytes: 1 << 20, makeOverflow: () => "" });
    for (let n = 0; n < 50; n += 1) spool.append(JSON.stringify({ id: n }));
    process.kill(process.pid, "SIGKILL");`;
  const done = spawnSync(process.execPath, ["--input-type=module", "-e", script]);
  assert.equal(done.signal, "SIGKILL");
  const name = fs.readdirSync(dir).find((one) => one.endsWith(".ndjson"));
  fs.appendFileSync(path.join(dir, name), '{"id":"torn');
  const spool = make(dir);
  await spool.recover();
  assert.equal(spool.stats().events, 50);
  assert.equal(spool.segments[0].writing, false);
});

test("the limit holds: the oldest go, and overflow events account for every one of them", () => {
  const dir = folder();
  const spool = make(dir, 64 * 1024);
  const total = 2000;
  for (let n = 0; n < total; n += 1) assert.equal(spool.append(line(n, 200)), true);
  const bytes = fs
    .readdirSync(dir)
    .filter((name) => name.endsWith(".ndjson"))
    .reduce((sum, name) => sum + fs.statSync(path.join(dir, name)).size, 0);
  assert.ok(bytes <= 64 * 1024, `${bytes}`);
  const left = written(dir);
  const events = left.filter((event) => event.id !== undefined);
  const told = left.filter((event) => event.id === undefined).reduce((sum, event) => sum + event.data.dropped, 0);
  assert.equal(events.length + told, total);
  assert.equal(Number(events.at(-1).id), total - 1);
});

test("the segment that is being sent is not dropped", () => {
  const dir = folder();
  const spool = make(dir, 64 * 1024);
  for (let n = 0; n < 50; n += 1) spool.append(line(n, 200));
  spool.inUse = spool.segments[0];
  const kept = spool.inUse.path;
  for (let n = 50; n < 2000; n += 1) spool.append(line(n, 200));
  assert.ok(fs.existsSync(kept));
});

test(
  "a full disk costs no exception; what was lost is told when there is room again",
  { skip: process.getuid() !== 0 && "needs root to mount a small disk" },
  () => {
    const dir = folder();
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", dir]);
    try {
      const filler = path.join(dir, "filler");
      fs.writeFileSync(filler, "x".repeat(100 * 1024));
      const spool = make(dir, 10 << 20);
      let taken = 0;
      for (let n = 0; n < 600; n += 1) taken += spool.append(line(n, 1000)) ? 1 : 0;
      assert.ok(taken > 50 && taken < 600, `${taken}`);
      assert.equal(spool.dropped, 600 - taken);
      const counter = fs.readdirSync(dir).find((name) => name.endsWith(".dropped"));
      // An overflow event is shorter than these lines, so one or two may have found room: told and untold add up.
      const waiting = () => Number(fs.readFileSync(path.join(dir, counter), "utf8"));
      const toldBefore = written(dir).reduce((sum, event) => sum + (event.data?.dropped ?? 0), 0);
      assert.equal(waiting() + toldBefore, 600 - taken);
      assert.equal(written(dir).filter((event) => event.id).length, taken); // no half line stays behind
      const untold = waiting();
      fs.rmSync(filler);
      assert.equal(spool.append(line("after")), true);
      const told = written(dir).slice(-2);
      assert.deepEqual(
        told.map((event) => event.data?.dropped ?? event.id),
        [untold, "after"],
      );
      assert.equal(waiting(), 0);
    } finally {
      execFileSync("umount", ["-l", dir]);
    }
  },
);

test("a count that a dead process could not tell is told by the next", async () => {
  const dir = folder();
  fs.writeFileSync(path.join(dir, "1700000000000-999999.dropped"), "7".padEnd(16));
  const spool = make(dir);
  await spool.recover();
  assert.deepEqual(
    written(dir).map((event) => event.data.dropped),
    [7],
  );
  assert.equal(fs.existsSync(path.join(dir, "1700000000000-999999.dropped")), false);
});

test("a dead process's count waits for room on the disk, whole, and is told as soon as there is some", async () => {
  const dir = folder();
  const file = path.join(dir, "1700000000000-999999.dropped");
  fs.writeFileSync(file, "7".padEnd(16));
  const spool = make(dir);
  const write = spool.write;
  spool.write = () => {
    throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
  };
  await spool.recover();
  assert.equal(spool.unwritten, 0); // the notice is no event of its own that was lost
  assert.equal(fs.existsSync(file), true);
  spool.write = write;
  await spool.refresh();
  assert.deepEqual(
    written(dir).map((event) => event.data.dropped),
    [7],
  );
  assert.equal(fs.existsSync(file), false);
});

test("a spool that can't be opened counts and says why", () => {
  const file = path.join(folder(), "file");
  fs.writeFileSync(file, "");
  const spool = make(path.join(file, "spool"));
  assert.equal(spool.append(line(1)), false);
  assert.equal(spool.dropped, 1);
  assert.match(spool.lastError, /ENOTDIR|EEXIST/);
});

test("the segment being written gives its space back once it is acknowledged and has grown", () => {
  const dir = folder();
  const spool = make(dir, 16 << 20);
  for (let n = 0; n < 400; n += 1) spool.append(line(n, 1000));
  const [segment] = spool.segments;
  segment.acked = segment.size;
  spool.release(segment);
  assert.equal(fs.existsSync(segment.path), false);
  assert.equal(spool.append(line("next")), true);
  assert.deepEqual(
    written(dir).map((event) => event.id),
    ["next"],
  );
  assert.equal(spool.totalBytes, spool.segments[0].size);
});

test("a folder that is deleted or moved away under a running process is made anew, and what it held is told", async () => {
  for (const take of [(dir) => fs.rmSync(dir, { recursive: true }), (dir) => fs.renameSync(dir, `${dir}.aside`)]) {
    const dir = folder();
    const spool = make(dir);
    for (let n = 0; n < 7; n += 1) spool.append(line(n));
    take(dir);
    spool.append(line(7)); // nobody can read this any more
    await spool.refresh();
    assert.equal(spool.lastError, "");
    assert.deepEqual(
      written(dir).map((event) => event.data),
      [{ dropped: 8, reason: "the spool's files were removed" }],
    );
    spool.append(line(8));
    assert.deepEqual(
      written(dir).map((event) => event.id),
      [undefined, "8"],
    );
    assert.deepEqual([spool.stats().events, spool.stats().dropped], [2, 8]);
    await spool.refresh();
    assert.equal(spool.stats().events, 2);
  }
});

test("a folder that is gone before anything was written, or after everything was sent, loses nothing", async () => {
  const dir = folder();
  const spool = make(dir);
  fs.rmSync(dir, { recursive: true });
  await spool.refresh();
  spool.append(line(0));
  spool.segments[0].acked = spool.segments[0].size;
  spool.segments[0].ackedEvents = 1;
  fs.rmSync(dir, { recursive: true });
  await spool.recover();
  spool.append(line(1));
  assert.deepEqual(
    written(dir).map((event) => event.id),
    ["1"],
  );
  assert.equal(spool.stats().dropped, 0);
});

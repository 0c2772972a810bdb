// The spool: events on disk from the moment a hook fires until the sidecar has acknowledged them.
//
// A line is written with a synchronous write before the handler returns. That puts it into the page cache, which
// survives kill -9 of the Gateway (not a power cut). Every process writes segments of its own, named
// `<start ms>-<pid>-<number>.ndjson`; `<segment>.ack` holds how many bytes of it are acknowledged. The Gateway's service
// uploads all of them, those of earlier processes and of `openclaw agent --local` too.
import fs from "node:fs";
import path from "node:path";

const SEGMENT_BYTES = 4 * 1024 * 1024;
const RELEASE_BYTES = 256 * 1024;
const OVERFLOW_TYPE = '"type":"openclaw.spool.overflow"';
const CANT_WRITE = "the spool can't be written";
const CANT_READ = "the spool can't be read";
const NAME = /^(\d{13})-(\d+)-(\d{6})\.ndjson$/;

export class Spool {
  /** `makeOverflow(dropped, reason)` returns the line of an event that tells how many events were lost, and why. */
  constructor({ dir, maxBytes, makeOverflow, now = Date.now }) {
    this.dir = dir;
    this.maxBytes = maxBytes;
    this.makeOverflow = makeOverflow;
    this.now = now;
    this.segments = []; // oldest first; the last one of this process is being written
    this.active = null;
    this.fd = null;
    this.number = 0;
    this.prefix = null;
    this.totalBytes = 0;
    this.dropped = 0;
    this.lastError = "";
    this.inUse = null; // the segment that the uploader is reading
    this.unwritten = 0; // events that could not be written (disk full), not yet told
    this.counterFd = null;
    this.onAppend = () => {};
  }

  /** Write one line (without line break). True: it is in the page cache. False: it is counted as dropped. */
  append(line) {
    try {
      if (this.unwritten) this.tellUnwritten();
      this.write(line);
      if (this.lastError.startsWith(CANT_WRITE)) this.lastError = "";
      this.onAppend();
      return true;
    } catch (error) {
      this.lastError = `${CANT_WRITE}: ${error.message}`;
      this.countUnwritten(1);
      return false;
    }
  }

  write(line) {
    const bytes = Buffer.from(line + "\n");
    this.makeRoom(bytes.length);
    if (this.fd === null || this.active.size + bytes.length > this.segmentBytes()) this.rotate();
    const segment = this.active;
    let written = 0;
    try {
      while (written < bytes.length) written += fs.writeSync(this.fd, bytes, written);
    } catch (error) {
      if (written) fs.ftruncateSync(this.fd, segment.size);
      throw error;
    }
    segment.size += bytes.length;
    segment.events += 1;
    segment.firstTime ??= this.now();
    if (line.includes(OVERFLOW_TYPE)) segment.carried += JSON.parse(line).data.dropped - 1;
    this.totalBytes += bytes.length;
  }

  segmentBytes() {
    return Math.max(4096, Math.min(SEGMENT_BYTES, this.maxBytes >> 3));
  }

  rotate() {
    if (this.prefix === null) this.open();
    if (this.fd !== null) fs.closeSync(this.fd);
    this.fd = null;
    if (this.active) this.active.writing = false;
    this.number += 1;
    const name = `${this.prefix}-${String(this.number).padStart(6, "0")}.ndjson`;
    this.fd = fs.openSync(path.join(this.dir, name), "a", 0o600);
    this.active = newSegment(path.join(this.dir, name), { writing: true });
    this.segments.push(this.active);
  }

  open() {
    fs.mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    this.prefix = `${this.now()}-${process.pid}`;
    // Its bytes are there from the start, so that the count can be written on a disk that is full.
    this.counterFd = fs.openSync(path.join(this.dir, `${this.prefix}.dropped`), "w", 0o600);
    fs.writeSync(this.counterFd, String(this.unwritten).padEnd(16), 0);
  }

  makeRoom(needed) {
    while (this.totalBytes + needed > this.maxBytes) {
      const victim = this.segments.find((segment) => segment !== this.active && segment !== this.inUse);
      if (!victim) {
        if (this.active && this.active !== this.inUse && this.active.size > 0) {
          this.rotate();
          continue;
        }
        throw new Error(`the spool is full (${this.maxBytes} bytes) and all of it is being sent`);
      }
      this.dropSegment(victim);
    }
  }

  dropSegment(segment) {
    if (!segment.counted) countLines(segment);
    const lost = segment.events - segment.ackedEvents + segment.carried - segment.ackedCarried;
    this.remove(segment);
    if (lost <= 0) return;
    this.dropped += lost;
    this.write(this.makeOverflow(lost, "the spool is full"));
  }

  /**
   * Give an acknowledged segment's space back. The one being written is closed for that when it has grown, or when
   * the disk is full: otherwise it would keep the very space that the next events need.
   */
  release(segment) {
    const own = segment === this.active;
    if (segment.writing && !own) return;
    if (own && segment.size < RELEASE_BYTES && !this.unwritten) return;
    if (own) {
      fs.closeSync(this.fd);
      this.fd = null;
      this.active = null;
    }
    this.remove(segment);
    if (this.unwritten) this.tryTelling();
  }

  tryTelling() {
    try {
      this.tellUnwritten();
      this.onAppend();
    } catch (error) {
      this.lastError = `${CANT_WRITE}: ${error.message}`;
    }
  }

  /** Forget a segment and delete its files. */
  remove(segment) {
    this.segments = this.segments.filter((other) => other !== segment);
    this.totalBytes -= segment.size;
    for (const file of [segment.path, segment.path + ".ack"]) fs.rmSync(file, { force: true });
  }

  countUnwritten(count) {
    this.unwritten += count;
    this.dropped += count;
    try {
      if (this.counterFd !== null) fs.writeSync(this.counterFd, String(this.unwritten).padEnd(16), 0);
    } catch (error) {
      this.lastError = `the spool's counter can't be written: ${error.message}`;
    }
  }

  tellUnwritten() {
    this.write(this.makeOverflow(this.unwritten, this.lastError || "the spool could not be written"));
    this.unwritten = 0;
    if (this.counterFd !== null) fs.writeSync(this.counterFd, "0".padEnd(16), 0);
  }

  /** Take over what earlier or other processes left, oldest first. Called once by the service, before it uploads. */
  async recover() {
    this.renew();
    fs.mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    const mine = new Set(this.segments.map((segment) => segment.path));
    const found = [];
    for (const name of (await fs.promises.readdir(this.dir)).sort()) {
      const file = path.join(this.dir, name);
      if (NAME.test(name) && !mine.has(file)) found.push(await recoveredSegment(file, NAME.exec(name)));
      else if (name.endsWith(".dropped")) await this.recoverCounter(file, name);
    }
    this.segments = [...found, ...this.segments];
    this.totalBytes += found.reduce((sum, segment) => sum + segment.size, 0);
  }

  async recoverCounter(file, name) {
    const pid = Number(name.split("-")[1].split(".")[0]);
    if (this.prefix !== null && name === `${this.prefix}.dropped`) return;
    if (pid !== process.pid && isAlive(pid)) return;
    const lost = Number((await fs.promises.readFile(file, "utf8")).trim()) || 0;
    if (lost > 0) {
      try {
        this.write(this.makeOverflow(lost, "the spool could not be written"));
        this.onAppend();
      } catch (error) {
        this.lastError = `${CANT_WRITE}: ${error.message}`;
        return; // the disk is still full: the file keeps the count, and refresh() tries again
      }
    }
    await fs.promises.rm(file, { force: true });
  }

  /**
   * Somebody may have deleted the folder while this process runs (`uninstall --purge` and setup again, or by hand): what
   * is written then goes into files that nobody will ever read. Begin anew; what was not acknowledged is lost, and told.
   */
  renew() {
    if (this.prefix === null || (this.isThere() && !(this.active && !fs.existsSync(this.active.path)))) return;
    const gone = this.segments.filter((segment) => !segment.foreign && !fs.existsSync(segment.path));
    const lost = gone.reduce((sum, one) => sum + one.events - one.ackedEvents + one.carried - one.ackedCarried, 0);
    for (const fd of [this.fd, this.counterFd]) if (fd !== null) fs.closeSync(fd);
    if (this.active) this.active.writing = false;
    this.fd = this.counterFd = this.active = this.prefix = null;
    for (const segment of gone) this.remove(segment);
    if (lost <= 0) return;
    this.dropped += lost;
    try {
      this.write(this.makeOverflow(lost, "the spool's files were removed"));
    } catch (error) {
      this.lastError = `${CANT_WRITE}: ${error.message}`;
    }
  }

  isThere() {
    const found = fs.statSync(path.join(this.dir, `${this.prefix}.dropped`), { throwIfNoEntry: false });
    return found !== undefined && found.ino === fs.fstatSync(this.counterFd).ino;
  }

  /** Look at other processes' segments again: they may have grown. */
  async refresh() {
    try {
      await this.look();
      if (this.lastError.startsWith(CANT_READ)) this.lastError = "";
    } catch (error) {
      this.lastError = `${CANT_READ}: ${error.message}`;
    }
  }

  async look() {
    this.renew();
    fs.mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    for (const segment of this.segments.filter((one) => one.foreign)) {
      const alive = isAlive(segment.pid);
      const size = await fs.promises.stat(segment.path).then((found) => found.size, () => null);
      if (size === null) {
        this.remove(segment); // deleted by hand
        continue;
      }
      this.totalBytes += size - segment.size;
      if (size !== segment.size) segment.counted = false;
      segment.size = size;
      segment.writing = alive;
    }
    const known = new Set(this.segments.map((segment) => path.basename(segment.path)));
    for (const name of await fs.promises.readdir(this.dir)) {
      if (name.endsWith(".dropped")) await this.recoverCounter(path.join(this.dir, name), name);
      const match = NAME.exec(name);
      if (!match || known.has(name) || name.startsWith(`${this.prefix}-`)) continue;
      const segment = await recoveredSegment(path.join(this.dir, name), match);
      this.segments.unshift(segment);
      this.totalBytes += segment.size;
    }
  }

  /** What is waiting: events, bytes, the age of the oldest in seconds, and what was lost since the process started. */
  stats() {
    let events = 0;
    let bytes = 0;
    let oldest = Infinity;
    for (const segment of this.segments) {
      if (!segment.counted) countLines(segment);
      const waiting = segment.events - segment.ackedEvents;
      if (waiting <= 0) continue;
      events += waiting;
      bytes += segment.size - segment.acked;
      oldest = Math.min(oldest, segment.ackedTime ?? segment.firstTime ?? Infinity);
    }
    const oldestSeconds = oldest === Infinity ? 0 : Math.max(0, (this.now() - oldest) / 1000);
    return { events, bytes, oldestSeconds, dropped: this.dropped };
  }
}

/**
 * A segment's state. `acked` counts bytes; `carried` the losses that overflow events inside it tell of, less one each:
 * when such an event is lost itself, what it told is lost with it, but the event is no loss of its own.
 */
function newSegment(file, fields) {
  return {
    path: file,
    pid: process.pid,
    foreign: false,
    writing: false,
    size: 0,
    events: 0,
    carried: 0,
    counted: true,
    acked: 0,
    ackedEvents: 0,
    ackedCarried: 0,
    firstTime: undefined,
    ackedTime: undefined,
    ...fields,
  };
}

async function recoveredSegment(file, [, started, pid]) {
  const { size } = await fs.promises.stat(file);
  const acked = Number(await fs.promises.readFile(file + ".ack", "utf8").catch(() => "0")) || 0;
  const foreign = Number(pid) !== process.pid;
  const segment = newSegment(file, {
    pid: Number(pid),
    foreign,
    writing: foreign && isAlive(Number(pid)),
    size,
    acked: Math.min(acked, size),
    counted: false,
    firstTime: Number(started),
    recovered: true,
  });
  count(segment, await fs.promises.readFile(file, "latin1"));
  return segment;
}

/** Count a segment's lines again, at once: only for one that another process has written to meanwhile. */
function countLines(segment) {
  try {
    count(segment, fs.readFileSync(segment.path, "latin1"));
  } catch {
    segment.counted = true; // deleted by hand: nothing is left to count
  }
}

function count(segment, text) {
  const lines = text.slice(segment.acked).split("\n").slice(0, -1);
  segment.counted = true;
  segment.events = segment.ackedEvents + lines.length;
  segment.carried = segment.ackedCarried;
  for (const line of lines) {
    if (line.includes(OVERFLOW_TYPE)) segment.carried += Number(/"dropped":(\d+)/.exec(line)?.[1] ?? 1) - 1;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

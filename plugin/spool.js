// The spool: events on disk from the moment a hook fires until the sidecar has acknowledged them.
//
// A line is written with a synchronous write before the handler returns. That puts it into the page cache, which
// survives kill -9 of the Gateway (not a power cut). Every process writes segments (segment.js) of its own, named
// `<start ms>-<pid>-<number>.ndjson`. The Gateway's service uploads all of them, those of earlier processes and of
// `openclaw agent --local` too.
import fs from "node:fs";
import path from "node:path";
import { isAlive, Segment } from "./segment.js";
import { reasonOf } from "./text.js";

const SEGMENT_BYTES = 4 * 1024 * 1024;
const RELEASE_BYTES = 256 * 1024;
const CANT_WRITE = "the spool can't be written";
const CANT_READ = "the spool can't be read";

export class Spool {
  /** `makeOverflow(dropped, reason)` returns the line of an event that says how many events were lost, and why. */
  /** @param {{dir: string, maxBytes: number, makeOverflow: (dropped: number, reason: string) => string, now?: () => number}} options */
  constructor({ dir, maxBytes, makeOverflow, now = Date.now }) {
    this.dir = dir;
    this.maxBytes = maxBytes;
    this.makeOverflow = makeOverflow;
    this.now = now;
    /** @type {Segment[]} */
    this.segments = []; // oldest first; the last one of this process is being written
    /** @type {Segment | null} */
    this.active = null;
    this.number = 0;
    /** @type {string | null} */
    this.prefix = null;
    this.totalBytes = 0;
    this.dropped = 0;
    this.lastError = "";
    /** @type {Segment | null} */
    this.inUse = null; // the segment that the uploader is reading
    this.unwritten = 0; // events that could not be written (disk full), not yet reported
    /** @type {number | null} */
    this.counterFd = null;
    this.onAppend = () => {};
  }

  /**
   * Write one line (without line break). True: it is in the page cache. False: it is counted as dropped.
   * @param {string} line
   */
  append(line) {
    try {
      if (this.unwritten) this.tellUnwritten();
      this.write(line);
      if (this.lastError.startsWith(CANT_WRITE)) this.lastError = "";
      this.onAppend();
      return true;
    } catch (error) {
      this.lastError = `${CANT_WRITE}: ${reasonOf(error)}`;
      this.countUnwritten(1);
      return false;
    }
  }

  /** @param {string} line */
  write(line) {
    const needed = Buffer.byteLength(line) + 1;
    this.makeRoom(needed);
    const fits = this.active !== null && this.active.size + needed <= this.segmentBytes();
    const segment = fits && this.active ? this.active : this.rotate();
    this.totalBytes += segment.append(line, this.now());
  }

  segmentBytes() {
    return Math.max(4096, Math.min(SEGMENT_BYTES, this.maxBytes >> 3));
  }

  rotate() {
    const prefix = this.prefix ?? this.open();
    this.closeActive();
    this.number += 1;
    const segment = Segment.create(this.dir, prefix, this.number);
    this.segments.push(segment);
    this.active = segment;
    return segment;
  }

  closeActive() {
    this.active?.close();
    this.active = null;
  }

  open() {
    fs.mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    const prefix = `${this.now()}-${process.pid}`;
    this.prefix = prefix;
    // Its bytes are there from the start, so that the count can be written on a disk that is full.
    this.counterFd = fs.openSync(path.join(this.dir, `${this.prefix}.dropped`), "w", 0o600);
    fs.writeSync(this.counterFd, String(this.unwritten).padEnd(16), 0);
    return prefix;
  }

  /** @param {number} needed */
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

  /** @param {Segment} segment */
  dropSegment(segment) {
    segment.recount();
    const lost = segment.unsent;
    this.remove(segment);
    if (lost <= 0) return;
    this.dropped += lost;
    this.write(this.makeOverflow(lost, "the spool is full"));
  }

  /**
   * Give an acknowledged segment's space back. The one being written is closed for that when it has grown, or when
   * the disk is full: otherwise it would keep the very space that the next events need.
   * @param {Segment} segment
   */
  release(segment) {
    const own = segment === this.active;
    if (segment.writing && !own) return;
    if (own && segment.size < RELEASE_BYTES && !this.unwritten) return;
    if (own) this.closeActive();
    this.remove(segment);
    if (this.unwritten) this.tryTelling();
  }

  tryTelling() {
    try {
      this.tellUnwritten();
      this.onAppend();
    } catch (error) {
      this.lastError = `${CANT_WRITE}: ${reasonOf(error)}`;
    }
  }

  /**
   * Forget a segment and delete its files.
   * @param {Segment} segment
   */
  remove(segment) {
    this.segments = this.segments.filter((other) => other !== segment);
    this.totalBytes -= segment.size;
    segment.delete();
  }

  /** @param {number} count */
  countUnwritten(count) {
    this.unwritten += count;
    this.dropped += count;
    try {
      if (this.counterFd !== null) fs.writeSync(this.counterFd, String(this.unwritten).padEnd(16), 0);
    } catch (error) {
      this.lastError = `the spool's counter can't be written: ${reasonOf(error)}`;
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
      if (Segment.isOne(name) && !mine.has(file)) found.push(await Segment.find(this.dir, name));
      else if (name.endsWith(".dropped")) await this.recoverCounter(file, name);
    }
    this.segments = [...found, ...this.segments];
    this.totalBytes += found.reduce((sum, segment) => sum + segment.size, 0);
  }

  /** @param {string} file @param {string} name */
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
        this.lastError = `${CANT_WRITE}: ${reasonOf(error)}`;
        return; // the disk is still full: the file keeps the count, and refresh() tries again
      }
    }
    await fs.promises.rm(file, { force: true });
  }

  /**
   * Somebody may have deleted the folder while this process runs (`uninstall --purge` and setup again, or by hand): what
   * is written then goes into files that nobody will ever read. Begin again; what was not acknowledged is lost, and reported.
   */
  renew() {
    if (this.prefix === null || (this.isThere() && !(this.active && !this.active.exists))) return;
    const gone = this.segments.filter((segment) => !segment.foreign && !segment.exists);
    const lost = gone.reduce((sum, segment) => sum + segment.unsent, 0);
    this.closeActive();
    if (this.counterFd !== null) fs.closeSync(this.counterFd);
    this.counterFd = this.prefix = null;
    for (const segment of gone) this.remove(segment);
    if (lost <= 0) return;
    this.dropped += lost;
    try {
      this.write(this.makeOverflow(lost, "the spool's files were removed"));
    } catch (error) {
      this.lastError = `${CANT_WRITE}: ${reasonOf(error)}`;
    }
  }

  isThere() {
    const found = fs.statSync(path.join(this.dir, `${this.prefix}.dropped`), { throwIfNoEntry: false });
    return found !== undefined && this.counterFd !== null && found.ino === fs.fstatSync(this.counterFd).ino;
  }

  /** Look at other processes' segments again: they may have grown. */
  async refresh() {
    try {
      await this.look();
      if (this.lastError.startsWith(CANT_READ)) this.lastError = "";
    } catch (error) {
      this.lastError = `${CANT_READ}: ${reasonOf(error)}`;
    }
  }

  async look() {
    this.renew();
    fs.mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    for (const segment of this.segments.filter((one) => one.foreign)) {
      const grown = await segment.look();
      if (grown === null)
        this.remove(segment); // deleted by hand
      else this.totalBytes += grown;
    }
    const known = new Set(this.segments.map((segment) => path.basename(segment.path)));
    for (const name of await fs.promises.readdir(this.dir)) {
      if (name.endsWith(".dropped")) await this.recoverCounter(path.join(this.dir, name), name);
      if (!Segment.isOne(name) || known.has(name) || name.startsWith(`${this.prefix}-`)) continue;
      const segment = await Segment.find(this.dir, name);
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
      segment.recount();
      const waiting = segment.events - segment.ackedEvents;
      if (waiting <= 0) continue;
      events += waiting;
      bytes += segment.waitingBytes;
      oldest = Math.min(oldest, segment.ackedTime ?? segment.firstTime ?? Infinity);
    }
    const oldestSeconds = oldest === Infinity ? 0 : Math.max(0, (this.now() - oldest) / 1000);
    return { events, bytes, oldestSeconds, dropped: this.dropped };
  }
}

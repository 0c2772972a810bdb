// One segment of the spool: a file of events, one a line, and `<file>.ack`, which holds how many bytes of it the sidecar
// has acknowledged. Everything that touches these files is here. A segment is written by the process that made it alone;
// others, which send it, see it grow.
import fs from "node:fs";
import path from "node:path";
import { reasonOf } from "./text.js";

const OVERFLOW_TYPE = '"type":"openclaw.spool.overflow"';
const NAME = /^(\d{13})-(\d+)-(\d{6})\.ndjson$/;

export class Segment {
  /**
   * @param {string} file
   * @param {{pid?: number, firstTime?: number, size?: number, acked?: number, recovered?: boolean}} state
   */
  constructor(file, { pid = process.pid, firstTime, size = 0, acked = 0, recovered = false } = {}) {
    this.path = file;
    this.pid = pid;
    this.foreign = pid !== process.pid;
    this.recovered = recovered; // found on disk: an earlier process may have sent some of it
    this.writing = recovered ? this.foreign && isAlive(pid) : true;
    this.size = size; // bytes
    this.acked = acked; // bytes
    this.events = 0;
    this.ackedEvents = 0;
    // The losses that overflow events in it report, less one each: when such an event is lost itself, what it reported is
    // lost with it, but the event is no loss of its own.
    this.carried = 0;
    this.ackedCarried = 0;
    this.counted = true;
    this.firstTime = firstTime; // ms
    /** @type {number | undefined} */
    this.ackedTime = undefined; // ms: of the last event that is acknowledged
    this.stuck = false; // its last line is still being written
    this.asked = false; // whether this process has sent some of it
    /** @type {number | null} */
    this.fd = null;
  }

  /**
   * What a file's name says: whether it is a segment.
   * @param {string} name
   */
  static isOne(name) {
    return NAME.test(name);
  }

  /**
   * A new segment to write to; throws when its file can't be made.
   * @param {string} dir
   * @param {string} prefix
   * @param {number} number
   */
  static create(dir, prefix, number) {
    const segment = new Segment(path.join(dir, `${prefix}-${String(number).padStart(6, "0")}.ndjson`));
    segment.fd = fs.openSync(segment.path, "a", 0o600);
    return segment;
  }

  /**
   * A segment that is on disk.
   * @param {string} dir
   * @param {string} name
   */
  static async find(dir, name) {
    const [, started, pid] = NAME.exec(name) ?? [];
    const file = path.join(dir, name);
    const { size } = await fs.promises.stat(file);
    const acked = Number(await fs.promises.readFile(ackOf(file), "utf8").catch(() => "0")) || 0;
    const state = { pid: Number(pid), firstTime: Number(started), size, acked: Math.min(acked, size), recovered: true };
    const segment = new Segment(file, state);
    segment.count(await fs.promises.readFile(file, "latin1"));
    return segment;
  }

  /** Bytes that are not acknowledged. */
  get waitingBytes() {
    return this.size - this.acked;
  }

  /** Events that would be lost with this segment, those that its overflow events tell of included. */
  get unsent() {
    return this.events - this.ackedEvents + this.carried - this.ackedCarried;
  }

  get writable() {
    if (this.fd === null) throw new Error(`${this.path} is closed`);
    return this.fd;
  }

  get exists() {
    return fs.existsSync(this.path);
  }

  /**
   * Write one line, whole or not at all; throws when it can't be written. Returns its bytes.
   * @param {string} line
   * @param {number} now
   */
  append(line, now) {
    const bytes = Buffer.from(line + "\n");
    let written = 0;
    try {
      while (written < bytes.length) written += fs.writeSync(this.writable, bytes, written);
    } catch (error) {
      if (written) fs.ftruncateSync(this.writable, this.size);
      throw error;
    }
    this.size += bytes.length;
    this.events += 1;
    this.firstTime ??= now;
    this.carried += carriedBy(line);
    return bytes.length;
  }

  /** Write no more to it. */
  close() {
    this.writing = false;
    if (this.fd !== null) fs.closeSync(this.fd);
    this.fd = null;
  }

  /**
   * At most `limit` whole lines, of `room` bytes in all, behind those that are acknowledged.
   * @param {number} limit
   * @param {number} room
   */
  async read(limit, room) {
    const wanted = Math.min(room, this.waitingBytes);
    const buffer = Buffer.allocUnsafe(wanted);
    const file = await fs.promises.open(this.path, "r");
    let length = 0;
    try {
      ({ bytesRead: length } = await file.read(buffer, 0, wanted, this.acked));
    } finally {
      await file.close();
    }
    const lines = [];
    let begin = 0;
    while (lines.length < limit) {
      const end = buffer.indexOf(10, begin);
      if (end < 0 || end >= length) break;
      lines.push(buffer.toString("utf8", begin, end));
      begin = end + 1;
    }
    return { lines, bytes: begin };
  }

  /**
   * These lines are acknowledged: in memory. `saveOffset` writes it down.
   * @param {string[]} lines
   * @param {number} bytes
   */
  acknowledge(lines, bytes) {
    this.acked += bytes;
    this.ackedEvents += lines.length;
    this.ackedTime = Date.parse(timeOf(lines[lines.length - 1])) || this.firstTime;
    for (const line of lines) this.ackedCarried += carriedBy(line);
  }

  /** Write down how far it is acknowledged; rejects with the file's name when it can't be written. */
  async saveOffset() {
    const file = ackOf(this.path);
    try {
      await fs.promises.writeFile(`${file}.new`, String(this.acked), { mode: 0o600 });
      await fs.promises.rename(`${file}.new`, file);
    } catch (error) {
      throw new Error(`${file} can't be written: ${reasonOf(error)}`, { cause: error });
    }
  }

  /** Look again at a file of another process; returns by how many bytes it has grown, or null when it is gone. */
  async look() {
    const size = await fs.promises.stat(this.path).then(
      (found) => found.size,
      () => null,
    );
    if (size === null) return null;
    const grown = size - this.size;
    if (grown) this.counted = false;
    this.size = size;
    this.writing = isAlive(this.pid);
    return grown;
  }

  /** Count its lines again where another process has written meanwhile. */
  recount() {
    if (this.counted) return;
    try {
      this.count(fs.readFileSync(this.path, "latin1"));
    } catch {
      this.counted = true; // deleted by hand: nothing is left to count
    }
  }

  /** @param {string} text */
  count(text) {
    const lines = text.slice(this.acked).split("\n").slice(0, -1);
    this.counted = true;
    this.events = this.ackedEvents + lines.length;
    this.carried = lines.reduce((sum, line) => sum + carriedBy(line), this.ackedCarried);
  }

  /** Delete its files. */
  delete() {
    this.close();
    for (const file of [this.path, ackOf(this.path)]) fs.rmSync(file, { force: true });
  }
}

/**
 * Whether a process runs.
 * @param {number} pid
 */
export function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}

/**
 * When an event was made, as its line says it; now when it says nothing.
 * @param {string} line
 */
export function timeOf(line) {
  return /"time":"([^"]+)"/.exec(line)?.[1] ?? new Date().toISOString();
}

/** @param {string} file */
function ackOf(file) {
  return `${file}.ack`;
}

/** @param {string} line */
function carriedBy(line) {
  return line.includes(OVERFLOW_TYPE) ? Number(/"dropped":(\d+)/.exec(line)?.[1] ?? 1) - 1 : 0;
}

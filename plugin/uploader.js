// The uploader: sends what is in the spool to the sidecar, in order, one batch at a time, and moves the
// acknowledged offset only after a complete and plausible 200. Everything else is tried again; nothing is skipped but
// an event that the sidecar itself has refused, or on which it fails while it takes others: these are kept in
// rejected.ndjson and counted.
/** @import { Segment } from "./segment.js" */
/** @import { Sidecar } from "./sidecar.js" */
/** @import { Spool } from "./spool.js" */
/** @import { Batch, Failure } from "./types.js" */
import fs from "node:fs";
import path from "node:path";
import { timeOf } from "./segment.js";
import { reasonOf } from "./text.js";

const BATCH_EVENTS = 1000;
const BATCH_BYTES = 4 * 1024 * 1024;
const LINGER_MS = 15;
const BACKOFF_MS = [200, 500, 1000, 2000, 5000, 10_000, 20_000];
const TRIES_ALONE = 3; // before an event on which the sidecar fails is put aside
const ASIDE_AT_ONCE = 3; // more in a row than these, and the fault is not one of events: then one in ASIDE_PAUSE_MS
const ASIDE_PAUSE_MS = 60_000;
const REJECTED_BYTES = 8 * 1024 * 1024;
const NDJSON = "application/x-ndjson";
const OURS = "urn:openclaw-nats:problem:";

/** @typedef {{rejected: {index: number, error: string}[], failed?: boolean}} Outcome */

export class Uploader {
  /** @param {{spool: Spool, home: string, sidecar: Sidecar, random?: () => number}} options */
  constructor({ spool, home, sidecar, random = Math.random }) {
    this.spool = spool;
    this.home = home;
    this.sidecar = sidecar;
    this.random = random;
    this.running = false;
    this.failures = 0;
    this.rejected = 0;
    this.lastError = "";
    this.limit = BATCH_EVENTS;
    /** @type {string | null} */
    this.retrySince = null; // since when the outcome for the lines up to `unknown` is not known
    /** @type {{segment: Segment, end: number} | null} */
    this.unknown = null; // { segment, end }
    this.choked = 0; // failures in a row of a sidecar that answers, or should
    this.aside = { inARow: 0, last: 0 };
    /** @type {NodeJS.Timeout | undefined} */
    this.timer = undefined;
    this.busy = false;
    this.again = false;
    this.notBefore = 0;
    this.idle = Promise.resolve();
  }

  /** Begin to send. */
  start() {
    this.running = true;
    this.spool.onAppend = () => this.kick();
    this.kick(0);
  }

  /**
   * Send once more what is there, for at most `graceMs`, then stop. What is left stays on disk.
   * @param {number} [graceMs]
   */
  async stop(graceMs = 1500) {
    const deadline = Date.now() + graceMs;
    while (this.running && !this.failures && this.spool.stats().events > 0 && Date.now() < deadline) {
      this.kick(0);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    this.running = false;
    clearTimeout(this.timer);
    this.timer = undefined; // it may be started again in this process: a Gateway replaces plugins while it runs
    this.spool.onAppend = () => {};
    this.sidecar.close();
    await Promise.race([this.idle, new Promise((resolve) => setTimeout(resolve, 200).unref())]);
  }

  /**
   * Send soon: a short pause lets events of the same moment share a batch.
   * @param {number} [delay]
   */
  kick(delay = LINGER_MS) {
    if (!this.running || this.timer || this.busy) return;
    const wait = Math.max(delay, this.notBefore - Date.now()); // an event that comes during a pause does not end it
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.busy = true;
      this.idle = this.drain().finally(() => {
        this.busy = false;
        if (this.again) this.kick();
      });
    }, wait);
    this.timer.unref?.();
  }

  async drain() {
    this.notBefore = 0;
    try {
      while (this.running && (await this.sendBatch()));
      this.failures = 0;
    } catch (thrown) {
      const error = /** @type {Failure} */ (thrown);
      if (error.code === "ENOENT") this.spool.renew();
      this.lastError = error.message;
      const base = BACKOFF_MS[Math.min(this.failures, BACKOFF_MS.length - 1)];
      this.notBefore = Date.now() + Math.max(base * (0.5 + this.random()), error.retryAfterMs ?? 0);
      this.failures += 1;
    }
    this.again = this.spool.segments.some((segment) => segment.waitingBytes > 0 && !segment.stuck);
  }

  /** Send one batch; false when nothing is waiting. Throws when it has to be tried again. */
  async sendBatch() {
    const batch = await this.nextBatch();
    if (!batch) return false;
    if (this.retrySince === null && batch.segment.recovered && !batch.segment.asked) {
      this.retrySince = timeOf(batch.lines[0]); // an earlier process may have sent it and died before the answer
    }
    batch.segment.asked = true;
    /** @type {string} */
    const attempted = this.retrySince ?? new Date().toISOString();
    /** @type {Outcome} */
    let outcome;
    try {
      outcome = await this.post(batch.lines);
    } catch (thrown) {
      const error = /** @type {Failure} */ (thrown);
      if (!error.definite) {
        this.retrySince = attempted;
        const end = batch.segment.acked + batch.bytes;
        if (this.unknown?.segment !== batch.segment || (this.unknown?.end ?? 0) < end)
          this.unknown = { segment: batch.segment, end };
      }
      if (!error.tooMuch) await this.choke(batch, error);
      if (batch.lines.length > 1) {
        this.limit = Math.ceil(batch.lines.length / 2);
        return true;
      }
      outcome = { rejected: [{ index: 0, error: error.message }], failed: !error.tooMuch };
    }
    for (const { index, error } of outcome.rejected) this.keepRejected(batch.lines[index], error);
    await this.acknowledge(batch);
    if (this.unknown?.segment !== batch.segment || batch.segment.acked >= (this.unknown?.end ?? 0))
      this.retrySince = this.unknown = null;
    this.limit = Math.min(BATCH_EVENTS, this.limit * 2);
    this.choked = 0;
    if (!outcome.failed) this.aside.inARow = 0;
    this.failures = 0;
    this.lastError = "";
    return true;
  }

  /**
   * After a failure that may be one event's fault: returns when the batch should be made smaller, or its only event be
   * put aside; throws the error when the same has to be tried again.
   * @param {Batch} batch
   * @param {Failure} error
   */
  async choke(batch, error) {
    if (!error.chokes) throw error;
    this.choked += 1;
    if (batch.lines.length > 1 && this.choked > 1) {
      this.choked = 1;
      return;
    }
    if (this.choked <= TRIES_ALONE) throw error;
    await this.post([]); // throws when the sidecar takes nothing at all: then it is no event's fault
    const wait = this.aside.last + ASIDE_PAUSE_MS - Date.now();
    if (this.aside.inARow >= ASIDE_AT_ONCE && wait > 0) throw Object.assign(error, { retryAfterMs: wait });
    this.aside = { inARow: this.aside.inARow + 1, last: Date.now() };
  }

  async nextBatch() {
    for (const segment of [...this.spool.segments]) {
      if (segment.waitingBytes <= 0) {
        if (!segment.writing) this.spool.remove(segment);
        continue;
      }
      this.spool.inUse = segment;
      const { lines, bytes } = await segment.read(this.limit, BATCH_BYTES);
      if (lines.length) return { segment, lines, bytes };
      segment.stuck = segment.writing; // half a line that its process is still writing
      if (!segment.writing) this.spool.remove(segment); // a torn last line: its handler never returned
    }
    this.spool.inUse = null;
    return null;
  }

  /** @param {Batch} batch */
  async acknowledge({ segment, lines, bytes }) {
    segment.acknowledge(lines, bytes);
    this.spool.inUse = null;
    if (segment.waitingBytes <= 0) this.spool.release(segment);
    if (!this.spool.segments.includes(segment)) return;
    try {
      await segment.saveOffset();
    } catch (error) {
      this.lastError = reasonOf(error); // sent again after a restart, and deduplicated
    }
  }

  /** @param {string} line @param {string} error */
  keepRejected(line, error) {
    this.rejected += 1;
    const file = path.join(this.home, "spool", "rejected.ndjson");
    try {
      if ((fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0) < REJECTED_BYTES) {
        fs.appendFileSync(file, JSON.stringify({ error, event: line }) + "\n", { mode: 0o600 });
      }
    } catch (failure) {
      this.lastError = `${file} can't be written: ${reasonOf(failure)}`;
    }
  }

  /**
   * POST lines as NDJSON and return the sidecar's outcome; throws with what to do about it.
   * @param {string[]} lines
   * @returns {Promise<Outcome>}
   */
  async post(lines) {
    const headers = this.retrySince ? { "openclaw-nats-retry-since": this.retrySince } : {};
    const { status, body, retryAfter } = await this.sidecar.post("/api/events", lines.join("\n"), NDJSON, { headers });
    if (status === 200) return checkedOutcome(body, lines.length);
    const ours = body.includes(OURS);
    if (ours && status === 413) {
      throw Object.assign(new Error(detailOf(body)), { tooMuch: true, definite: true });
    }
    const reason = status === 401 ? "the sidecar refuses the API key" : ours ? detailOf(body) : "is it our sidecar?";
    throw Object.assign(new Error(`${this.sidecar.url} answered ${status}: ${reason}`), {
      retryAfterMs: retryAfter * 1000 || (status === 401 ? 5000 : 0),
      definite: status === 401,
      chokes: status === 500,
    });
  }
}

/** @param {string} body @param {number} count @returns {Outcome} */
function checkedOutcome(body, count) {
  let outcome;
  try {
    outcome = JSON.parse(body);
  } catch {
    throw new Error("the sidecar's answer is no JSON");
  }
  const answered = outcome?.accepted + outcome?.duplicates + (outcome?.filtered ?? 0) + outcome?.rejected?.length;
  if (answered !== count) throw new Error(`the sidecar answered for ${answered} events, but ${count} were sent`);
  return outcome;
}

/** @param {string} body @returns {string} */
function detailOf(body) {
  try {
    return JSON.parse(body).detail;
  } catch {
    return "unknown error";
  }
}

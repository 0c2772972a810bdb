// The turns that the guard has to know while they last: whose run and session, and what its dispatch may do. Also on disk,
// because a Gateway that was killed takes a turn up again before anybody has ordered anything. Unlike what events are
// stamped with, none of it may be forgotten to make room: that would let a turn do everything.
/** @import { Cause } from "./types.js" */
import fs from "node:fs";
import path from "node:path";

const RESUMED_MS = 3_600_000;
const UNREAD_MS = 900_000; // by then a Gateway that was killed has taken up what it takes up
const IDLE_MS = 30_000; // what waits for a session begins when the turn before has ended
const IDLE_UNSURE_MS = 600_000;
const MAX_BYTES = 1024 * 1024;

/**
 * @typedef {object} Turn
 * @property {string} [run]
 * @property {string} [session] its key, or its beginning and a *
 * @property {number | null} until ms; null while it runs
 * @property {Cause} cause
 * @property {string} [child] the run of the subagent that it is there for
 * @property {number} [since] ms; of one whose end nobody reports: when it was announced
 * @property {number} [idle] ms; of such a one: when it is over, if no run of its session begins before
 */

export class GuardedTurns {
  /** @param {string} file where it is kept; empty for nowhere */
  constructor(file = "", now = Date.now) {
    this.file = file;
    this.now = now;
    this.problem = "";
    /** @type {Map<string, Turn>} */
    this.turns = new Map(); // by dispatch and session
    this.unreadUntil = 0; // ms; until then nobody knows which turns are guarded
    this.load();
  }

  /** @param {string} id @param {Turn} turn */
  begin(id, turn) {
    this.turns.delete(id);
    this.turns.set(id, turn);
    this.save();
  }

  /** @param {string} id */
  end(id) {
    if (this.turns.delete(id)) this.save();
  }

  /**
   * What rules a run or a session: the strictest of its own dispatch and of those that last in that session, from which
   * something may be steered into this run.
   * @param {string | undefined} run
   * @param {string | undefined} session
   * @param {Cause} [own] the run's, where it is known
   * @returns {Cause | undefined}
   */
  ruling(run, session, own) {
    if (!this.turns.size && !this.unreadUntil) return own;
    const now = this.now();
    const place = session?.split(":heartbeat")[0]; // a session's heartbeats are the session itself
    let found = own;
    let known = own !== undefined;
    for (const [id, turn] of this.turns) {
      if (isOver(turn, now)) {
        this.turns.delete(id);
        continue;
      }
      const itself = Boolean(run) && turn.run === run;
      known ||= itself;
      if (!itself && (place === undefined || !turn.session || !isIn(turn.session, place))) continue;
      // Something of it runs on, whose beginning was not reported.
      if (turn.idle && !known) turn.idle = now + IDLE_UNSURE_MS;
      if (!found || strictness(turn.cause) > strictness(found)) found = turn.cause;
    }
    return found ?? (this.unreadUntil > now ? { dispatch: "", hops: 0 } : undefined);
  }

  /**
   * What rules the turn in which a subagent's result is read, by that turn's run.
   * @param {string} run
   * @returns {Cause | undefined}
   */
  announced(run) {
    const now = this.now();
    for (const turn of this.turns.values())
      if (turn.child && !isOver(turn, now) && run.includes(`:${turn.child}`)) return turn.cause;
    return undefined;
  }

  /** @param {string} child the run of a subagent that has ended @param {number} until ms */
  childEnded(child, until) {
    const own = [...this.turns.values()].filter((turn) => turn.child === child);
    for (const turn of own) turn.until = Math.min(turn.until ?? until, until);
    if (own.length) this.save();
  }

  /**
   * A run has begun or ended in a session: see Causes.ran. What was announced for many sessions (a *) is left alone.
   * @param {string} session
   * @param {{startedAt?: number, ended?: boolean, sure?: boolean}} what
   */
  ran(session, { startedAt, ended, sure }) {
    for (const turn of this.turns.values()) {
      if (turn.since === undefined || turn.session !== session) continue;
      if (!ended) turn.idle = undefined;
      else if (turn.idle || (startedAt ?? 0) >= turn.since - 1000)
        turn.idle = this.now() + (sure ? IDLE_MS : IDLE_UNSURE_MS);
    }
  }

  /**
   * The causes of the turns that last in a session.
   * @param {string | undefined} session
   * @returns {Cause[]}
   */
  inSession(session) {
    const now = this.now();
    const found = [...this.turns.values()].filter(
      (turn) => turn.session && session && isIn(turn.session, session) && !isOver(turn, now),
    );
    return found.map(({ cause }) => cause);
  }

  load() {
    if (!this.file) return;
    try {
      if (fs.statSync(this.file).size > MAX_BYTES) throw new Error("it is too large");
      const most = this.now() + RESUMED_MS;
      for (const [id, turn] of JSON.parse(fs.readFileSync(this.file, "utf8")))
        this.turns.set(String(id), { ...turn, until: Math.min(turn.until ?? most, most) });
    } catch (error) {
      const { code, message } = /** @type {NodeJS.ErrnoException} */ (error);
      if (code === "ENOENT") return;
      this.problem = `${path.basename(this.file)} can't be read: ${message}`;
      this.unreadUntil = this.now() + UNREAD_MS;
    }
  }

  save() {
    if (!this.file) return;
    const temporary = `${this.file}.${process.pid}`;
    try {
      const guarded = [...this.turns].filter(([, { cause }]) => strictness(cause) > 0);
      fs.writeFileSync(temporary, JSON.stringify(guarded), { mode: 0o600 });
      fs.renameSync(temporary, this.file);
      this.problem = "";
    } catch (error) {
      this.problem = `${path.basename(this.file)} can't be written: ${/** @type {Error} */ (error).message}`;
    }
  }
}

/** @param {Turn} turn @param {number} now */
function isOver({ until, idle }, now) {
  return (until !== null && until < now) || (idle !== undefined && idle < now);
}

/** @param {string} known @param {string} session */
function isIn(known, session) {
  return known.endsWith("*") ? session.startsWith(known.slice(0, -1)) : known === session;
}

/** @param {Cause} cause @returns {number} 0: nothing from outside has led to it */
function strictness({ policy }) {
  if (!policy) return 4;
  if (!policy.tainted) return 0;
  if (policy.guard === "off") return 1; // it may do all, but what it does is tainted
  return policy.tools === "all" ? 2 : 3;
}

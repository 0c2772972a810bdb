// The turns that the guard has to know while they last: whose run and session, and what its dispatch may do. Also on disk,
// because a Gateway that was killed takes a turn up again before anybody has ordered anything. Unlike what events are
// stamped with, none of it may be forgotten to make room: that would let a turn do everything.
/** @import { Cause } from "./types.js" */
import fs from "node:fs";
import path from "node:path";

const RESUMED_MS = 3_600_000;
const MAX_BYTES = 1024 * 1024;

/**
 * @typedef {object} Turn
 * @property {string} [run]
 * @property {string} [session] its key, or its beginning and a *
 * @property {number | null} until ms; null while it runs
 * @property {Cause} cause
 */

export class GuardedTurns {
  /** @param {string} file where it is kept; empty for nowhere */
  constructor(file = "", now = Date.now) {
    this.file = file;
    this.now = now;
    this.problem = "";
    /** @type {Map<string, Turn>} */
    this.turns = new Map(); // by dispatch and session
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
   * What rules a run or a session: its own dispatch, else the strictest one that lasts in that session.
   * @param {string | undefined} run
   * @param {string | undefined} session
   * @returns {Cause | undefined}
   */
  ruling(run, session) {
    if (!this.turns.size) return undefined;
    const now = this.now();
    const place = session?.split(":heartbeat")[0]; // a session's heartbeats are the session itself
    /** @type {Cause | undefined} */
    let found;
    for (const [id, turn] of this.turns) {
      if (turn.until !== null && turn.until < now) {
        this.turns.delete(id);
        continue;
      }
      if (run && turn.run === run) return turn.cause;
      if (place === undefined || !turn.session || !isIn(turn.session, place)) continue;
      if (!found || strictness(turn.cause) > strictness(found)) found = turn.cause;
    }
    return found;
  }

  /**
   * The causes of the turns that last in a session.
   * @param {string | undefined} session
   * @returns {Cause[]}
   */
  inSession(session) {
    const now = this.now();
    const found = [...this.turns.values()].filter(
      (turn) => turn.session && session && isIn(turn.session, session) && !(turn.until !== null && turn.until < now),
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
      if (code !== "ENOENT") this.problem = `${path.basename(this.file)} can't be read: ${message}`;
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

/** @param {string} known @param {string} session */
function isIn(known, session) {
  return known.endsWith("*") ? session.startsWith(known.slice(0, -1)) : known === session;
}

/** @param {Cause} cause */
function strictness({ policy }) {
  if (!policy) return 3;
  if (!policy.tainted || policy.guard === "off") return 0;
  return policy.tools === "all" ? 1 : 2;
}

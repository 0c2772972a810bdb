// Which delivery an event goes back to: the loop guard's memory. A run that a delivery started stamps all its events
// with the delivery's id and with `hops`, how many deliveries lie between the event and the outside. Subagents of the
// run inherit it. Events without a run id go by their session, for as long as its delivery lasts and a little longer.
// With the cause goes the trace of who published what was delivered, and what the guard lets the run do (guard.js).
/** @import { Cause, Child, Grant, Order, SessionCause } from "./types.js" */
import { GuardedTurns } from "./guarded-turns.js";
import { BoundedMap } from "./memory.js";

const AFTER_MS = 10_000;
const ANNOUNCED = "announce:"; // then v1:<the subagent's session>:<its run>, in 2026.3, 2026.6 and 2026.9
const SENT_MS = 3_600_000; // a session that was spoken to: nobody says when it has answered
const LEFT_MS = 3_600_000; // a command that runs on: OpenClaw wakes the session with its output
const SPAWNED_MS = 86_400_000; // a subagent, unless its end is reported
const HANDED_OVER_MS = 900_000; // after its end: its result starts a turn in its parent's session
const MAX_KEY = 1024;
const MOST_PER_SESSION = 20;

export class Causes {
  constructor(now = Date.now, guarded = new GuardedTurns()) {
    this.now = now;
    this.guarded = guarded;
    /** @type {BoundedMap<string, Cause>} */
    this.runs = new BoundedMap(); // run id → {dispatch, hops, traceparent?, run?}
    /** @type {BoundedMap<string, SessionCause[]>} */
    this.sessions = new BoundedMap(); // session key, or its beginning and a * → [{…, until, everyRun}]
    this.prefixes = 0;
  }

  /**
   * A delivery starts a run whose id and session are known.
   * @param {Pick<Order, "key" | "sessionKey" | "dispatch" | "hops" | "traceparent" | "policy">} order
   */
  begin({ key, sessionKey, dispatch, hops, traceparent, policy }) {
    const cause = { ...causeOf({ dispatch, hops, traceparent, policy }), ...(traceparent && { run: key }) };
    this.runs.set(key, cause);
    this.remember(sessionKey, { ...cause, until: Infinity, everyRun: false });
    this.guarded.begin(dispatch, { run: key, session: sessionKey, until: null, cause });
  }

  /**
   * That run has ended; what comes a little later in its session still belongs to it.
   * @param {Pick<Order, "sessionKey" | "dispatch">} order
   */
  end({ sessionKey, dispatch }) {
    this.guarded.end(dispatch);
    const cause = this.sessions.get(sessionKey)?.find((one) => one.dispatch === dispatch);
    if (cause) cause.until = this.now() + AFTER_MS;
  }

  /**
   * A delivery whose run's id is not known: for so long, every run of the session counts.
   * With `unseen` nobody waits for the run's end: it is over when a run of the session has ended, and none has begun for
   * a while.
   * @param {Pick<Order, "session" | "dispatch" | "hops" | "traceparent" | "seconds" | "policy" | "unseen">} order
   */
  announce({ session, dispatch, hops, traceparent, seconds, policy, unseen }) {
    const cause = causeOf({ dispatch, hops, traceparent, policy });
    const until = this.now() + seconds * 1000;
    this.remember(session, { ...cause, until, everyRun: true });
    this.guarded.begin(`${dispatch} ${session}`, { session, until, cause, ...(unseen && { since: this.now() }) });
  }

  /**
   * A run has spawned another one, or spoken to a session. While that is under way the session of its parent is guarded
   * as well: a result, or an answer, comes back there, into a turn that runs or one of its own.
   * @param {Child} child
   */
  inherit({ parentRun, parentSession, childRun, childSession }) {
    const cause = this.ruling(parentRun, parentSession) ?? this.of(parentRun, parentSession);
    if (!cause) return;
    const passed = withoutGrant(causeOf(cause));
    if (childRun) this.runs.set(childRun, passed);
    const until = this.now() + (childRun ? SPAWNED_MS : SENT_MS);
    const usable = typeof childSession === "string" && childSession.length <= MAX_KEY && !childSession.endsWith("*");
    const session = !usable || childSession === parentSession ? undefined : childSession;
    const id = `${passed.dispatch} ${childRun} ${session}`;
    this.guarded.begin(id, { run: childRun, session, until, cause: passed, child: childRun });
    if (parentSession)
      this.guarded.begin(`${id} awaited`, { session: parentSession, until, cause: passed, child: childRun });
    if (session) this.remember(session, { ...passed, until, everyRun: true });
  }

  /**
   * A run has left a command running: when that ends, OpenClaw starts a turn in the session to read its output.
   * @param {string | undefined} run
   * @param {string | undefined} session
   */
  leftRunning(run, session) {
    const cause = this.ruling(run, session);
    if (!cause || !session) return;
    const passed = withoutGrant(causeOf(cause));
    this.guarded.begin(`${passed.dispatch} left ${session}`, { session, until: this.now() + LEFT_MS, cause: passed });
  }

  /**
   * A subagent's end was reported, which comes when its result was handed over: the turn in which its parent reads it may
   * still run.
   * @param {string | undefined} childRun
   */
  childEnded(childRun) {
    if (childRun) this.guarded.childEnded(childRun, this.now() + HANDED_OVER_MS);
  }

  /**
   * A run has begun in a session, or ended there (with when it had begun, if that is known).
   * @param {string | undefined} session
   * @param {{startedAt?: number, ended?: boolean, sure?: boolean}} what `sure`: this Gateway reports every beginning
   */
  ran(session, what) {
    if (session) this.guarded.ran(session, what);
  }

  /**
   * The cause of an event, or nothing; of several the one that is furthest from the outside.
   * @param {string | undefined} runId
   * @param {string | undefined} sessionKey
   * @returns {Cause | undefined}
   */
  of(runId, sessionKey) {
    const byRun = this.ofRun(runId);
    if (byRun) return byRun;
    /** @type {Cause | undefined} */
    let found;
    for (const cause of this.ofSession(sessionKey)) {
      if (cause.until < this.now() || (runId && !cause.everyRun)) continue;
      if (!found || cause.hops > found.hops) found = cause;
    }
    return found;
  }

  /**
   * What rules a call of a tool: the strictest of the cause of its run and of what still lasts in its session, whoever's
   * run this is.
   * @param {string | undefined} runId
   * @param {string | undefined} sessionKey
   * @returns {Cause | undefined}
   */
  ruling(runId, sessionKey) {
    return this.guarded.ruling(runId, sessionKey, this.ofRun(runId));
  }

  /**
   * The cause of a run that is known, or of the turn in which a parent reads what its subagent brought: OpenClaw names
   * that turn after the subagent.
   * @param {string | undefined} runId
   * @returns {Cause | undefined}
   */
  ofRun(runId) {
    if (!runId) return undefined;
    return this.runs.get(runId) ?? (runId.startsWith(ANNOUNCED) ? this.guarded.announced(runId) : undefined);
  }

  /**
   * What the operator has approved for a call: of its run, or where that is not known of its session.
   * @param {string | undefined} runId
   * @param {string | undefined} sessionKey
   * @returns {Grant[]}
   */
  grants(runId, sessionKey) {
    const known = runId ? this.runs.get(runId) : undefined;
    const found = known ? [known] : this.guarded.inSession(sessionKey);
    return found.flatMap(({ policy }) => (policy?.grant ? [policy.grant] : []));
  }

  /** @param {string | undefined} session @param {SessionCause} cause */
  remember(session, cause) {
    if (typeof session !== "string") return;
    if (session.endsWith("*") && !this.sessions.has(session)) this.prefixes += 1;
    const now = this.now();
    const others = (this.sessions.get(session) ?? []).filter(
      (one) => one.until >= now && one.dispatch !== cause.dispatch,
    );
    this.sessions.set(session, [...others.slice(1 - MOST_PER_SESSION), cause]);
  }

  /** @param {string | undefined} sessionKey @returns {Generator<SessionCause>} */
  *ofSession(sessionKey) {
    if (typeof sessionKey !== "string") return;
    yield* this.sessions.get(sessionKey) ?? [];
    if (!this.prefixes) return;
    for (const [session, causes] of this.sessions) {
      if (session.endsWith("*") && sessionKey.startsWith(session.slice(0, -1))) yield* causes;
    }
  }
}

/** @param {Cause} cause @returns {Cause} an approval is for the session that asked, not for those that it starts */
function withoutGrant(cause) {
  if (!cause.policy?.grant) return cause;
  const { grant: _, ...policy } = cause.policy;
  return { ...cause, policy };
}

/**
 * What is kept of an order or of another cause; not whose run it was.
 * @param {Pick<Cause, "dispatch" | "hops" | "traceparent" | "policy">} order
 * @returns {Cause}
 */
function causeOf({ dispatch, hops, traceparent, policy }) {
  return { dispatch, hops, ...(traceparent && { traceparent }), ...(policy && { policy }) };
}

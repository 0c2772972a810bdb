// Which delivery an event goes back to: the loop guard's memory. A run that a delivery started stamps all its events
// with the delivery's id and with `hops`, how many deliveries lie between the event and the outside. Subagents of the
// run inherit it. Events without a run id go by their session, for as long as its delivery lasts and a little longer.
// With the cause goes the trace of who published what was delivered, and what the guard lets the run do (guard.js).
/** @import { Cause, Child, Grant, Order, SessionCause } from "./types.js" */
import { GuardedTurns } from "./guarded-turns.js";
import { BoundedMap } from "./memory.js";

const AFTER_MS = 10_000;
const CHILD_MS = 3_600_000;
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
   * @param {Pick<Order, "session" | "dispatch" | "hops" | "traceparent" | "seconds" | "policy">} order
   */
  announce({ session, dispatch, hops, traceparent, seconds, policy }) {
    const cause = causeOf({ dispatch, hops, traceparent, policy });
    const until = this.now() + seconds * 1000;
    this.remember(session, { ...cause, until, everyRun: true });
    this.guarded.begin(`${dispatch} ${session}`, { session, until, cause });
  }

  /**
   * A run has spawned another one.
   * @param {Child} child
   */
  inherit({ parentRun, parentSession, childRun, childSession }) {
    const cause = this.of(parentRun, parentSession) ?? this.ruling(parentRun, parentSession);
    if (!cause) return;
    const passed = withoutGrant(causeOf(cause));
    if (childRun) this.runs.set(childRun, passed);
    const until = this.now() + CHILD_MS;
    const session = childSession === parentSession ? undefined : childSession;
    this.guarded.begin(`${passed.dispatch} ${childRun} ${session}`, { run: childRun, session, until, cause: passed });
    if (session) this.remember(session, { ...passed, until, everyRun: true });
  }

  /**
   * The cause of an event, or nothing; of several the one that is furthest from the outside.
   * @param {string | undefined} runId
   * @param {string | undefined} sessionKey
   * @returns {Cause | undefined}
   */
  of(runId, sessionKey) {
    const byRun = runId && this.runs.get(runId);
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
   * What rules a call of a tool: the cause of its run, else a delivery that still runs in its session, whoever's run
   * this is.
   * @param {string | undefined} runId
   * @param {string | undefined} sessionKey
   * @returns {Cause | undefined}
   */
  ruling(runId, sessionKey) {
    return (runId && this.runs.get(runId)) || this.guarded.ruling(runId, sessionKey);
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

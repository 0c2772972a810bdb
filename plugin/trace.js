// Whose span an event belongs to (W3C Trace Context): what a delivered run emits is in the trace of the publisher whose
// event woke it, with the run as its parent. The sidecar derives the same span from the run's id (events/trace.py).
import { createHash } from "node:crypto";

const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/**
 * A publisher's traceparent as events of a run carry it; undefined without one.
 * @param {unknown} traceparent
 * @param {string} [runId]
 * @returns {string | undefined}
 */
export function traceparentWithin(traceparent, runId) {
  if (typeof traceparent !== "string" || !TRACEPARENT.test(traceparent)) return undefined;
  return runId ? traceparent.slice(0, 36) + runSpan(runId) + traceparent.slice(52) : traceparent;
}

/** @param {string} runId */
function runSpan(runId) {
  const span = createHash("sha256").update(`run:${runId}`).digest("hex").slice(0, 16);
  return /^0+$/.test(span) ? "0000000000000001" : span;
}

// Subject patterns of NATS in the plugin. The sidecar's events/subjects.py is the reference; both pass the same
// table of cases (tests/support/subject-cases.json).
/** @import { Settings } from "./types.js" */

export const PREFIX = "agent.events.";

/**
 * Whether a valid `pattern` covers a valid `subject`: `*` is one token, a final `>` one or more.
 * @param {string} pattern
 * @param {string} subject
 */
export function matches(pattern, subject) {
  if (pattern === subject) return true;
  const wanted = pattern.split(".");
  const given = subject.split(".");
  if (wanted[wanted.length - 1] === ">") {
    wanted.pop();
    if (given.length <= wanted.length) return false;
  } else if (wanted.length !== given.length) {
    return false;
  }
  return wanted.every((want, position) => want === "*" || want === given[position]);
}

/**
 * A tool's or job's name as one subject token: `[A-Za-z0-9_-]`, at most 64 characters. The true name goes into data.
 * @param {unknown} name
 */
export function tokenFromName(name) {
  return (
    String(name ?? "")
      .replace(/[^A-Za-z0-9_-]/g, "_")
      .slice(0, 64) || "_"
  );
}

const DECISIONS = 4096;

/**
 * What the operator's settings say of a subject: "block" (never recorded), "metadata" or "payload".
 * Decisions are remembered, since a Gateway uses few subjects and asks on every event.
 * @param {Pick<Settings, "filter" | "capture">} settings
 * @returns {(subject: string) => string}
 */
export function policyOf(settings) {
  const { allow, block } = settings.filter;
  const { default: mode, rules } = settings.capture;
  /** @type {Map<string, string>} */
  const known = new Map();
  /** @param {string} subject */
  const decide = (subject) => {
    /** @param {string} pattern */
    const covers = (pattern) => matches(pattern, subject);
    if (!allow.some(covers) || block.some(covers)) return "block";
    return rules.find((rule) => covers(rule.subjects))?.mode ?? mode;
  };
  return (subject) => {
    let decision = known.get(subject);
    if (decision === undefined) {
      decision = decide(subject);
      if (known.size < DECISIONS) known.set(subject, decision);
    }
    return decision;
  };
}

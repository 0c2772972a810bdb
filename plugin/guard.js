// What a turn that something from outside has led to may do: judged here, in the Gateway's process, before a tool runs,
// by the policy that came with the order. Nothing is asked over the network; what is not known is refused.
/** @import { Causes } from "./causes.js" */
/** @import { Loose, Policy } from "./types.js" */

// Looks, answers, reports: nothing of it leaves the machine, starts anything, or changes what another turn will see.
const READ = new Set([
  ...["read", "ls", "find", "grep", "memory_search", "memory_get", "session_status", "sessions_list"],
  ...["sessions_history", "agents_list", "update_plan", "nats_events", "nats_subscriptions", "nats_cron_list"],
  "nats_timer_list",
]);
// Tool Search's own tools: they find other tools, and the call that they lead to is judged itself.
const SEARCH = new Set(["tool_search", "tool_describe", "tool_call", "tool_search_code"]);
const SHELLS = new Set(
  (
    "sh bash dash zsh ksh mksh fish csh tcsh ash busybox toybox env sudo doas su xargs nohup timeout nice setsid watch " +
    "eval exec command source . cmd powershell pwsh ssh parallel"
  ).split(" "),
);
const NAME = /^[a-z0-9_*][a-z0-9_.:*-]{0,99}$/i;
const NARROWED = /^exec\(([A-Za-z0-9_./:=,@+%* -]+)\)$/;
const HARMLESS = new Set(["command", "timeout", "yieldMs", "background"]); // beside these, a call is more than its words
const PLAIN = /[A-Za-z0-9_./:=,@+%-]/;
const MAX_COMMAND = 4000;
/** @type {Policy} */
const UNKNOWN = { tools: "read", guard: "block", tainted: true, route: "", dispatch: "" };
const ASK_SINCE = [2026, 9]; // the first version that is known to ask the operator for a plugin
const SEARCH_SINCE = [2026, 6]; // the first version with Tool Search
const ASK_MS = 120_000;

/**
 * The words of a command line that is nothing but a program and its arguments; nothing for any other.
 * @param {unknown} command
 * @returns {string[] | undefined}
 */
export function wordsOf(command) {
  if (typeof command !== "string" || command.length > MAX_COMMAND) return undefined;
  /** @type {string[]} */
  const words = [];
  let word = "";
  let within = false;
  for (let at = 0; at < command.length; at++) {
    const character = command[at];
    if (character === "'" || character === '"') {
      const end = command.indexOf(character, at + 1);
      const quoted = command.slice(at + 1, end);
      // In double quotes a shell still puts in variables and the output of commands.
      if (end < 0 || /[\x00-\x1f\x7f]/.test(quoted) || (character === '"' && /[$`\\!]/.test(quoted))) return undefined;
      word += quoted;
      within = true;
      at = end;
    } else if (character === " " || character === "\t") {
      if (within) words.push(word);
      word = "";
      within = false;
    } else if (PLAIN.test(character)) {
      word += character;
      within = true;
    } else return undefined; // an operator, a glob, an escape, a comment: no plain word
  }
  if (within) words.push(word);
  return words;
}

/** @param {string} pattern one with * in it or not @param {string} text */
function fits(pattern, text) {
  const parts = pattern.split("*");
  if (parts.length === 1) return pattern === text;
  const first = parts[0];
  const last = parts[parts.length - 1];
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= text.length - last.length;
}

/**
 * Whether a narrowed rule (`df *`) covers a call of exec.
 * @param {string} rule
 * @param {unknown} params
 */
function covers(rule, params) {
  if (params === null || typeof params !== "object") return false;
  for (const key of Object.keys(params)) if (!HARMLESS.has(key)) return false; // its place, environment or rights
  const wanted = rule.split(" ");
  const program = wanted[0];
  if (program.includes("*") || program.includes("=") || isShell(program)) return false;
  const words = wordsOf(/** @type {Loose} */ (params).command);
  if (!words?.length || words[0] !== program || words.some(isShell)) return false;
  const open = wanted.length > 1 && wanted[wanted.length - 1] === "*";
  const fixed = open ? wanted.slice(0, -1) : wanted;
  if (open ? words.length < fixed.length : words.length !== fixed.length) return false;
  return fixed.every((one, place) => fits(one, words[place]));
}

/** @param {string} word */
function isShell(word) {
  return SHELLS.has(word.slice(word.lastIndexOf("/") + 1));
}

/**
 * Whether a route's `tools` let a call through. What is no rule lets nothing through.
 * @param {unknown} tools
 * @param {string} name
 * @param {unknown} params
 */
export function allows(tools, name, params) {
  const tool = name.toLowerCase();
  if (typeof tools === "string") return tools === "all" || (tools === "read" && READ.has(tool));
  if (!Array.isArray(tools)) return false;
  return tools.some((rule) => {
    if (typeof rule !== "string" || rule === "none") return false;
    if (rule === "all") return true;
    if (rule === "read") return READ.has(tool);
    const narrowed = NARROWED.exec(rule);
    if (narrowed) return tool === "exec" && covers(narrowed[1], params);
    return NAME.test(rule) && fits(rule.toLowerCase(), tool);
  });
}

/**
 * What a call's run may do: the policy of its dispatch, or nothing when nothing from outside has led to it.
 * @param {Causes} causes
 * @param {string | undefined} runId
 * @param {string | undefined} sessionKey
 * @returns {Policy | undefined}
 */
export function policyFor(causes, runId, sessionKey) {
  const cause = causes.ruling(runId, sessionKey);
  if (cause) return cause.policy === undefined ? UNKNOWN : cause.policy.tainted === false ? undefined : cause.policy;
  // A session of ours whose dispatch is not known any more: the Gateway was restarted, and takes its turn up again.
  return typeof sessionKey === "string" && /^agent:[^:]+:nats:/.test(sessionKey) ? UNKNOWN : undefined;
}

/**
 * The hook's answer to a call: nothing lets it through.
 * @param {{causes: Causes, gatewayVersion: string, note: (error: unknown) => void}} bus
 * @param {Loose} event
 * @param {Loose | undefined} ctx
 * @returns {Loose | undefined}
 */
export function beforeToolCall(bus, event, ctx) {
  try {
    const name = String(event?.toolName ?? "");
    const runId = event?.runId ?? ctx?.runId;
    const policy = policyFor(bus.causes, runId, ctx?.sessionKey ?? event?.sessionKey);
    if (!policy || policy.guard === "off") return undefined;
    if (SEARCH.has(name) && since(bus.gatewayVersion, SEARCH_SINCE)) return undefined;
    if (allows(policy.tools, name, event?.params)) {
      if (name === "sessions_send" || name === "sessions_spawn") passOn(bus.causes, runId, ctx?.sessionKey, event);
      return undefined;
    }
    return policy.guard === "ask" && canAsk(bus.gatewayVersion) ? question(policy, name, event) : refusal(policy, name);
  } catch (error) {
    bus.note(error);
    return { block: true, blockReason: "openclaw-nats could not judge this call, and so it is refused." };
  }
}

/**
 * A session that a guarded turn speaks to goes back to the same dispatch.
 * @param {Causes} causes
 * @param {string | undefined} runId
 * @param {string | undefined} session
 * @param {Loose} event
 */
function passOn(causes, runId, session, event) {
  const childSession = event.params?.sessionKey;
  if (typeof childSession === "string")
    causes.inherit({ parentRun: runId, parentSession: session, childSession: childSession.toLowerCase() });
}

/**
 * Whether this Gateway asks the operator, and waits for the answer.
 * @param {string} version
 */
export function canAsk(version) {
  return since(version, ASK_SINCE);
}

/** @param {string} version @param {number[]} first */
function since(version, [firstYear, firstMonth]) {
  const [year, month] = String(version).split(".").map(Number);
  return year > firstYear || (year === firstYear && month >= firstMonth);
}

/** @param {Policy} policy @param {string} name */
function refusal({ route, dispatch }, name) {
  const why = dispatch
    ? `events from outside have led to this turn, and its route does not let ${name} through (delivery ${dispatch})`
    : `what has led to this turn is not known, and so ${name} is refused`;
  const next = route ? " The operator may allow it: openclaw-nats routes edit NAME --tools." : "";
  return {
    block: true,
    blockReason: `openclaw-nats: ${why}.${next} Go on without it, and say what you would have done.`,
  };
}

/** @param {Policy} policy @param {string} name @param {Loose} event */
function question({ route, dispatch }, name, event) {
  const shown = JSON.stringify(event.params ?? {}) ?? "";
  return {
    requireApproval: {
      title: cutTo(`${name}: wanted by a turn that outside events led to`, 80),
      description: cutTo(`Route ${JSON.stringify(route)}, delivery ${dispatch}. Arguments: ${shown}`, 512),
      severity: "warning",
      timeoutMs: ASK_MS,
      timeoutBehavior: "deny",
      allowedDecisions: ["allow-once", "deny"],
    },
  };
}

/** @param {string} text @param {number} most */
function cutTo(text, most) {
  return text.length <= most ? text : `${text.slice(0, most - 1).toWellFormed()}…`;
}

// What a turn that something from outside has led to may do: judged here, in the Gateway's process, before a tool runs,
// by the policy that came with the order. Nothing is asked over the network; what is not known is refused.
/** @import { Approvals, Call } from "./approvals.js" */
/** @import { Causes } from "./causes.js" */
/** @import { Loose, Policy } from "./types.js" */
import { ASK_MS, callOf, callerOf } from "./approvals.js";
import { isSince } from "./versions.js";

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
const CLIMBS = /(^|[/=:,])\.\.($|[/:,])/; // out of the folder that a pattern names
const MAX_COMMAND = 4000;
const MAX_RULE = 500;
const KEPT = " It is kept, and your operator may still approve it: then you are asked to make this call.";
const INSTEAD = " Go on without it, and say what you would have done.";
/** @type {Policy} */
const UNKNOWN = { tools: "read", guard: "block", tainted: true, route: "", dispatch: "" };
const ASK_SINCE = [2026, 9]; // the first version that is known to ask the operator for a plugin
const RUNS_SINCE = [2026, 6]; // the first version that is known to tell the hook its run
const SEARCH_SINCE = [2026, 6]; // the first version with Tool Search

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
  return fixed.every((one, place) => fits(one, words[place]) && !(one.includes("*") && CLIMBS.test(words[place])));
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
  if (typeof tools === "string") return tools === "all" || (tools === "read" && reads(tool, params));
  if (!Array.isArray(tools)) return false;
  return tools.some((rule) => {
    if (typeof rule !== "string" || rule === "none") return false;
    if (rule === "all") return true;
    if (rule === "read") return reads(tool, params);
    const narrowed = NARROWED.exec(rule);
    if (narrowed) return tool === "exec" && covers(narrowed[1], params);
    return NAME.test(rule) && fits(rule.toLowerCase(), tool);
  });
}

/**
 * Whether a call only looks: session_status sets the session's model, too, when it is given one.
 * @param {string} tool
 * @param {unknown} params
 */
function reads(tool, params) {
  if (tool === "session_status" && params !== null && typeof params === "object" && "model" in params) return false;
  return READ.has(tool);
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
 * @param {{causes: Causes, gatewayVersion: string, note: (error: unknown) => void, approvals: Approvals}} bus
 * @param {Loose} event
 * @param {Loose | undefined} ctx
 * @returns {Loose | undefined}
 */
export function beforeToolCall(bus, event, ctx) {
  try {
    const name = String(event?.toolName ?? "");
    const runId = event?.runId ?? ctx?.runId;
    const policy = policyFor(bus.causes, runId, ctx?.sessionKey ?? event?.sessionKey);
    if (!policy) return undefined;
    if (SEARCH.has(name) && isSince(bus.gatewayVersion, SEARCH_SINCE)) return undefined;
    const { session, agent } = callerOf(event, ctx);
    const spokenTo = name === "sessions_send" ? sessionSpokenTo(event?.params, agent) : "";
    const pass = () => passOn(bus.causes, runId, session, spokenTo);
    if (policy.guard === "off") {
      pass();
      return undefined;
    }
    if (spokenTo !== undefined && allows(policy.tools, name, event?.params)) {
      pass();
      return undefined;
    }
    const call = callOf(event, ctx);
    if (bus.approvals.allow(bus.causes.grants(runId, ctx?.sessionKey ?? event?.sessionKey), call)) {
      pass();
      return undefined;
    }
    if (policy.guard !== "ask" || !call.session) return refusal(policy, name);
    const rule = ruleFor(name, event?.params);
    const onResolution =
      canAsk(bus.gatewayVersion) && !bus.approvals.isAsked(call) && bus.approvals.ask(policy, call, rule, pass);
    if (onResolution) return question(policy, call, rule, onResolution);
    const kept = bus.approvals.keep(policy, call, rule);
    return refusal(policy, name, kept ? KEPT : "");
  } catch (error) {
    bus.note(error);
    return { block: true, blockReason: "openclaw-nats could not judge this call, and so it is refused." };
  }
}

/**
 * The session to which sessions_send goes: its whole key, or undefined where only OpenClaw knows it (a label, say), so
 * that its turn could not be guarded.
 * @param {unknown} params
 * @param {string} agent the caller's
 * @returns {string | undefined}
 */
export function sessionSpokenTo(params, agent) {
  const { sessionKey, agentId, ...rest } = /** @type {Loose} */ (params ?? {});
  if ("label" in rest || "sessionId" in rest || "session" in rest) return undefined;
  const key = typeof sessionKey === "string" ? sessionKey.trim().toLowerCase() : "";
  if (key.startsWith("agent:") || key === "global") return key.endsWith("*") ? undefined : key;
  const other = typeof agentId === "string" ? agentId.trim().toLowerCase() : "";
  if ((key === "" && other) || key === "main") return `agent:${other || agent}:main`;
  return undefined;
}

/**
 * A session that a guarded turn speaks to goes back to the same dispatch.
 * @param {Causes} causes
 * @param {string | undefined} runId
 * @param {string | undefined} session
 * @param {string | undefined} spokenTo
 */
function passOn(causes, runId, session, spokenTo) {
  if (spokenTo) causes.inherit({ parentRun: runId, parentSession: session, childSession: spokenTo });
}

/**
 * Whether this Gateway asks the operator, and waits for the answer.
 * @param {string} version
 */
export function canAsk(version) {
  return isSince(version, ASK_SINCE);
}

/**
 * What the guard can do on this Gateway: by what it knows a turn, and whether OpenClaw asks the operator.
 * @param {string} version
 */
export function abilities(version) {
  return { turnsBy: isSince(version, RUNS_SINCE) ? "run" : "session", asks: canAsk(version) };
}

/**
 * The narrowest rule that lets this call through: a command word by word, another tool by its name; or nothing.
 * @param {string} name
 * @param {unknown} params
 */
export function ruleFor(name, params) {
  const tool = name.toLowerCase();
  const words = wordsOf(/** @type {Loose} */ (params ?? {}).command) ?? [];
  const rule = tool === "exec" ? `exec(${words.join(" ")})` : tool;
  if (rule.includes("*") || rule.length > MAX_RULE || words.includes("")) return "";
  if (tool === "exec" ? !NARROWED.test(rule) : !NAME.test(rule) || tool === "read" || tool === "all") return "";
  return allows([rule], name, params) ? rule : "";
}

/** @param {Policy} policy @param {string} name @param {string} [kept] */
function refusal({ route, dispatch }, name, kept = "") {
  const why = dispatch
    ? `events from outside have led to this turn, and its route does not let ${name} through (delivery ${dispatch})`
    : `what has led to this turn is not known, and so ${name} is refused`;
  const next = kept || (route ? " The operator may allow it: openclaw-nats routes edit NAME --tools." : "");
  return {
    block: true,
    blockReason: `openclaw-nats: ${why}.${next}${INSTEAD}`,
  };
}

/** @param {Policy} policy @param {Call} call @param {string} rule @param {(decision: unknown) => void} onResolution */
function question(policy, call, rule, onResolution) {
  const { route, dispatch } = policy;
  const shown = JSON.stringify(call.params) ?? "";
  return {
    requireApproval: {
      title: cutTo(`${call.name}: wanted by a turn that outside events led to`, 80),
      description: cutTo(`Route ${JSON.stringify(route)}, delivery ${dispatch}. Arguments: ${shown}`, 512),
      severity: "warning",
      timeoutMs: ASK_MS,
      timeoutBehavior: "deny",
      timeoutReason: `openclaw-nats: nobody answered in time, and so ${call.name} is refused.${KEPT}${INSTEAD}`,
      allowedDecisions: rule ? ["allow-once", "allow-always", "deny"] : ["allow-once", "deny"],
      onResolution,
    },
  };
}

/** @param {string} text @param {number} most */
function cutTo(text, most) {
  return text.length <= most ? text : `${text.slice(0, most - 1).toWellFormed()}…`;
}

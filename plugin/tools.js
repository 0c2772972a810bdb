// The agent tools: each call goes to the sidecar with who calls; its answer comes back as JSON, outside data marked.
/** @import { Bus } from "./bus.js" */
/** @import { Answer, Failure, Loose } from "./types.js" */
import { policyFor } from "./guard.js";
import { cut, reasonOf, toJson } from "./text.js";
import { TOOLS } from "./tool-list.js";
import { traceparentWithin } from "./trace.js";

const TIMEOUT_MS = 40_000; // nats_request may wait 30 s
const AWAY = "the event bus is not reachable now";
const LATER = "Go on without it, and try again in a minute; tell the user if it matters.";

/**
 * Register every tool; `ctx` says which agent and session it is made for.
 * @param {Loose} api
 * @param {Bus} bus
 */
export function registerTools(api, bus) {
  if (typeof api.registerTool !== "function") return;
  for (const { name, description, parameters } of TOOLS) {
    const make = (/** @type {Loose | undefined} */ ctx) => ({
      name,
      label: name,
      description,
      parameters,
      execute: (/** @type {string} */ id, /** @type {unknown} */ given) => callTool(bus, name, given, ctx ?? {}, id),
    });
    api.registerTool(make, { name });
  }
}

/**
 * One call: never throws, always JSON that the model can act on.
 * @param {Bus} bus
 * @param {string} name
 * @param {unknown} given
 * @param {Loose} ctx
 * @param {string} [id] the call's, by which its run is known
 */
export async function callTool(bus, name, given, ctx, id) {
  const run = id ? bus.runOfCall.take(id) : undefined;
  // A turn in which something comes back to a session (an answer, a result) has a run that nobody ordered.
  const cause =
    bus.causes.ofRun(run) ?? bus.causes.of(undefined, ctx.sessionKey) ?? bus.causes.ruling(run, ctx.sessionKey);
  const caller = {
    agentId: ctx.agentId ?? "main",
    sessionKey: ctx.sessionKey ?? "",
    sessionId: ctx.sessionId ?? "",
    hops: cause?.hops ?? 0,
    cause: cause?.dispatch ?? "",
    traceparent: traceparentWithin(cause?.traceparent, cause?.run) ?? "",
    tainted: !ctx.sessionKey || policyFor(bus.causes, run, ctx.sessionKey) !== undefined,
  };
  try {
    const body = toJson({ caller, parameters: given ?? {} });
    const options = { alone: true, timeoutMs: TIMEOUT_MS };
    const answer = await bus.sidecar.postJson(`/api/tools/${name}`, body, options);
    return resultOf(answer, bus.runs.wrap);
  } catch (error) {
    if (/** @type {Failure} */ (error)?.unproven)
      return failure(
        "what has the sidecar's port does not prove that it knows our key",
        "Tell the operator to run `openclaw-nats doctor`.",
      );
    return failure(AWAY, `${LATER} (${cut(reasonOf(error), 200)})`);
  }
}

/** @param {Answer} answer @param {(text: string) => string} wrap */
function resultOf({ status, body }, wrap) {
  let answer;
  try {
    answer = JSON.parse(body);
  } catch {
    return failure(AWAY, LATER);
  }
  if (status === 401)
    return failure("the plugin's key is not the sidecar's", "Tell the operator to run `openclaw-nats setup`.");
  if (status >= 400)
    return failure(answer.detail ?? `the sidecar answered ${status}`, answer.hint || (status >= 500 ? LATER : ""));
  const shown = { ok: true, ...answer.result };
  if (answer.outside !== undefined) {
    const outside = typeof answer.outside === "string" ? answer.outside : JSON.stringify(answer.outside, null, 1);
    shown.outsideData = wrap(outside);
  }
  return { content: [{ type: "text", text: JSON.stringify(shown, null, 1) }], details: { status: "ok" } };
}

/** @param {string} error @param {string} hint */
function failure(error, hint) {
  const shown = { ok: false, error, ...(hint ? { hint } : {}) };
  return {
    content: [{ type: "text", text: JSON.stringify(shown) }],
    isError: true,
    details: { status: "error", error: cut(String(error), 300) },
  };
}

// Hook → event: one table for Gateways 2026.3 to 2026.9. Each entry says which hook carries the event, and why that
// one where several tell the same story. A row's `make(event, ctx, memory)` returns what to record, a list of it, or
// nothing. Content (prompts, replies, arguments, results, message text) is returned as a function and only called
// when the capture setting wants it. `memory` (memory.js) is what has to be remembered from one hook to the next.
/** @import { Memory } from "./memory.js" */
/** @import { Facts, Loose, Made, Recorded } from "./types.js" */
import { costOf } from "./cost.js";
import { tokenFromName } from "./subjects.js";
import { cut } from "./text.js";

const ERROR_CHARACTERS = 300;

/**
 * Facts that every event may carry, from wherever a hook has them.
 * @param {Loose | undefined} event
 * @param {Loose | undefined} ctx
 * @param {Memory} memory
 * @returns {Facts}
 */
function common(event, ctx, memory) {
  const runId = ctx?.runId ?? event?.runId;
  const run = runId ? memory.runs.get(runId) : undefined;
  const sessionKey = ctx?.sessionKey ?? event?.sessionKey ?? run?.sessionKey;
  return {
    agentId: ctx?.agentId ?? event?.agentId ?? run?.agentId ?? agentOf(sessionKey),
    sessionKey,
    sessionId: ctx?.sessionId ?? event?.sessionId ?? run?.sessionId,
    runId,
    trace: ctx?.trace ?? run?.trace,
  };
}

/** @param {unknown} sessionKey @returns {string | undefined} */
function agentOf(sessionKey) {
  return typeof sessionKey === "string" ? /^agent:([^:]+):/.exec(sessionKey)?.[1] : undefined;
}

/** @param {unknown} sessionKey */
const isInternal = (sessionKey) => typeof sessionKey === "string" && sessionKey.includes(":internal-session-effects:");

/** @param {unknown} value */
const short = (value) => (value === undefined || value === null ? undefined : cut(String(value), ERROR_CHARACTERS));

/**
 * Whether a tool call failed, and how: it threw, returned an error result, or its command did not exit with 0.
 * @param {Loose} event
 * @returns {string | undefined}
 */
export function toolFailure(event) {
  if (event.error) return short(event.error);
  const { result } = event;
  const details = result?.details;
  if (result?.isError === true || details?.isError === true) return short(details?.error) ?? "error result";
  if (details?.status === "error" || details?.status === "failed") {
    return short(details.error) ?? exitOf(details) ?? "error result";
  }
  if (details?.ok === false) return short(details.error) ?? "error result";
  return exitOf(details);
}

/** @param {Loose | undefined} details @returns {string | undefined} */
function exitOf(details) {
  if (details?.timedOut === true) return "timed out";
  const code = details?.exitCode;
  return typeof code === "number" && code !== 0 ? `exit code ${code}` : undefined;
}

/** @param {Loose} event @param {Loose | undefined} ctx @param {Memory} memory @returns {Made | undefined} */
function tool(event, ctx, memory) {
  const { toolName = "", toolCallId } = event;
  // 2026.3 reports each call twice; the one without a duration comes first and is the poorer.
  if (memory.old && event.durationMs === undefined) return undefined;
  const error = toolFailure(event);
  // Tool Search wraps a call: the inner, real tool is reported too, with the outer call's id inside its own. The outer
  // one counts only when it failed before any inner tool ran.
  const inner = /^tool_search_code:([^:]+):/.exec(toolCallId ?? "");
  if (inner) memory.innerCalls.add(inner[1]);
  if (toolName === "tool_call" && (memory.innerCalls.has(toolCallId) || !error)) return undefined;
  const facts = memory.old
    ? { ...memory.takeToolCall(toolName, event.params), ...defined(common(event, ctx, memory)) }
    : common(event, ctx, memory);
  return {
    ...facts,
    trace: facts.trace ?? memory.toolTraces.take(toolCallId),
    subject: `tool.${tokenFromName(toolName)}.${error ? "failed" : "completed"}`,
    type: error ? "tool.failed" : "tool.completed",
    data: { tool: toolName, toolCallId, durationMs: event.durationMs, success: !error, error },
    content: () => ({ params: event.params, result: event.result }),
  };
}

/** @param {Facts} object @returns {Facts} */
function defined(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

/** @param {string} kind @param {Loose} event @param {Loose | undefined} ctx @param {Memory} memory @returns {Made} */
function message(kind, event, ctx, memory) {
  const metadata = event.metadata ?? {};
  return {
    ...common(event, ctx, memory),
    subject: `message.${kind}`,
    data: {
      channel: ctx?.channelId ?? metadata.provider,
      accountId: ctx?.accountId,
      conversationId: ctx?.conversationId,
      messageId: event.messageId ?? ctx?.messageId ?? metadata.messageId,
      from: event.from || undefined,
      to: kind === "sent" ? event.to : undefined,
      senderId: event.senderId ?? metadata.senderId,
      characters: typeof event.content === "string" ? event.content.length : undefined,
      success: event.success,
      error: short(event.error),
    },
    content: () => ({
      content: event.content,
      senderName: metadata.senderName,
      senderUsername: metadata.senderUsername,
    }),
  };
}

/**
 * @param {string} subject
 * @param {Loose} event
 * @param {Loose | undefined} ctx
 * @param {Memory} memory
 * @param {Loose} data
 * @param {() => Loose} [content]
 * @returns {Made}
 */
function subagent(subject, event, ctx, memory, data, content) {
  const childSessionKey = event.childSessionKey ?? event.targetSessionKey ?? ctx?.childSessionKey;
  const requesterSessionKey = ctx?.requesterSessionKey;
  return {
    ...common(event, { ...ctx, sessionKey: requesterSessionKey ?? childSessionKey }, memory),
    agentId: event.agentId ?? agentOf(childSessionKey),
    subject,
    data: { childSessionKey, requesterSessionKey, ...data },
    content,
  };
}

/** @param {Facts} facts @param {Loose} data @returns {Made} */
function runEnded(facts, data) {
  return { ...facts, subject: "agent.run_ended", data };
}

/**
 * The end of a run on Gateways with agent events (2026.6 and later): these tell a model's failure, `agent_end` doesn't.
 * @param {Loose} event
 * @param {Memory} memory
 * @returns {Recorded}
 */
function lifecycle(event, memory) {
  const { runId, data = {} } = event;
  const known = memory.runs.get(runId) ?? {};
  const facts = {
    ...common(event, undefined, memory),
    agentId: event.agentId ?? known.agentId ?? agentOf(event.sessionKey),
  };
  if (data.phase === "start") {
    memory.runs.set(runId, {
      ...known,
      ...defined({ ...facts, trace: undefined }),
      startedAt: data.startedAt ?? event.ts,
      ended: false,
    });
    memory.onRunStart?.(facts);
    return undefined;
  }
  if ((data.phase !== "end" && data.phase !== "error") || known.ended) return undefined;
  memory.runs.set(runId, { ...known, ...defined(facts), ended: true }); // an aborted run ends twice: "end", then "error"
  const startedAt = data.startedAt ?? known.startedAt;
  const stopped = data.phase === "end" && data.aborted === true && data.stopReason !== "timeout";
  const failed = data.phase === "error" || data.aborted === true || data.status === "error";
  const ended = runEnded(facts, {
    success: !failed,
    status: stopped ? "cancelled" : failed ? "error" : "ok",
    error: short(data.error) ?? (stopped ? "stopped" : undefined),
    stopReason: data.stopReason,
    durationMs: startedAt && data.endedAt ? data.endedAt - startedAt : undefined,
    trigger: known.trigger,
  });
  if (!stopped) return ended;
  return [{ ...facts, subject: "session.stop", data: { reason: data.stopReason } }, ended];
}

/**
 * The end of a run on 2026.3, which has no agent events; its hook has no run id, `llm_output` before it had.
 * @param {Loose} event
 * @param {Loose | undefined} ctx
 * @param {Memory} memory
 * @returns {Recorded}
 */
function agentEnd(event, ctx, memory) {
  if (!memory.old) return undefined;
  const facts = common(event, ctx, memory);
  facts.runId ??= memory.lastRunOf.get(facts.sessionKey);
  const last = [...(event.messages ?? [])].reverse().find((one) => one?.role === "assistant");
  const error =
    short(event.error) ?? (last?.stopReason === "error" ? (short(last.errorMessage) ?? "error") : undefined);
  const stopped = event.error === "aborted";
  const ended = runEnded(facts, {
    success: event.success !== false && !error,
    status: stopped ? "cancelled" : error ? "error" : "ok",
    error,
    durationMs: event.durationMs,
  });
  return stopped ? [{ ...facts, subject: "session.stop", data: { reason: "aborted" } }, ended] : ended;
}

/** @param {Loose} event @param {Loose | undefined} ctx @param {Memory} memory @returns {Made} */
function cron(event, ctx, memory) {
  const { action, job = {} } = event;
  return {
    ...common({ ...event, agentId: event.agentId ?? job.agentId }, undefined, memory),
    runId: event.runId,
    subject: `cron.${tokenFromName(action)}`,
    data: {
      jobId: event.jobId,
      name: job.name,
      enabled: job.enabled,
      schedule: job.schedule,
      status: event.status,
      error: short(event.error),
      durationMs: event.durationMs,
      nextRunAtMs: event.nextRunAtMs,
    },
    content: () => ({ summary: event.summary, payload: job.payload }),
  };
}

/**
 * The table. Not here, because another row has it: tool_result_persist (after_tool_call), internal
 * `message:*` (message_*), internal `command:new|reset` (before_reset, which RPC resets fire too), message_sending
 * (message_sent, which knows the outcome), agent_end (lifecycle agent events, but for 2026.3).
 * No hook exists for approvals.
 * @type {Record<string, (event: Loose, ctx: Loose | undefined, memory: Memory) => Recorded>}
 */
export const HOOKS = {
  gateway_start: (event, ctx, memory) => {
    if (memory.started) return undefined; // replayed when a plugin is replaced
    memory.started = true;
    return { subject: "gateway.startup", data: { port: event?.port ?? ctx?.port } };
  },
  gateway_stop: (event, ctx, memory) => {
    if (event?.reason === "plugin replacement") return undefined; // the Gateway goes on
    memory.started = false;
    return { subject: "gateway.stopped", data: { reason: event?.reason } };
  },
  session_start: (event, ctx, memory) => ({
    ...common(event, ctx, memory),
    subject: "session.started",
    data: { resumedFrom: event.resumedFrom },
  }),
  session_end: (event, ctx, memory) => ({
    ...common(event, ctx, memory),
    subject: "session.ended",
    data: { reason: event.reason, nextSessionId: event.nextSessionId },
  }),
  before_reset: (event, ctx, memory) => ({
    ...common(event, ctx, memory),
    subject: event.reason === "new" ? "session.new" : "session.reset",
    data: { reason: event.reason, messages: event.messages?.length },
  }),
  before_tool_call: (event, ctx, memory) => {
    if (memory.old) memory.keepToolCall(event, ctx);
    else if (ctx?.trace) memory.toolTraces.set(event.toolCallId, ctx.trace); // after_tool_call has no trace
    return undefined;
  },
  after_tool_call: tool,
  subagent_spawned: (event, ctx, memory) => ({
    ...subagent("subagent.spawned", event, ctx, memory, {
      label: event.label,
      mode: event.mode,
      model: event.resolvedModel,
    }),
    // What this run does goes back to whatever its parent's does (causes.js).
    child: {
      parentRun: ctx?.runId === event.runId ? undefined : ctx?.runId,
      parentSession: ctx?.requesterSessionKey,
      childRun: event.runId,
      childSession: event.childSessionKey ?? ctx?.childSessionKey,
    },
  }),
  subagent_ended: (event, ctx, memory) => {
    if (!event.runId) return undefined; // resets and deletions of ordinary sessions fire it too
    const ended = subagent("subagent.ended", event, ctx, memory, {
      reason: event.reason,
      outcome: event.outcome,
      success: event.outcome === undefined ? undefined : event.outcome === "ok",
      error: short(event.error),
    });
    return { ...ended, childEnded: event.runId };
  },
  // Not the same as spawned and ended: it says when the child's run itself began and ended; spawned is the
  // acceptance by its parent, and ended comes after the result was handed over.
  subagent_progress: (event, ctx, memory) =>
    subagent("subagent.progress", event, ctx, memory, { phase: event.phase, outcome: event.outcome }),
  agent_end: agentEnd,
  message_received: (event, ctx, memory) => message("received", event, ctx, memory),
  message_sent: (event, ctx, memory) => message("sent", event, ctx, memory),
  before_compaction: (event, ctx, memory) => {
    const facts = common(event, ctx, memory);
    if (isInternal(facts.sessionKey)) return undefined; // a copy that the Gateway works on; the session itself reports it
    if (!memory.compactionStarts(facts.sessionKey ?? facts.sessionId)) return undefined; // may come twice
    return {
      ...facts,
      subject: "session.compaction.started",
      data: { messageCount: event.messageCount, tokenCount: event.tokenCount },
    };
  },
  after_compaction: (event, ctx, memory) => {
    const facts = common(event, ctx, memory);
    if (isInternal(facts.sessionKey)) return undefined;
    memory.compactionEnds(facts.sessionKey ?? facts.sessionId);
    return {
      ...facts,
      subject: "context.compacted",
      data: {
        messageCount: event.messageCount,
        tokenCount: event.tokenCount,
        compactedCount: event.compactedCount >= 0 ? event.compactedCount : undefined,
      },
    };
  },
  llm_output: (event, ctx, memory) => {
    const facts = common(event, ctx, memory);
    if (memory.old) memory.lastRunOf.set(facts.sessionKey, facts.runId);
    const { lastAssistant = {}, usage = {} } = event;
    const failed = lastAssistant.stopReason === "error" || lastAssistant.stopReason === "aborted";
    return {
      ...facts,
      subject: "llm.output",
      data: {
        provider: event.provider,
        model: event.model,
        usage: {
          input: usage.input,
          output: usage.output,
          cacheRead: usage.cacheRead,
          cacheWrite: usage.cacheWrite,
          total: usage.total,
        },
        cost: costOf(usage, lastAssistant.usage),
        stopReason: lastAssistant.stopReason,
        success: !failed,
        error: failed ? (short(lastAssistant.errorMessage) ?? lastAssistant.stopReason) : undefined,
      },
      content: () => ({ assistantTexts: event.assistantTexts }),
    };
  },
  model_call_started: (event, ctx, memory) => {
    memory.learnRun(event, ctx); // the only hook without conversation access that has the run's trace
    return undefined;
  },
  model_call_ended: (event, ctx, memory) => {
    const success = event.outcome === "completed";
    return {
      ...common(event, ctx, memory),
      subject: `model.call.${success ? "completed" : "failed"}`,
      data: {
        callId: event.callId,
        provider: event.provider,
        model: event.model,
        durationMs: event.durationMs,
        timeToFirstByteMs: event.timeToFirstByteMs,
        requestBytes: event.requestPayloadBytes,
        responseBytes: event.responseStreamBytes,
        success,
        error: success ? undefined : short(event.errorCategory ?? event.outcome),
      },
    };
  },
  cron_changed: cron,
  channel_pairing_requested: (event, ctx, memory) => ({
    ...common(event, ctx, memory),
    subject: "pairing.requested",
    // Its `code` is a live credential and is never recorded, whatever the capture setting.
    data: { channel: event.channel, accountId: event.accountId, senderId: event.senderId },
    content: () => ({ username: event.metadata?.username, firstName: event.metadata?.firstName }),
  }),
  skill_proposal_changed: (event, ctx, memory) => ({
    ...common(event, ctx, memory),
    subject: `skill.proposal.${tokenFromName(event.action)}`,
    type: "skill.proposal",
    data: {
      action: event.action,
      proposalId: event.proposal?.id,
      skill: event.proposal?.skillName,
      status: event.proposal?.status,
    },
  }),
  skill_changed: (event, ctx, memory) => ({
    ...common(event, ctx, memory),
    subject: `skill.${tokenFromName(event.action)}`,
    type: "skill.changed",
    data: { action: event.action, skill: event.skill?.name ?? event.skillName ?? event.skillKey },
  }),
};

/**
 * Agent events (2026.6 and later). They come twice on 2026.6: distinguished by run and number.
 * @param {Loose} event
 * @param {Memory} memory
 * @returns {Recorded}
 */
export function onAgentEvent(event, memory) {
  if (event?.stream !== "lifecycle" || !event.runId) return undefined;
  if (!memory.agentEvents.addNew(`${event.runId}:${event.seq}:${event.data?.phase}`)) return undefined;
  return lifecycle(event, memory);
}

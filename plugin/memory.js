// What has to be remembered from one hook to the next. Everything is bounded: a Gateway runs for months.
const LIMIT = 2000;
const COMPACTION_MS = 60_000;

/** A map that forgets its oldest entries. */
export class BoundedMap extends Map {
  set(key, value) {
    this.delete(key);
    super.set(key, value);
    if (this.size > LIMIT) this.delete(this.keys().next().value);
    return this;
  }

  /** Return and forget. */
  take(key) {
    const value = this.get(key);
    this.delete(key);
    return value;
  }
}

/** A set that forgets its oldest entries. */
class BoundedSet extends Set {
  add(key) {
    super.add(key);
    if (this.size > LIMIT) this.delete(this.values().next().value);
    return this;
  }

  /** True when `key` was not there yet. */
  addNew(key) {
    if (this.has(key)) return false;
    this.add(key);
    return true;
  }
}

export class Memory {
  constructor(now = Date.now) {
    this.now = now;
    this.old = false; // a Gateway without agent events: 2026.3
    this.started = false;
    this.runs = new BoundedMap(); // run id → facts
    this.agentEvents = new BoundedSet();
    this.innerCalls = new BoundedSet(); // outer Tool Search calls whose inner tool was told
    this.toolTraces = new BoundedMap(); // tool call id → trace
    this.toolCalls = []; // 2026.3: {toolName, params, facts} between before_tool_call and after_tool_call
    this.lastRunOf = new BoundedMap(); // 2026.3: session key → run id
    this.compactions = new BoundedMap(); // session → when its compaction began
  }

  /** Keep what a hook knows of a run, for the hooks that know less. */
  learnRun(event, ctx) {
    const runId = ctx?.runId ?? event?.runId;
    if (!runId) return;
    const known = this.runs.get(runId) ?? {};
    const facts = { ...known };
    for (const name of ["agentId", "sessionKey", "sessionId", "trace", "trigger"]) {
      facts[name] = ctx?.[name] ?? event?.[name] ?? known[name];
    }
    this.runs.set(runId, facts);
  }

  keepToolCall(event, ctx) {
    this.toolCalls.push({
      toolName: event.toolName,
      params: paramsKey(event.params),
      facts: { agentId: ctx?.agentId, sessionKey: ctx?.sessionKey, runId: this.lastRunOf.get(ctx?.sessionKey) },
    });
    if (this.toolCalls.length > LIMIT) this.toolCalls.shift();
  }

  /** The session that called a tool on 2026.3: by the same parameters, else the oldest call of that tool. */
  takeToolCall(toolName, params) {
    const key = paramsKey(params);
    let index = this.toolCalls.findIndex((call) => call.toolName === toolName && call.params === key);
    if (index < 0) index = this.toolCalls.findIndex((call) => call.toolName === toolName);
    return index < 0 ? {} : this.toolCalls.splice(index, 1)[0].facts;
  }

  /** True for the first of several notices that a session's compaction begins. */
  compactionStarts(session) {
    const key = session ?? "";
    const since = this.compactions.get(key);
    if (since !== undefined && this.now() - since < COMPACTION_MS) return false;
    this.compactions.set(key, this.now());
    return true;
  }

  /** The next compaction of this session is a new one. */
  compactionEnds(session) {
    this.compactions.delete(session ?? "");
  }
}

function paramsKey(params) {
  try {
    return JSON.stringify(params)?.slice(0, 500);
  } catch {
    return undefined; // circular: falls back to the tool's name
  }
}

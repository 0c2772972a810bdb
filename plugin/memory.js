// What has to be remembered from one hook to the next. Everything is bounded: a Gateway runs for months.
/** @import { Facts, Loose } from "./types.js" */
const LIMIT = 2000;
const COMPACTION_MS = 60_000;

/**
 * A map that forgets its oldest entries.
 * @template K, V
 * @extends {Map<K, V>}
 */
export class BoundedMap extends Map {
  /**
   * @param {K} key
   * @param {V} value
   */
  set(key, value) {
    this.delete(key);
    super.set(key, value);
    if (this.size > LIMIT) this.delete(/** @type {K} */ (this.keys().next().value));
    return this;
  }

  /**
   * Return and forget.
   * @param {K} key
   */
  take(key) {
    const value = this.get(key);
    this.delete(key);
    return value;
  }
}

/**
 * A set that forgets its oldest entries.
 * @extends {Set<string>}
 */
class BoundedSet extends Set {
  /** @param {string} key */
  add(key) {
    super.add(key);
    if (this.size > LIMIT) this.delete(this.values().next().value ?? "");
    return this;
  }

  /**
   * True when `key` was not there yet.
   * @param {string} key
   */
  addNew(key) {
    if (this.has(key)) return false;
    this.add(key);
    return true;
  }
}

export class Memory {
  constructor(now = Date.now) {
    this.now = now;
    /** @type {((facts: Facts) => void) | undefined} */
    this.onRunStart = undefined;
    this.old = false; // a Gateway without agent events: 2026.3
    this.started = false;
    /** @type {BoundedMap<string, Facts>} */
    this.runs = new BoundedMap(); // run id → facts
    this.agentEvents = new BoundedSet();
    this.innerCalls = new BoundedSet(); // outer Tool Search calls whose inner tool was reported
    /** @type {BoundedMap<string, Loose>} */
    this.toolTraces = new BoundedMap(); // tool call id → trace
    /** @type {{toolName: string, params: string | undefined, facts: Facts}[]} */
    this.toolCalls = []; // 2026.3: {toolName, params, facts} between before_tool_call and after_tool_call
    /** @type {BoundedMap<string | undefined, string | undefined>} */
    this.lastRunOf = new BoundedMap(); // 2026.3: session key → run id
    /** @type {BoundedMap<string, number>} */
    this.compactions = new BoundedMap(); // session → when its compaction began
  }

  /**
   * Keep what a hook knows of a run, for the hooks that know less.
   * @param {Loose} event
   * @param {Loose | undefined} ctx
   */
  learnRun(event, ctx) {
    const runId = ctx?.runId ?? event?.runId;
    if (!runId) return;
    const known = this.runs.get(runId) ?? {};
    /** @type {Loose} */
    const facts = { ...known };
    for (const name of ["agentId", "sessionKey", "sessionId", "trace", "trigger"]) {
      facts[name] = ctx?.[name] ?? event?.[name] ?? /** @type {Loose} */ (known)[name];
    }
    this.runs.set(runId, facts);
  }

  /** @param {Loose} event @param {Loose | undefined} ctx */
  keepToolCall(event, ctx) {
    this.toolCalls.push({
      toolName: event.toolName,
      params: paramsKey(event.params),
      facts: { agentId: ctx?.agentId, sessionKey: ctx?.sessionKey, runId: this.lastRunOf.get(ctx?.sessionKey) },
    });
    if (this.toolCalls.length > LIMIT) this.toolCalls.shift();
  }

  /**
   * The session that called a tool on 2026.3: by the same parameters, else the oldest call of that tool.
   * @param {string} toolName
   * @param {unknown} params
   * @returns {Facts}
   */
  takeToolCall(toolName, params) {
    const key = paramsKey(params);
    let index = this.toolCalls.findIndex((call) => call.toolName === toolName && call.params === key);
    if (index < 0) index = this.toolCalls.findIndex((call) => call.toolName === toolName);
    return index < 0 ? {} : this.toolCalls.splice(index, 1)[0].facts;
  }

  /**
   * True for the first of several notices that a session's compaction begins.
   * @param {string | undefined} session
   */
  compactionStarts(session) {
    const key = session ?? "";
    const since = this.compactions.get(key);
    if (since !== undefined && this.now() - since < COMPACTION_MS) return false;
    this.compactions.set(key, this.now());
    return true;
  }

  /**
   * The next compaction of this session is a new one.
   * @param {string | undefined} session
   */
  compactionEnds(session) {
    this.compactions.delete(session ?? "");
  }
}

/** @param {unknown} params */
function paramsKey(params) {
  try {
    return JSON.stringify(params)?.slice(0, 500);
  } catch {
    return undefined; // circular: falls back to the tool's name
  }
}

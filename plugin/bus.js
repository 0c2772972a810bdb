// What the plugin is, once per process: memory, spool and uploader, shared by all copies of its module. A Gateway
// evaluates a plugin's module twice (2026.9) and registers it several times (2026.3, 2026.6), so the one instance
// hangs on globalThis; nothing is opened before the first event or the service's start.
/** @import { Loose, Made, Order, Recorded } from "./types.js" */
import path from "node:path";
import { agentsOf } from "./agents.js";
import { Approvals, callerOf } from "./approvals.js";
import { Causes } from "./causes.js";
import { Channel } from "./channel.js";
import { abilities, beforeToolCall } from "./guard.js";
import { Grants } from "./grants.js";
import { GuardedTurns } from "./guarded-turns.js";
import { uuid7 } from "./ids.js";
import { BoundedMap, Memory } from "./memory.js";
import { Prompts } from "./prompts.js";
import { Runs } from "./runs.js";
import { changedAt, homeOf, readApiKey, readSettings } from "./settings.js";
import { Sidecar } from "./sidecar.js";
import { Spool } from "./spool.js";
import { PREFIX, policyOf } from "./subjects.js";
import { cut, reasonOf, toJson } from "./text.js";
import { traceparentWithin } from "./trace.js";
import { Uploader } from "./uploader.js";
import { Way } from "./way.js";

export const VERSION = "0.2.0";
const KEY = Symbol.for("openclaw-nats.bus.v2");
const REPORT_MS = 10_000;
const MAX_LINE_BYTES = 900 * 1024;
const MAX_TEXT = 200_000;
const MAX_NAME = 2048; // a session's key, as tools and targets take it
const MAX_DEPTH = 200; // the sidecar reads 256 levels
const EVENT_NAMES = /** @type {const} */ ([
  ["agentId", "agentid"],
  ["sessionKey", "sessionkey"],
  ["sessionId", "sessionid"],
  ["runId", "runid"],
]);

/** @type {Record<symbol, Bus | undefined>} */
const shared = /** @type {any} */ (globalThis);

/**
 * The one bus of this process.
 * @param {Loose | undefined} pluginConfig
 * @returns {Bus}
 */
export function sharedBus(pluginConfig) {
  shared[KEY] ??= new Bus(homeOf(pluginConfig));
  return shared[KEY];
}

export class Bus {
  /** @param {string} home the state directory */
  constructor(home, now = Date.now) {
    this.home = home;
    this.now = now;
    this.memory = new Memory(now);
    this.settings = readSettings(home);
    this.settingsChangedAt = changedAt(home);
    this.policy = policyOf(this.settings);
    this.spool = new Spool({
      dir: path.join(home, "spool"),
      maxBytes: this.settings.spoolMaxBytes,
      makeOverflow: (dropped, reason) =>
        this.lineOf({ subject: "spool.overflow", data: { dropped, reason } }, "metadata"),
      now,
    });
    this.sidecar = new Sidecar({
      settings: () => this.settings,
      apiKey: () => readApiKey(home),
      keyFile: path.join(home, "api-key"),
      way: new Way(home, () => this.settings),
    });
    this.uploader = new Uploader({ spool: this.spool, home, sidecar: this.sidecar });
    this.causes = new Causes(now, new GuardedTurns(path.join(home, "guarded-turns.json"), now));
    /** @param {unknown} error */
    const note = (error) => this.noteHandlerError(error);
    /** @type {BoundedMap<string | undefined, string | undefined>} */
    this.runOfCall = new BoundedMap(); // of our own tools: when one is carried out, only its session is known
    this.approvals = new Approvals({
      grants: new Grants(path.join(home, "grants"), now),
      prompts: new Prompts({ config: () => this.runs.config() }),
      handOver: (report) => this.handOver(report),
      note,
      now,
    });
    /** @type {Runs} */
    this.runs = new Runs({ tell: (result) => this.channel.tell(result), causes: this.causes });
    this.runs.seesTurns = () => this.hasAgentEvents;
    this.memory.onRunStart = (facts) => {
      this.causes.ran(facts.sessionKey, {});
      this.runs.turnStarted(facts);
    };
    /** @type {Channel} */
    this.channel = new Channel({
      sidecar: this.sidecar,
      describe: () => ({
        instance: this.instance,
        run: this.runs.canRun,
        wake: this.runs.canWake,
        wraps: this.runs.wraps,
      }),
      onOrder: (order) => this.order(order),
      introduce: () => this.sendReport(), // before the first order: it says whom targets without an agent's name mean
    });
    this.instance = uuid7(now());
    this.startedAt = new Date(now()).toISOString();
    this.events = 0;
    this.handlerErrors = 0;
    this.lastHandlerError = "";
    this.gatewayVersion = "";
    this.dashboard = ""; // where the Gateway serves it
    /** @type {boolean | null | undefined} */
    this.conversationAccess = null;
    this.hasAgentEvents = false;
    this.running = false;
    /** @type {NodeJS.Timeout | undefined} */
    this.reporter = undefined;
  }

  /**
   * Record what a hook's row returned. Never throws: a mistake here must not cost the Gateway a turn.
   * @param {Recorded} made
   */
  record(made) {
    try {
      for (const one of Array.isArray(made) ? made : [made]) if (one) this.recordOne(one);
    } catch (error) {
      this.noteHandlerError(error);
    }
  }

  /** @param {Made} made */
  recordOne(made) {
    this.follow(made);
    const mode = this.policy(PREFIX + made.subject);
    if (mode === "block") return;
    this.spool.append(this.lineOf(made, mode));
    this.events += 1;
  }

  /**
   * What runs lead to and when they end: the guard has to know it, also of what the filter keeps from the bus.
   * @param {Made} made
   */
  follow(made) {
    if (made.child) this.causes.inherit(made.child);
    if (made.childEnded) this.causes.childEnded(made.childEnded);
    if (made.subject !== "agent.run_ended") return;
    const startedAt = this.now() - (made.data.durationMs ?? Infinity);
    this.causes.ran(made.sessionKey, { startedAt, ended: true, sure: !this.memory.old });
  }

  /**
   * One order of the sidecar: a run, a wake-up, a cause to remember, an answer to a prompt, or a test event to make.
   * @param {Order} order
   */
  order(order) {
    if (order.op === "cause") this.causes.announce(order);
    else if (order.op === "report") this.tick();
    else if (order.op === "answer") this.approvals.carryOut(order).then((result) => this.channel.tell(result));
    else if (order.op === "probe") this.record({ subject: "plugin.probe", data: { probe: String(order.id) } });
    else if (order.op === "run" || order.op === "wake") {
      this.runs.take(order).catch((/** @type {unknown} */ error) => this.noteHandlerError(error));
    }
  }

  /**
   * What becomes of a tool call: nothing lets it through.
   * @param {Loose} event
   * @param {Loose | undefined} ctx
   */
  judge(event, ctx) {
    const { approvals, causes, gatewayVersion } = this;
    const note = (/** @type {unknown} */ error) => this.noteHandlerError(error);
    if (String(event?.toolName).startsWith("nats_")) this.runOfCall.set(event.toolCallId, event.runId ?? ctx?.runId);
    return beforeToolCall({ approvals, causes, gatewayVersion, note }, event, ctx);
  }

  /**
   * What the sidecar has to know of a guarded call: through the spool, whatever filter and capture say of events.
   * @param {Loose} report
   */
  handOver(report) {
    return this.spool.append(this.lineOf({ subject: "plugin.guarded_call", data: report }, "metadata"));
  }

  /**
   * A call of a tool has ended.
   * @param {Loose} event
   * @param {Loose | undefined} ctx
   */
  toolEnded(event, ctx) {
    try {
      this.approvals.ended(event);
      if (event?.result?.details?.status === "running")
        this.causes.leftRunning(event.runId ?? ctx?.runId, callerOf(event, ctx).session);
    } catch (error) {
      this.noteHandlerError(error);
    }
  }

  /** @param {unknown} error */
  noteHandlerError(error) {
    this.handlerErrors += 1;
    this.lastHandlerError = cut(reasonOf(error), 200);
  }

  /**
   * One event as a line of JSON: a CloudEvent.
   * @param {Made} made
   * @param {string} mode
   */
  lineOf(made, mode) {
    const milliseconds = this.now();
    /** @type {Loose} */
    const event = {
      specversion: "1.0",
      id: uuid7(milliseconds),
      source: `openclaw://${this.settings.gatewayId}`,
      type: `openclaw.${made.type ?? made.subject}`,
      subject: PREFIX + made.subject,
      time: new Date(milliseconds).toISOString(),
      gatewayid: this.settings.gatewayId,
    };
    for (const [name, attribute] of EVENT_NAMES) {
      if (made[name]) event[attribute] = cut(String(made[name]), MAX_NAME);
    }
    const own = made.trace; // the Gateway's
    if (own?.traceId && own.spanId) event.traceparent = `00-${own.traceId}-${own.spanId}-${own.traceFlags ?? "00"}`;
    const cause = this.causes.of(made.runId, made.sessionKey);
    if (cause) {
      event.causationid = cause.dispatch;
      event.hops = cause.hops;
      const traceparent = traceparentWithin(cause.traceparent, made.runId ?? cause.run);
      if (traceparent) {
        if (own && event.traceparent) event.tracestate = `openclaw=${own.traceId}-${own.spanId}`;
        event.traceparent = traceparent;
      }
    }
    event.data = made.data;
    if (mode === "payload" && made.content) return withContent(event, made.content);
    return lineWith(event, made.data) ?? toJson({ ...event, data: { contentDropped: true } });
  }

  /** Called by the Gateway when it starts the plugin's service. */
  async start() {
    if (this.running) return;
    this.running = true;
    try {
      await this.spool.recover();
    } catch (error) {
      this.spool.lastError = `the spool can't be read: ${reasonOf(error)}`;
    }
    try {
      this.approvals.recover();
    } catch (error) {
      this.noteHandlerError(error);
    }
    this.uploader.start();
    await this.runs.findWrapping();
    this.channel.start();
    this.reporter = setInterval(() => this.tick(), REPORT_MS);
    this.reporter.unref?.();
    this.tick();
  }

  /** Called when the Gateway stops the service; what is not sent by then stays on disk. */
  async stop() {
    if (!this.running) return;
    this.running = false;
    clearInterval(this.reporter);
    this.channel.stop();
    await this.uploader.stop();
  }

  tick() {
    this.reloadSettings();
    this.spool
      .refresh()
      .then(() => {
        this.uploader.kick();
        return this.sendReport();
      })
      .catch(() => {}); // the uploader reports an unreachable sidecar; the next report comes in REPORT_MS
  }

  sendReport() {
    return this.sidecar.postJson("/api/plugin/report", toJson(this.report()));
  }

  reloadSettings() {
    const changed = changedAt(this.home);
    if (changed === this.settingsChangedAt) return;
    this.settingsChangedAt = changed;
    this.settings = readSettings(this.home);
    this.policy = policyOf(this.settings);
    this.spool.maxBytes = this.settings.spoolMaxBytes;
  }

  /** What `openclaw-nats status` shows of the plugin. */
  report() {
    const problems = [];
    if (this.conversationAccess === false) {
      problems.push(
        "hooks.allowConversationAccess is not set for this plugin: llm.output events are missing. Run `openclaw-nats setup`.",
      );
    }
    const notes = [];
    if (this.memory.old) {
      notes.push(
        "This older Gateway has no hooks for session.new, session.reset, model calls, cron jobs, pairing, skills and " +
          "subagent progress: these events can't be sent.",
      );
    }
    for (const text of [this.settings.problem, this.spool.lastError, this.causes.guarded.problem])
      if (text) problems.push(text);
    return {
      pluginVersion: VERSION,
      gatewayVersion: this.gatewayVersion,
      dashboard: this.dashboard,
      gatewayId: this.settings.gatewayId,
      pid: process.pid,
      startedAt: this.startedAt,
      conversationAccess: this.conversationAccess,
      events: this.events,
      handlerErrors: this.handlerErrors,
      lastError: this.uploader.lastError || this.lastHandlerError,
      problems,
      notes,
      guard: abilities(this.gatewayVersion),
      agents: agentsOf(this.runs.config()),
      spool: { ...this.spool.stats(), rejected: this.uploader.rejected },
    };
  }
}

/**
 * Whether the sidecar takes a line of that length; a character is up to 3 bytes a unit.
 * @param {string} line
 */
function fits(line) {
  return line.length * 3 <= MAX_LINE_BYTES || Buffer.byteLength(line) <= MAX_LINE_BYTES;
}

/** @param {Loose} event @param {() => Loose} content */
function withContent(event, content) {
  const plain = event.data;
  return (
    lineWith(event, () => ({ ...plain, ...content() }), MAX_TEXT) ??
    lineWith(event, { ...plain, contentDropped: true }) ??
    toJson({ ...event, data: { contentDropped: true } })
  );
}

/**
 * The event with this data, or with what a function gives; undefined when that is too long or can't be written (a
 * getter that throws, a toJSON that fails). What JSON has no word for is written as text.
 * @param {Loose} event
 * @param {Loose | (() => Loose) | undefined} data
 * @param {number} mostText how long a text may be before it is cut
 */
function lineWith(event, data, mostText = Infinity) {
  try {
    const line = toJson({ ...event, data: typeof data === "function" ? data() : data }, clipper(mostText));
    return fits(line) ? line : undefined;
  } catch {
    return undefined;
  }
}

/**
 * A replacer for JSON.stringify that leaves nothing which JSON, or who reads it, can't hold.
 * @param {number} mostText
 */
function clipper(mostText) {
  /** @type {WeakMap<object, number>} */
  const depths = new WeakMap();
  /** @this {object} @param {string} _key @param {any} value */
  return function clip(_key, value) {
    if (typeof value === "string" && value.length > mostText)
      return `${cut(value, mostText)}… [${value.length} characters]`;
    if (typeof value === "bigint") return String(value);
    if (value !== null && typeof value === "object") {
      if (depths.has(value)) return "[repeated]";
      const depth = (depths.get(this) ?? 0) + 1;
      if (depth > MAX_DEPTH) return "[nested too deeply]";
      depths.set(value, depth);
    }
    return value;
  };
}

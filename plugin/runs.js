// Runs that the sidecar orders: each is started with `api.runtime.subagent.run`, whose idempotency key is the run's id,
// and waited for to its end. An order that comes again is the same run: it is answered from what is known.
/** @import { Causes } from "./causes.js" */
/** @import { Facts, Loose, Order, RunResult } from "./types.js" */
import { createRequire } from "node:module";
import fs from "node:fs";
import { pathToFileURL } from "node:url";
import { BoundedMap } from "./memory.js";
import { cut, cutBegin, reasonOf } from "./text.js";
import { wrapUntrusted } from "./untrusted.js";

const WAIT_MS = 60_000;
const PAUSE_MS = 1000;
const LONGEST_MS = 24 * 3_600_000;
const OUR_LINE = /\[\s{0,3}openclaw-nats\s{0,3}\]/gi;
// 2026.6 leaves a marker in the data as it is when its quotes are escaped, as JSON does it.
const MARKER = /(?:end[\s_]{0,3})?external[\s_]{0,3}untrusted[\s_]{0,3}content/gi;
const REPLY_CHARACTERS = 500;
// 2026.9 starts five heartbeats a minute and puts others off for up to 50 s; a turn that runs comes first, too.
const WAKE_SECONDS = 180;
const LONGEST_TURN_SECONDS = 7200;

/**
 * A wake-up whose turn has not begun: `began` resolves to the turn's run id, or to undefined when the time is over.
 * @typedef {object} Turn
 * @property {string} sessionKey
 * @property {string | undefined} agentId
 * @property {Promise<string | undefined>} began
 * @property {(runId: string) => void} tell
 * @property {() => void} forget
 */

export class Runs {
  /** @param {{tell: (result: RunResult & { key: string }) => Promise<unknown>, causes: Causes, wakeMs?: number}} options */
  constructor({ tell, causes, wakeMs = WAKE_SECONDS * 1000 }) {
    this.wakeMs = wakeMs;
    /** @type {Set<Turn>} */
    this.waking = new Set(); // wake-ups whose turn has not begun: {order, began}
    this.seesTurns = () => false; // whether this Gateway says when a turn begins
    this.tell = tell; // (result) => Promise
    this.causes = causes;
    /** @type {Loose | null} */
    this.runtime = null; // api.runtime of the copy of the plugin that has the service
    /** @type {BoundedMap<string, RunResult>} */
    this.known = new BoundedMap(); // key → {status, …}, "running" until it has ended
    this.wrap = wrapUntrusted;
    this.wraps = "plugin";
  }

  /**
   * Take over what this Gateway can do.
   * @param {Loose} runtime
   */
  use(runtime) {
    this.runtime = runtime;
  }

  /** The Gateway's configuration as it is now; nothing where it does not tell plugins. */
  config() {
    try {
      const { config } = this.runtime ?? {};
      return config?.current?.() ?? config?.loadConfig?.();
    } catch {
      return undefined; // between two configurations, say: the next report has it
    }
  }

  get canRun() {
    return typeof this.runtime?.subagent?.run === "function" && typeof this.runtime.subagent.waitForRun === "function";
  }

  /**
   * Whether it can wake an agent, and tell that it did: by a run in its main session, else by the Gateway's queue of
   * system events, where the Gateway says when a turn begins.
   */
  get canWake() {
    if (this.canRun || !this.seesTurns()) return this.canRun;
    const system = this.runtime?.system;
    return typeof system?.enqueueSystemEvent === "function" && typeof system.requestHeartbeat === "function";
  }

  /** Use the Gateway's own safety wrapping where it offers one to plugins (2026.6 and later do). */
  async findWrapping() {
    try {
      const gateway = createRequire(pathToFileURL(fs.realpathSync(process.argv[1])));
      const module = await import(pathToFileURL(gateway.resolve("openclaw/plugin-sdk/security-runtime")).href);
      if (typeof module.wrapExternalContent !== "function") return;
      /** @param {string} text */
      const wrap = (text) =>
        module.wrapExternalContent(text, { source: "webhook", sender: "NATS", includeWarning: true });
      if (!wrap("probe").includes("EXTERNAL_UNTRUSTED_CONTENT")) return;
      this.wrap = wrap;
      this.wraps = "gateway";
    } catch {
      // an older Gateway, or one started in another way: our own wrapping says the same
    }
  }

  /**
   * What the agent gets: our own line, the events as outside data (unless the operator trusts an old route), and after
   * them what is to be done, which the sidecar has from the route. Our line holds generated ids only: a route's name may
   * be another's words, and is shown among the data, where nothing can look like one of our own lines.
   * @param {Pick<Order, "dispatch" | "events" | "text" | "trusted" | "instruction">} order
   */
  messageOf({ dispatch, events, text, trusted, instruction }) {
    const what = events === 1 ? "1 event" : `${Number(events)} events`;
    const head = `[openclaw-nats] ${what} for you (delivery ${String(dispatch).replace(/[^\w.-]/g, "")}).`;
    const data = trusted ? text : this.wrap(withoutLookalikes(text));
    return [head, data, instruction].filter(Boolean).join("\n\n");
  }

  /**
   * Do an order. Returns when its end was reported.
   * @param {Order} order
   */
  async take(order) {
    const known = this.known.get(order.key);
    if (known) {
      if (known.status !== "running") await this.tell({ key: order.key, ...known });
      return;
    }
    this.known.set(order.key, { status: "running" });
    // A run is confirmed and known by its key; the queue is lossy, and its turn has an id that nobody tells.
    const queue = order.op === "wake" && !this.canRun;
    if (queue) {
      // The run that it leads to is the Gateway's own, with an id that nothing reports: the session has to do.
      this.causes.announce({ ...order, session: order.sessionKey, seconds: LONGEST_TURN_SECONDS, unseen: true });
    } else this.causes.begin(order);
    const result = queue ? await this.wake(order) : await this.run(order);
    if (!queue) this.causes.end(order);
    if (result.status === "refused")
      this.known.delete(order.key); // it never began: the next try may be taken
    else this.known.set(order.key, result);
    await this.tell({ key: order.key, ...result });
  }

  /** @param {Order} order @returns {Promise<RunResult>} */
  async run(order) {
    let runId;
    try {
      const { sessionKey, key } = order;
      const run = await this.runtime?.subagent.run({
        sessionKey,
        message: this.messageOf(order),
        deliver: false,
        idempotencyKey: key,
      });
      runId = run?.runId ?? key;
    } catch (error) {
      // What the process before this one had accepted and not begun, it can't have accepted twice.
      return { status: "refused", error: short(error), uptime: process.uptime() };
    }
    this.tell({ key: order.key, status: order.op === "wake" ? "queued" : "accepted", runId }).catch(() => {});
    const giveUpAt = Date.now() + LONGEST_MS;
    while (Date.now() < giveUpAt) {
      const asked = Date.now();
      const waiting = this.runtime?.subagent.waitForRun({ runId, timeoutMs: WAIT_MS });
      const end = await waiting?.catch((/** @type {unknown} */ error) => ({ lost: error }));
      if (end?.status === "ok") return { status: "ok", runId, reply: replyOf(end) };
      if (end?.status === "error" && !end.retryableTransportError) {
        return { status: "error", runId, error: short(end.error ?? "unknown error") };
      }
      if (end?.status === "timeout" && end.endedAt) return { status: "error", runId, error: "the run timed out" };
      // Not ended yet, or the question itself was lost: asked again, but never in a tight circle.
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, PAUSE_MS - (Date.now() - asked))));
    }
    return { status: "timeout", runId, error: "its end was not reported" };
  }

  /**
   * Wake an agent, and wait until a turn begins: the Gateway's queue is lossy, and its heartbeat may never come.
   * @param {Order} order
   * @returns {Promise<RunResult>}
   */
  async wake(order) {
    const { sessionKey, agentId } = order;
    const system = this.runtime?.system;
    const turn = this.nextTurn(sessionKey, agentId);
    try {
      const taken = system.enqueueSystemEvent(this.messageOf(order), {
        sessionKey,
        contextKey: `openclaw-nats:${order.key}`,
      });
      if (taken === false) return { status: "refused", error: "the Gateway's queue of system events did not take it" };
      system.requestHeartbeat({
        source: "hook",
        intent: "immediate",
        reason: `hook:${order.key}`,
        agentId,
        sessionKey,
      });
      this.tell({ key: order.key, status: "queued" }).catch(() => {});
      const runId = await turn.began;
      if (runId !== undefined) return { status: "accepted", runId };
      return {
        status: "refused",
        error: `the Gateway queued the wake-up, but no turn began within ${this.wakeMs / 1000} s`,
      };
    } catch (error) {
      return { status: "refused", error: short(error) };
    } finally {
      turn.forget();
    }
  }

  /**
   * The next turn that takes an agent's system events: `began` resolves to its run's id, or to undefined in the end.
   * @param {string} sessionKey
   * @param {string | undefined} agentId
   * @returns {Turn}
   */
  nextTurn(sessionKey, agentId) {
    /** @type {PromiseWithResolvers<string | undefined>} */
    const { promise: began, resolve: tell } = Promise.withResolvers();
    const timer = setTimeout(() => tell(undefined), this.wakeMs);
    timer.unref?.();
    const forget = () => {
      clearTimeout(timer);
      this.waking.delete(one);
    };
    /** @type {Turn} */
    const one = { sessionKey, agentId, began, tell, forget };
    this.waking.add(one);
    return one;
  }

  /**
   * A turn has begun: in the session itself, in the one that all share, or in one that its heartbeats have.
   * @param {Facts} facts
   */
  turnStarted({ sessionKey = "", agentId, runId }) {
    for (const one of this.waking) {
      const shared = sessionKey === "global" && (!agentId || agentId === one.agentId);
      if (shared || sessionKey === one.sessionKey || sessionKey.startsWith(`${one.sessionKey}:heartbeat`))
        one.tell(String(runId ?? ""));
    }
  }
}

/** @param {string} text */
function withoutLookalikes(text) {
  return text.replace(OUR_LINE, "(openclaw-nats)").replace(MARKER, "(marker of outside content)");
}

/** @param {unknown} error */
function short(error) {
  return cut(reasonOf(error), 500);
}

/** @param {Loose} end */
function replyOf(end) {
  const reply = end.terminalReply?.text ?? end.terminalReply;
  return typeof reply === "string" ? cutBegin(reply, REPLY_CHARACTERS) : "";
}

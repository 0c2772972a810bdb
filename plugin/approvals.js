// Guarded calls that need the operator's answer: each is handed over to the sidecar through the spool, which loses
// nothing, and what was approved is let through once. Where OpenClaw asks itself, that is the same approval: as long as the
// prompt is open, the Gateway says which answer was first, and gets the operator's from here when it is given to us.
/** @import { Grants } from "./grants.js" */
/** @import { Decision, Prompts } from "./prompts.js" */
/** @import { Grant, Loose, Order, Policy, RunResult } from "./types.js" */
import { createHash } from "node:crypto";
import { uuid7 } from "./ids.js";
import { BoundedMap } from "./memory.js";
import { cut, reasonOf } from "./text.js";

export const ASK_MS = 120_000;
const LATE_MS = 15_000; // the Gateway's word that a prompt is over comes a little after its time
const SHOWN = 6000; // characters of arguments
const STEPS = [2000, 300, 40];
/** @type {Map<unknown, string>} */
const WHAT = new Map([
  ["allow-once", "allowed"],
  ["allow-always", "always"],
  ["deny", "denied"],
]);

/**
 * One call: who, which tool, and its exact arguments as a digest.
 * @typedef {{name: string, params: unknown, session: string, agent: string, run: string, id: string, digest: string,
 *   size: number}} Call
 */

/**
 * A call about which OpenClaw asks. `ours`: the answer that was given on our side, and whether it counts.
 * @typedef {{key: string, until: number, call: Call, ours?: {by: string, counts: Promise<boolean>}}} Asking
 */

export class Approvals {
  /**
   * @param {{grants: Grants, prompts?: Prompts, handOver: (report: Loose) => boolean | void,
   *   note: (error: unknown) => void, now?: () => number}} with_
   */
  constructor({ grants, prompts, handOver, note, now = Date.now }) {
    this.grants = grants;
    this.prompts = prompts;
    this.handOver = handOver;
    this.note = note;
    this.now = now;
    /** @type {BoundedMap<string, Asking>} */
    this.asking = new BoundedMap(); // the calls about which OpenClaw asks now
    /** @type {BoundedMap<string, string>} */
    this.running = new BoundedMap(); // a call's id → the key that let it through
  }

  /**
   * Whether the operator has approved this call, and it was not made yet: then it is, for good.
   * @param {Grant[]} grants what the call's turn may use
   * @param {Call} call
   */
  allow(grants, call) {
    for (const grant of grants) {
      if (grant.tool !== call.name || grant.digest !== call.digest || grant.session !== call.session) continue;
      if (!(grant.until > this.now()) || !this.#claim(grant.key)) continue;
      this.#lets(grant.key, call);
      this.handOver({ key: grant.key, what: "begun" });
      return true;
    }
    return false;
  }

  /**
   * Hand a call over that was refused; whether it is surely on its way.
   * @param {Policy} policy
   * @param {Call} call
   * @param {string} rule
   */
  keep(policy, call, rule) {
    if (this.isAsked(call)) return true; // it is handed over already
    return this.handOver({ ...this.#report(uuid7(this.now()), policy, call, rule), what: "refused" }) !== false;
  }

  /**
   * OpenClaw is going to ask. Returns what it is to be told of the answer with; nothing when it must not ask, because a
   * yes could not be written down.
   * @param {Policy} policy
   * @param {Call} call
   * @param {string} rule
   * @param {() => void} allowed called before a call that was allowed is made
   */
  ask(policy, call, rule, allowed = () => {}) {
    const key = uuid7(this.now());
    const until = this.now() + ASK_MS;
    const report = this.#report(key, policy, call, rule);
    try {
      this.grants.reserve(key);
    } catch (error) {
      this.note(error);
      return undefined;
    }
    /** @type {Asking} */
    const asking = { key, until, call };
    this.asking.set(identityOf(call), asking);
    this.handOver({ ...report, what: "asked", until });
    return (/** @type {unknown} */ decision) => {
      try {
        if (this.asking.get(identityOf(call)) === asking) this.asking.delete(identityOf(call));
        const what = WHAT.get(decision) ?? "refused";
        // Denied, too: whoever approves it later, while the word of it is on its way, is late.
        if (what === "refused") this.grants.release(key);
        else this.#claim(key);
        if (what === "allowed" || what === "always") {
          this.#lets(key, call);
          allowed();
        }
        this.#answered({ ...report, what }, asking.ours);
      } catch (error) {
        this.note(error);
      }
    };
  }

  /**
   * Hand over how a prompt was answered, and by whom if the answer came from our side: the Gateway says so a moment later.
   * @param {Loose} report
   * @param {Asking["ours"]} ours
   */
  #answered(report, ours) {
    if (!ours) this.handOver(report);
    else
      ours.counts
        .catch(() => false)
        .then((counts) => this.handOver(counts ? { ...report, by: ours.by } : report))
        .catch(this.note);
  }

  /**
   * The operator has answered on our side while OpenClaw asks: whether that answer counts. Throws when it can't be given.
   * @param {string} key
   * @param {Decision} decision
   * @param {string} by
   */
  async answer(key, decision, by) {
    const asking = [...this.asking.values()].find((one) => one.key === key);
    if (!asking || !this.prompts) throw new Error("OpenClaw does not ask about this call here");
    if (asking.ours) throw new Error("another answer is on its way to OpenClaw");
    const counts = this.prompts.answer(asking.call, decision, by);
    asking.ours = { by, counts };
    try {
      return await counts;
    } catch (error) {
      asking.ours = undefined; // the prompt is open still
      throw error;
    }
  }

  /**
   * An order of the sidecar to answer a prompt: what becomes of it. Never throws.
   * @param {Order} order
   * @returns {Promise<RunResult & { key: string }>}
   */
  async carryOut({ key, approval = "", decision = "deny", by = "" }) {
    try {
      return { key, status: (await this.answer(approval, decision, by)) ? "ok" : "late" };
    } catch (error) {
      return { key, status: "refused", error: cut(reasonOf(error), 300) };
    }
  }

  /** @param {Call} call */
  isAsked(call) {
    const found = this.asking.get(identityOf(call));
    return found !== undefined && found.until + LATE_MS > this.now();
  }

  /**
   * A call has ended: if it was let through by an approval, the sidecar is informed.
   * @param {Loose} event
   */
  ended(event) {
    const id = [event?.toolCallId, `tool ${event?.toolName}`].find((one) => one && this.running.has(String(one)));
    const key = id && this.running.get(id);
    if (!key) return;
    this.running.delete(id);
    this.handOver({ key, what: "ended", ok: !event.error });
  }

  /** At the start: what the last process let through, in case it died before it reported that. */
  recover() {
    this.grants.tidy();
    for (const { key } of this.grants.lately()) this.handOver({ key, what: "begun" });
  }

  /** @param {string} key */
  #claim(key) {
    try {
      return this.grants.claim(key);
    } catch (error) {
      this.note(error);
      return false; // what can't be written down is not let through
    }
  }

  /** @param {string} key @param {Call} call */
  #lets(key, call) {
    this.running.set(call.id || `tool ${call.name}`, key);
  }

  /** @param {string} key @param {Policy} policy @param {Call} call @param {string} rule @returns {Loose} */
  #report(key, { route, dispatch }, { name, params, session, agent, run, digest, size }, rule) {
    return {
      ...{ key, agent, session, run: cut(run, 200), route, dispatch, tool: cut(name, 200), digest, size, rule },
      arguments: shownOf(params),
    };
  }
}

/**
 * Whose call it is.
 * @param {Loose | undefined} event
 * @param {Loose | undefined} ctx
 */
export function callerOf(event, ctx) {
  const session = String(ctx?.sessionKey ?? event?.sessionKey ?? "");
  return { session, agent: String(ctx?.agentId ?? /^agent:([^:]+):/.exec(session)?.[1] ?? "") };
}

/**
 * @param {Loose} event
 * @param {Loose | undefined} ctx
 * @returns {Call}
 */
export function callOf(event, ctx) {
  const text = canonical(event.params ?? {});
  return {
    ...callerOf(event, ctx),
    name: String(event.toolName ?? ""),
    params: event.params ?? {},
    run: String(event.runId ?? ctx?.runId ?? ""),
    id: String(event.toolCallId ?? ctx?.toolCallId ?? ""),
    digest: createHash("sha256").update(text).digest("hex"),
    size: text.length,
  };
}

/**
 * JSON that is the same for the same arguments, in whatever order a model wrote them.
 * @param {unknown} value
 * @returns {string}
 */
export function canonical(value) {
  return JSON.stringify(value, (_key, one) => {
    if (typeof one === "bigint") return `${one}n`;
    if (one === null || typeof one !== "object" || Array.isArray(one)) return one;
    return Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/**
 * What may be shown of arguments: everything that is short enough.
 * @param {unknown} params
 * @returns {unknown}
 */
function shownOf(params) {
  for (const length of STEPS) {
    const shown = shortened(params, length, 6);
    if (JSON.stringify(shown).length <= SHOWN) return shown;
  }
  return { cut: cut(JSON.stringify(shortened(params, STEPS[2], 3)), SHOWN) };
}

/** @param {unknown} value @param {number} length @param {number} depth @returns {unknown} */
function shortened(value, length, depth) {
  if (typeof value === "string")
    return value.length > length ? `${cut(value, length)}… [${value.length} characters]` : value;
  if (typeof value === "bigint") return `${value}n`;
  if (value === null || typeof value !== "object") return value;
  if (!depth) return "…";
  if (Array.isArray(value)) return value.slice(0, 50).map((one) => shortened(one, length, depth - 1));
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, 50)
      .map(([key, one]) => [cut(key, 100), shortened(one, length, depth - 1)]),
  );
}

/** @param {Call} call */
function identityOf({ session, name, digest }) {
  return JSON.stringify([session, name, digest]);
}

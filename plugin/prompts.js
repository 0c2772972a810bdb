// OpenClaw's own prompts: where the operator answers on our side while one is open, the Gateway gets that answer, as from
// any of its own surfaces. It takes the first, ends the prompt everywhere, and lets the call through or refuses it.
/** @import { Call } from "./approvals.js" */
/** @import { Loose } from "./types.js" */
import { createRequire } from "node:module";
import fs from "node:fs";
import { pathToFileURL } from "node:url";
import { cut } from "./text.js";

const PLUGIN = "openclaw-nats";
const REQUEST_MS = 8000;

/**
 * @typedef {"allow-once" | "allow-always" | "deny"} Decision
 * @typedef {{request: (method: string, params: Loose) => Promise<Loose | Loose[]>, stop: () => void}} Client
 */

export class Prompts {
  /**
   * @param {{config: () => unknown, connect?: (config: unknown, name: string) => Promise<Client>}} options `config` is the
   *   Gateway's own; `connect` opens a connection that may answer prompts, under a name that the others are shown
   */
  constructor({ config, connect = connectAsOperator }) {
    this.config = config;
    this.connect = connect;
  }

  /**
   * Give the operator's answer to the prompt of a call: true when it counts, false when another one was first. Throws
   * when the Gateway can't be asked, or has no such prompt.
   * @param {Call} call
   * @param {Decision} decision
   * @param {string} by who answered
   */
  async answer(call, decision, by) {
    const client = await this.connect(this.config(), cut(`openclaw-nats: ${by}`, 80));
    try {
      const found = await client.request("plugin.approval.list", {});
      const open = Array.isArray(found) ? found.filter(({ request }) => isOf(request, call)) : [];
      if (open.length !== 1) throw new Error(`the Gateway has ${open.length || "no"} open prompts for this call`);
      const { applied } = /** @type {Loose} */ (
        await client.request("approval.resolve", { id: open[0].id, kind: "plugin", decision })
      );
      return applied === true;
    } finally {
      client.stop();
    }
  }
}

/** @param {Loose | undefined} request @param {Call} call */
function isOf(request, { id, session, name }) {
  return (
    id !== "" &&
    request?.toolCallId === id &&
    request.toolName === name &&
    request.pluginId === PLUGIN &&
    request.sessionKey === session
  );
}

/**
 * A connection of this process to its own Gateway, for approvals alone: what OpenClaw's SDK has for it since 2026.9.
 * @param {unknown} config
 * @param {string} clientDisplayName
 * @returns {Promise<Client>}
 */
async function connectAsOperator(config, clientDisplayName) {
  const gateway = createRequire(pathToFileURL(fs.realpathSync(process.argv[1])));
  const sdk = await import(pathToFileURL(gateway.resolve("openclaw/plugin-sdk/gateway-runtime")).href);
  /** @type {PromiseWithResolvers<void>} */
  const { promise, resolve, reject } = Promise.withResolvers();
  const timer = setTimeout(() => reject(new Error("the Gateway did not answer in time")), REQUEST_MS);
  const client = await sdk.createOperatorApprovalsGatewayClient({
    config,
    clientDisplayName,
    onHelloOk: () => resolve(),
    onConnectError: reject,
    onClose: (/** @type {number} */ code, /** @type {string} */ reason) =>
      reject(new Error(`the Gateway closed the connection: ${code} ${reason}`)),
  });
  const stop = () => client.stop();
  try {
    client.start();
    await promise;
  } catch (error) {
    stop();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  /** @param {string} method @param {Loose} params */
  const request = (method, params) => client.request(method, params, { timeoutMs: REQUEST_MS });
  return { request, stop };
}

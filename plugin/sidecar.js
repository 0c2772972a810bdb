// Every request to the sidecar, on connections on which it has proven that it knows the API key (peer-proof.js): events,
// reports, results and the agents' tool calls; and the channel, an answer that never ends.
/** @import { Answer, Failure, Settings } from "./types.js" */
/** @import { Way } from "./way.js" */
import http from "node:http";
import https from "node:https";
import { endProven, ProvenAgent } from "./peer-proof.js";

const TIMEOUT_MS = 15_000;

/** @typedef {{timeoutMs?: number, alone?: boolean, headers?: http.OutgoingHttpHeaders}} Options */

export class Sidecar {
  /** @param {{settings: () => Pick<Settings, "sidecarUrl">, apiKey: () => string, keyFile?: string, way?: Way | null, timeoutMs?: number}} options */
  constructor({ settings, apiKey, keyFile = "api-key", way = null, timeoutMs = TIMEOUT_MS }) {
    this.settings = settings; // () => current settings
    this.apiKey = apiKey; // () => current key
    this.keyFile = keyFile; // where it is looked for, for messages
    this.way = way; // null: by its address alone
    this.timeoutMs = timeoutMs;
    /** @type {http.Agent | null} */
    this.agent = null;
    this.secure = false; // whether the kept connections are by TLS
  }

  /** Where it is, for messages. */
  get url() {
    return this.settings().sidecarUrl;
  }

  /** Why nothing can be asked of it: no usable address, or no key; empty when it can. */
  get problem() {
    const address = URL.parse(String(this.url));
    if (!["http:", "https:"].includes(address?.protocol ?? ""))
      return `the sidecar's address is not http://HOST:PORT: ${this.url}`;
    return this.apiKey() ? "" : `no API key in ${this.keyFile}`;
  }

  /** Close the connections that are kept. The next request opens new ones. */
  close() {
    this.agent?.destroy();
    this.agent = null;
  }

  /**
   * POST a body; resolves to `{status, body, retryAfter}` (retryAfter in seconds), rejects on no complete answer. An
   * error says `definite` when nothing was sent, `chokes` when the sidecar took the request and kept silent, and
   * `unproven` when something else may have the sidecar's port. What may take long goes on a connection of its own
   * (`alone`), so that events do not wait for it.
   * @param {string} target
   * @param {string} body
   * @param {string} contentType
   * @param {Options} options
   * @returns {Promise<Answer>}
   */
  post(target, body, contentType, { timeoutMs = this.timeoutMs, alone = false, headers = {} } = {}) {
    if (this.problem) return Promise.reject(Object.assign(new Error(this.problem), { definite: true }));
    const bytes = Buffer.from(body);
    return new Promise((resolve, reject) => {
      /** @param {Failure} error */
      const fail = (error) => {
        clearTimeout(deadline);
        request.destroy();
        const { chokes, definite, unproven } = error;
        reject(
          Object.assign(new Error(`${new URL(this.url).origin}: ${error.message || error.code}`), {
            chokes,
            definite,
            unproven,
          }),
        );
      };
      const silent = () => fail(Object.assign(new Error(`no answer within ${timeoutMs} ms`), { chokes: true }));
      const deadline = setTimeout(silent, timeoutMs);
      deadline.unref?.();
      const sent = { ...headers, "content-type": contentType, "content-length": bytes.length };
      const request = this.begin("POST", target, { headers: sent, body: bytes, alone, onError: fail });
      request.on("response", (response) => {
        /** @type {Buffer[]} */
        const chunks = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("error", fail);
        response.on("aborted", () => fail(new Error("the answer was cut off")));
        response.on("end", () => {
          clearTimeout(deadline);
          const text = Buffer.concat(chunks).toString("utf8");
          resolve({
            status: response.statusCode ?? 0,
            body: text,
            retryAfter: Number(response.headers["retry-after"]) || 0,
          });
        });
      });
    });
  }

  /**
   * POST JSON that `toJson` has made.
   * @param {string} target
   * @param {string} json
   * @param {Options} [options]
   */
  postJson(target, json, options) {
    return this.post(target, json, "application/json", options);
  }

  /**
   * GET an answer that goes on, on a connection of its own. Look at `problem` first.
   * @param {string} target
   * @param {{headers?: http.OutgoingHttpHeaders, onError: (error: Failure) => void}} options
   */
  stream(target, { headers = {}, onError }) {
    return this.begin("GET", target, { headers, alone: true, onError });
  }

  /**
   * @param {string} method
   * @param {string} target
   * @param {{headers: http.OutgoingHttpHeaders, body?: Buffer, alone: boolean, onError: (error: Failure) => void}} options
   */
  begin(method, target, { headers, body, alone, onError }) {
    const key = this.apiKey();
    const url = new URL(target, this.url);
    const secure = this.way ? this.way.byCertificate : url.protocol === "https:";
    if (!secure) url.protocol = "http:"; // the agent connects by TLS itself where that is spoken
    const options = { method, headers, agent: this.agentFor(secure, alone) };
    const request = (secure ? https : http).request(url, options);
    request.on("error", onError);
    endProven(request, secure, key, body);
    return request;
  }

  /** @param {boolean} secure @param {boolean} alone */
  agentFor(secure, alone) {
    if (alone) return secure ? false : new ProvenAgent(this.apiKey, {}, this.way);
    const options = { keepAlive: true, maxSockets: 2 };
    if (this.secure !== secure) this.close();
    this.secure = secure;
    const agent = this.agent ?? (secure ? new https.Agent(options) : new ProvenAgent(this.apiKey, options, this.way));
    this.agent = agent;
    return agent;
  }
}

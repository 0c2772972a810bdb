// The channel: a connection to the sidecar that this side opens and holds. Orders come in as lines of JSON; what became
// of them goes back as requests of their own, repeated until the sidecar has answered.
/** @import { ClientRequest } from "node:http" */
/** @import { Sidecar } from "./sidecar.js" */
/** @import { Failure, Order, RunResult } from "./types.js" */
import { reasonOf, toJson } from "./text.js";

const SILENCE_MS = 20_000;
const BACKOFF_MS = [100, 250, 500, 1000, 2000];
const RESULT_TRIES = 5;

export class Channel {
  /**
   * @param {{
   *   sidecar: Sidecar,
   *   describe: () => Record<string, unknown>,
   *   onOrder: (order: Order) => void,
   *   introduce?: () => Promise<unknown>,
   *   silenceMs?: number,
   * }} options
   */
  constructor({ sidecar, describe, onOrder, introduce = async () => {}, silenceMs = SILENCE_MS }) {
    this.sidecar = sidecar;
    this.describe = describe; // () => query parameters: who this is and what it can do
    this.onOrder = onOrder;
    this.introduce = introduce; // () => Promise: what the sidecar has to know before it orders anything
    this.silenceMs = silenceMs;
    this.running = false;
    this.connected = false;
    this.lastError = "";
    this.failures = 0;
    /** @type {ClientRequest | null} */
    this.current = null;
    /** @type {NodeJS.Timeout | undefined} */
    this.timer = undefined;
    this.attempt = {};
  }

  /** Connect, and connect again whenever the connection ends. */
  start() {
    if (this.running) return;
    this.running = true;
    this.connect();
  }

  /** Close the connection; runs under way go on, and their results are kept for the next connection. */
  stop() {
    this.running = false;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.current?.destroy();
    this.current = null;
    this.connected = false;
  }

  connect() {
    if (this.sidecar.problem) return this.again(this.sidecar.problem);
    const began = (this.attempt = {});
    const open = () => this.running && this.attempt === began && this.open();
    this.introduce().then(open, open);
  }

  open() {
    const query = new URLSearchParams(Object.entries(this.describe()).map(([name, value]) => [name, String(value)]));
    /** @param {Failure} error */
    const onError = (error) => end(error.message || String(error.code));
    const request = this.sidecar.stream(`/api/plugin/channel?${query}`, {
      headers: { accept: "application/x-ndjson" },
      onError,
    });
    this.current = request;
    let ended = false;
    /** @param {string} why */
    const end = (why) => {
      if (ended) return;
      ended = true;
      clearTimeout(watchdog);
      request.destroy();
      if (this.current === request) this.again(why);
    };
    let watchdog = setTimeout(() => end("no answer"), this.silenceMs);
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => end("silence"), this.silenceMs);
      watchdog.unref?.();
    };
    watchdog.unref?.();
    request.on("response", (response) => {
      if (response.statusCode !== 200) {
        response.resume();
        return end(`the sidecar answered ${response.statusCode}`);
      }
      this.connected = true;
      this.failures = 0;
      this.lastError = "";
      let rest = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => {
        alive();
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) if (line) this.take(line);
      });
      response.on("error", (error) => end(error.message));
      response.on("close", () => end("the sidecar closed the connection"));
    });
  }

  /** @param {string} line */
  take(line) {
    try {
      this.onOrder(JSON.parse(line));
    } catch (error) {
      this.lastError = `an order could not be taken: ${reasonOf(error)}`;
    }
  }

  /** @param {string} why */
  again(why) {
    this.connected = false;
    this.current = null;
    this.lastError = why;
    if (!this.running) return;
    const wait = BACKOFF_MS[Math.min(this.failures, BACKOFF_MS.length - 1)];
    this.failures += 1;
    this.timer = setTimeout(() => this.connect(), wait * (0.5 + Math.random()));
    this.timer.unref?.();
  }

  /**
   * Report to the sidecar how a run ended. If that fails now, it asks again by sending the order once more.
   * @param {RunResult & { key: string }} result
   */
  async tell(result) {
    const body = toJson({ instance: this.describe().instance, ...result });
    for (let attempt = 0; attempt < RESULT_TRIES; attempt++) {
      try {
        const { status } = await this.sidecar.postJson("/api/plugin/results", body);
        if (status < 500 && status !== 401) return;
      } catch {
        // the sidecar is away: tried again below
      }
      await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** attempt).unref?.());
    }
  }
}

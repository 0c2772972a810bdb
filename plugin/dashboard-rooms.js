// How many of the dashboard's requests may be open at once, and whose. Whoever reaches the Gateway's port may ask for
// the dashboard, so a stranger must neither use up the sidecar's connections nor keep the operator out:
// - a request's body is read here first, small and soon, before it costs a connection to the sidecar;
// - strangers have rooms of their own. When they are full the oldest one of the peer with most of them goes, so that
//   the newest always gets in: an honest request is answered within milliseconds, a held one is not missed;
// - a browser whose session the sidecar has answered to has the other room.
/** @import { IncomingMessage as Request, ServerResponse as Response } from "node:http" */
import { createHash } from "node:crypto";

const SIGNED_IN = 64;
/** @typedef {{strangers: number, perStranger: number, bytes: Sizes, ms: Sizes}} Limits perStranger: of one address */
/** @typedef {{stranger: number, known: number}} Sizes */
/** @type {Limits} */
const DASHBOARD = {
  strangers: 48,
  perStranger: 24,
  bytes: { stranger: 16 * 1024, known: 2 * 1024 * 1024 },
  ms: { stranger: 5000, known: 20_000 },
};
// Webhooks: their senders are strangers, come from few addresses (or one, a proxy's), and send more.
/** @type {Limits} */
export const FRONT_DOOR = {
  strangers: 48,
  perStranger: 48,
  bytes: { stranger: 1024 * 1024, known: 1024 * 1024 },
  ms: { stranger: 10_000, known: 10_000 },
};
const KNOWN_SESSIONS = 256;
const OUR_COOKIES = /^openclaw_nats_/;
export const PAGE_HEADER = "x-openclaw-nats-page"; // what makes a session of the cookie (the sidecar's api/sign_in.py)

/** @typedef {(status: number, name: string, detail: string) => void} TurnAway */
/** @typedef {{peer: string, leave: () => void}} Guest */

/**
 * The dashboard's own cookies of a request, as one header; empty without any.
 * @param {Request} request
 */
export function ourCookies(request) {
  const cookies = String(request.headers.cookie ?? "")
    .split(";")
    .map((one) => one.trim());
  return cookies.filter((one) => OUR_COOKIES.test(one)).join("; ");
}

/**
 * What a request has of a session: empty unless it has both the cookie and the page's token.
 * @param {Request} request
 */
function sessionOf(request) {
  const [cookies, page] = [ourCookies(request), request.headers[PAGE_HEADER]];
  return cookies && page ? `${cookies}\n${page}` : "";
}

export class Rooms {
  /** @param {Limits} [limits] */
  constructor(limits = DASHBOARD) {
    this.limits = limits;
    /** @type {Set<Guest>} */
    this.strangers = new Set(); // of {peer, leave}, oldest first
    this.signedIn = 0;
    /** @type {Set<string>} */
    this.known = new Set(); // digests of sessions that the sidecar has answered to, oldest first
  }

  /** @param {Request} request */
  isKnown(request) {
    const session = sessionOf(request);
    return session !== "" && this.known.has(digest(session));
  }

  /**
   * Let a request in; false when it was turned away, which only happens to signed-in browsers with too many.
   * @param {Request} request
   * @param {Response} response
   * @param {TurnAway} turnAway
   */
  enter(request, response, turnAway) {
    if (this.isKnown(request)) {
      if (this.signedIn >= SIGNED_IN) {
        turnAway(503, "unavailable", "Too many requests are open; close a page.");
        return false;
      }
      this.signedIn += 1;
      response.on("close", () => (this.signedIn -= 1));
      return true;
    }
    const guest = { peer: request.socket?.remoteAddress ?? "", leave: () => leave(response, turnAway) };
    const same = [...this.strangers].filter((one) => one.peer === guest.peer);
    if (same.length >= this.limits.perStranger) this.remove(same[0]);
    else if (this.strangers.size >= this.limits.strangers) this.remove(this.oldestOfMost() ?? guest);
    this.strangers.add(guest);
    response.on("close", () => this.strangers.delete(guest));
    return true;
  }

  /** @param {Guest} guest */
  remove(guest) {
    this.strangers.delete(guest);
    guest.leave();
  }

  oldestOfMost() {
    const counts = new Map();
    for (const { peer } of this.strangers) counts.set(peer, (counts.get(peer) ?? 0) + 1);
    const most = Math.max(...counts.values());
    return [...this.strangers].find(({ peer }) => counts.get(peer) === most);
  }

  /**
   * Read the body, then go on with it: `then(body)`.
   * @param {Request} request
   * @param {Response} response
   * @param {TurnAway} turnAway
   * @param {(body: Buffer) => void} then
   */
  whenReady(request, response, turnAway, then) {
    const kind = this.isKnown(request) ? "known" : "stranger";
    const [most, ms] = [this.limits.bytes[kind], this.limits.ms[kind]];
    /** @type {Buffer[]} */
    const chunks = [];
    let size = 0;
    let done = false;
    /** @type {TurnAway} */
    const refuse = (...why) => {
      if (done) return;
      done = true;
      clearTimeout(timer);
      response.setHeader("connection", "close");
      turnAway(...why);
    };
    const timer = setTimeout(() => refuse(408, "timeout", "The request's body did not come in time."), ms);
    timer.unref?.();
    response.on("close", () => clearTimeout(timer));
    if (request.readableEnded) return then(Buffer.alloc(0)); // the Gateway has read it already
    request.on("data", (chunk) => {
      size += chunk.length;
      if (size > most) refuse(413, "too-large", `The limit is ${most} bytes.`);
      else if (!done) chunks.push(chunk);
    });
    request.on("end", () => {
      if (done || response.destroyed || response.writableEnded) return;
      done = true;
      clearTimeout(timer);
      then(Buffer.concat(chunks));
    });
  }

  /**
   * The sidecar has answered: its status says whether the request's cookie and token are a session.
   * @param {Request} request
   * @param {import("node:http").IncomingMessage} answer
   */
  learn(request, answer) {
    const session = sessionOf(request);
    const path = String(request.url).split("?")[0];
    if (!session || !path.includes("/api/") || path.endsWith("/api/session")) return; // those are for everybody
    const key = digest(session);
    const { statusCode = 0 } = answer;
    if (statusCode === 401) this.known.delete(key);
    if (statusCode >= 400) return;
    this.known.delete(key); // and added as the newest
    this.known.add(key);
    if (this.known.size > KNOWN_SESSIONS) this.known.delete(this.known.values().next().value ?? "");
  }
}

/** @param {Response} response @param {TurnAway} turnAway */
function leave(response, turnAway) {
  if (response.headersSent) response.destroy();
  else turnAway(503, "unavailable", "Others are waiting; ask again.");
}

/** @param {string} text */
function digest(text) {
  return createHash("sha256").update(text).digest("base64");
}

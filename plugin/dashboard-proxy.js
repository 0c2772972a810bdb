// The dashboard on the Gateway's own port: requests below /nats-dashboard/ go to the sidecar's /dashboard/ as they are.
// No credential is added, and the Gateway's own ones are not passed on: who has no session there has none here. A session
// and a sign-in link go to a sidecar that has proven itself only (peer-proof.js): another program may have its port.
/** @import { IncomingMessage as Request, ServerResponse as Response } from "node:http" */
/** @import { Bus } from "./bus.js" */
/** @import { Loose } from "./types.js" */
import http from "node:http";
import https from "node:https";
import { FRONT_DOOR, ourCookies, PAGE_HEADER, Rooms } from "./dashboard-rooms.js";
import { ProvenAgent } from "./peer-proof.js";

// What comes to /nats-dashboard/in/ goes to the sidecar's front door (webhooks), and reaches nothing else there.
const PREFIX = "/nats-dashboard";
const FRONT_DOOR_PREFIX = "/in/";
const TARGET = "/dashboard";
const HEAD_MS = 30_000;
const RETRY_SECONDS = 30; // for a webhook
const PASSED_ON = [
  "accept",
  "accept-encoding",
  "content-encoding",
  "content-type",
  "host", // the sidecar compares it with Origin
  "if-none-match",
  "last-event-id",
  "origin",
  "sec-fetch-site",
  "user-agent",
  PAGE_HEADER,
];
const BODILESS = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/**
 * Serve the dashboard on this Gateway. Not on 2026.3: its Control UI answers every request that is no GET with 405 before
 * plugins are asked, so that nobody could sign in; there the dashboard is at the sidecar's own address.
 * @param {Loose} api
 * @param {Bus} bus
 */
export function registerDashboard(api, bus) {
  const old = typeof api.agent?.events?.registerAgentEventSubscription !== "function";
  if (old || typeof api.registerHttpRoute !== "function") return;
  /** @type {(request: Request, response: Response) => Promise<true>} */
  const handler = (request, response) => forward(bus, request, response);
  api.registerHttpRoute({ path: PREFIX, auth: "plugin", match: "prefix", handler });
  bus.dashboard = `${PREFIX}/`;
}

const pages = new Rooms();
const frontDoor = new Rooms(FRONT_DOOR);

/**
 * Pass one request on, and its answer back; true, as the Gateway expects of who has answered.
 * @param {Bus} bus
 * @param {Request} request
 * @param {Response} response
 * @returns {Promise<true>}
 */
export function forward(bus, request, response) {
  return new Promise((resolve) => {
    response.on("close", () => resolve(true));
    const refusal = unfit(request);
    if (refusal) return refuse(request, response, 400, "malformed", refusal);
    const path = pathOf(request.url);
    if (path === PREFIX) {
      response.writeHead(308, { location: `.${PREFIX}/` });
      return response.end();
    }
    const rest = path.slice(PREFIX.length);
    if (!rest.startsWith("/") || leavesFolder(rest))
      return refuse(request, response, 404, "not-found", "There is no such page.");
    let url;
    try {
      url = new URL(bus.settings.sidecarUrl);
    } catch {
      return refuse(request, response, 502, "unavailable", "sidecar.url is not an address.");
    }
    /** @type {import("./dashboard-rooms.js").TurnAway} */
    const turnAway = (status, name, detail) => refuse(request, response, status, name, detail);
    const rooms = isWebhook(rest) ? frontDoor : pages;
    if (!rooms.enter(request, response, turnAway)) return;
    rooms.whenReady(request, response, turnAway, (body) => send(bus, url, rest, request, response, body));
  });
}

/**
 * Send the request, whose body has been read, to the sidecar, and its answer back.
 * @param {Bus} bus
 * @param {URL} url
 * @param {string} rest
 * @param {Request} request
 * @param {Response} response
 * @param {Buffer} body
 */
function send(bus, url, rest, request, response, body) {
  const { apiKey, way } = bus.sidecar;
  const secure = way ? way.byCertificate : url.protocol === "https:";
  if (!secure && !apiKey())
    return refuse(
      request,
      response,
      502,
      "unavailable",
      "There is no API key, so the sidecar could not be distinguished from another program.",
    );
  const upstream = (secure ? https : http).request({
    hostname: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port,
    method: request.method,
    path: TARGET + rest + (request.url?.includes("?") ? request.url.slice(request.url.indexOf("?")) : ""),
    headers: { ...(isWebhook(rest) ? webhookHeaders(request) : headersOf(request)), ...framingOf(request, body) },
    agent: secure ? false : new ProvenAgent(apiKey, { keepAlive: false }, way),
  });
  upstream.setTimeout(HEAD_MS, () => upstream.destroy(new Error("no answer")));
  upstream.on("response", (answer) => {
    upstream.setTimeout(0);
    if (!isWebhook(rest)) pages.learn(request, answer);
    const named = namedIn(answer.headers.connection);
    /** @param {[string, unknown]} header */
    const passes = ([name]) => !HOP_BY_HOP.has(name) && !named.has(name);
    response.writeHead(answer.statusCode ?? 502, Object.fromEntries(Object.entries(answer.headers).filter(passes)));
    response.flushHeaders?.();
    answer.pipe(response);
    answer.on("error", () => response.destroy());
    answer.on("aborted", () => response.destroy());
  });
  upstream.on("error", (error) => {
    if (response.headersSent) return response.destroy();
    refuse(
      request,
      response,
      502,
      "unavailable",
      `The sidecar at ${url.origin} does not answer (${/** @type {NodeJS.ErrnoException} */ (error).code || error.message}).`,
    );
  });
  response.on("close", () => upstream.destroy());
  upstream.end(body);
}

/**
 * A provider hears nothing of what is in the house, and comes again when that can help.
 * @param {Request} request
 * @param {Response} response
 * @param {number} status
 * @param {string} name
 */
function turnAwayWebhook(request, response, status, name) {
  const later = status >= 500;
  const body = {
    type: `urn:openclaw-nats:problem:${name}`,
    title: later ? "The event can't be taken now" : "The request can't be taken",
    status: later ? 503 : status,
    detail: later ? "Send it again later." : "It is malformed, too large, or too slow.",
  };
  response.writeHead(body.status, {
    "content-type": "application/problem+json",
    "cache-control": "no-store",
    ...(later ? { "retry-after": String(RETRY_SECONDS) } : {}),
  });
  response.end(JSON.stringify(body));
  request.resume();
}

/** @param {string} rest */
function isWebhook(rest) {
  return rest.startsWith(FRONT_DOOR_PREFIX);
}

/**
 * A webhook's headers: what it is verified by may be in any of them, so all go on but those about the connection.
 * @param {Request} request
 */
function webhookHeaders(request) {
  const named = namedIn(request.headers.connection);
  const ours = new Set(["cookie", "content-length", "expect", "proxy-authorization", PAGE_HEADER]);
  /** @param {[string, unknown]} header */
  const passes = ([name]) => !HOP_BY_HOP.has(name) && !named.has(name) && !ours.has(name);
  return Object.fromEntries(Object.entries(request.headers).filter(passes));
}

/**
 * The body's frame is made of what was read, never of the visitor's own headers: without one it would be a request.
 * @param {Request} request
 * @param {Buffer} body
 */
function framingOf(request, body) {
  return body.length || !BODILESS.has(request.method ?? "") ? { "content-length": body.length } : {};
}

/**
 * Why a request is not passed on: it can be read in more than one way, or asks for what the dashboard never does.
 * @param {Request} request
 */
function unfit(request) {
  const { headers, method } = request;
  if (headers["transfer-encoding"] !== undefined && headers["content-length"] !== undefined)
    return "The body has two lengths.";
  const coding = String(headers["transfer-encoding"] ?? "chunked").toLowerCase();
  if (coding !== "chunked") return "This transfer encoding is not passed on.";
  const hasBody = headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
  if (hasBody && BODILESS.has(method ?? "")) return `A ${method} request has no body.`;
  return "";
}

/** @param {string | undefined} connection */
function namedIn(connection) {
  return new Set(
    String(connection ?? "")
      .toLowerCase()
      .split(",")
      .map((one) => one.trim()),
  );
}

/** @param {string | undefined} url */
function pathOf(url) {
  const path = String(url ?? "/");
  const end = path.search(/[?#]/);
  return end < 0 ? path : path.slice(0, end);
}

/**
 * Whether a path would lead out of the dashboard, escaped or not.
 * @param {string} path
 */
function leavesFolder(path) {
  let plain = path;
  try {
    for (let at = 0; at < 3 && plain.includes("%"); at++) plain = decodeURIComponent(plain);
  } catch {
    return true; // escaped wrongly: nothing of ours is
  }
  return plain.split(/[/\\]/).some((part) => part === ".." || part === ".") || plain.includes("\0");
}

/** @param {Request} request */
function headersOf(request) {
  const named = namedIn(request.headers.connection); // these end at the first that reads them (RFC 9110, 7.6.1)
  /** @type {Record<string, string | string[] | undefined>} */
  const headers = {};
  for (const name of PASSED_ON)
    if (request.headers[name] !== undefined && !named.has(name)) headers[name] = request.headers[name];
  const cookies = ourCookies(request);
  if (cookies && !named.has("cookie")) headers.cookie = cookies;
  return headers;
}

/**
 * @param {Request} request
 * @param {Response} response
 * @param {number} status
 * @param {string} name
 * @param {string} detail
 */
function refuse(request, response, status, name, detail) {
  if (isWebhook(pathOf(request.url).slice(PREFIX.length))) return turnAwayWebhook(request, response, status, name);
  const hint = status === 502 ? "`openclaw-nats status` shows what is down, `openclaw-nats start` starts it." : "";
  const wantsPage = String(request.headers.accept ?? "").includes("text/html");
  const body = wantsPage
    ? `openclaw-nats: ${detail} ${hint}\n`
    : JSON.stringify({
        type: `urn:openclaw-nats:problem:${name}`,
        title: "The dashboard can't be reached",
        status,
        detail,
        hint,
      });
  response.writeHead(status, {
    "content-type": wantsPage ? "text/plain; charset=utf-8" : "application/problem+json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  response.end(body);
  request.resume();
}

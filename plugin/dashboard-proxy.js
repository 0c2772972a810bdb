// The dashboard on the Gateway's own port: requests below /nats-dashboard/ go to the sidecar's /dashboard/ as they are.
// No credential is added, and the Gateway's own ones are not passed on: who has no session there has none here.
import http from "node:http";
import https from "node:https";

const PREFIX = "/nats-dashboard";
const TARGET = "/dashboard";
const HEAD_MS = 30_000;
// So many at once: whoever reaches the Gateway's port must not use up the sidecar's connections, which events need.
const MAX_OPEN = 64;
const PASSED_ON = [
  "accept",
  "accept-encoding",
  "content-length",
  "content-type",
  "host", // the sidecar compares it with Origin
  "if-none-match",
  "last-event-id",
  "origin",
  "sec-fetch-site",
  "user-agent",
];
const HOP_BY_HOP = new Set(["connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade"]);
const OUR_COOKIES = /^openclaw_nats_/;

/**
 * Serve the dashboard on this Gateway. Not on 2026.3: its Control UI answers every request that is no GET with 405 before
 * plugins are asked, so that nobody could sign in; there the dashboard is at the sidecar's own address.
 */
export function registerDashboard(api, bus) {
  const old = typeof api.agent?.events?.registerAgentEventSubscription !== "function";
  if (old || typeof api.registerHttpRoute !== "function") return;
  const handler = (request, response) => forward(bus, request, response);
  api.registerHttpRoute({ path: PREFIX, auth: "plugin", match: "prefix", handler });
  bus.dashboard = `${PREFIX}/`;
}

let open = 0;

/** Pass one request on, and its answer back; true, as the Gateway expects of who has answered. */
export function forward(bus, request, response) {
  return new Promise((resolve) => {
    open += 1;
    response.on("close", () => {
      open -= 1;
      resolve(true);
    });
    if (open > MAX_OPEN) return refuse(request, response, 503, "unavailable", "Too many requests are open; close a page.");
    const path = pathOf(request.url);
    if (path === PREFIX) {
      response.writeHead(308, { location: `.${PREFIX}/` });
      return response.end();
    }
    const rest = path.slice(PREFIX.length);
    if (!rest.startsWith("/") || leavesFolder(rest)) return refuse(request, response, 404, "not-found", "There is no such page.");
    let url;
    try {
      url = new URL(bus.settings.sidecarUrl);
    } catch {
      return refuse(request, response, 502, "unavailable", "sidecar.url is not an address.");
    }
    const upstream = (url.protocol === "https:" ? https : http).request({
      hostname: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port,
      method: request.method,
      path: TARGET + rest + (request.url.includes("?") ? request.url.slice(request.url.indexOf("?")) : ""),
      headers: headersOf(request),
      agent: false,
    });
    upstream.setTimeout(HEAD_MS, () => upstream.destroy(new Error("no answer")));
    upstream.on("response", (answer) => {
      upstream.setTimeout(0);
      const headers = Object.fromEntries(Object.entries(answer.headers).filter(([name]) => !HOP_BY_HOP.has(name)));
      response.writeHead(answer.statusCode, headers);
      response.flushHeaders?.();
      answer.pipe(response);
      answer.on("error", () => response.destroy());
      answer.on("aborted", () => response.destroy());
    });
    upstream.on("error", (error) => {
      if (response.headersSent) return response.destroy();
      refuse(request, response, 502, "unavailable", `The sidecar at ${url.origin} does not answer (${error.code || error.message}).`);
    });
    response.on("close", () => upstream.destroy());
    request.on("aborted", () => upstream.destroy());
    request.pipe(upstream);
  });
}

function pathOf(url) {
  const path = String(url ?? "/");
  const end = path.search(/[?#]/);
  return end < 0 ? path : path.slice(0, end);
}

/** Whether a path would lead out of the dashboard, escaped or not. */
function leavesFolder(path) {
  let plain = path;
  try {
    for (let at = 0; at < 3 && plain.includes("%"); at++) plain = decodeURIComponent(plain);
  } catch {
    return true; // escaped wrongly: nothing of ours is
  }
  return plain.split(/[/\\]/).some((part) => part === ".." || part === ".") || plain.includes("\0");
}

function headersOf(request) {
  const headers = {};
  for (const name of PASSED_ON) if (request.headers[name] !== undefined) headers[name] = request.headers[name];
  const cookies = String(request.headers.cookie ?? "").split(";").map((one) => one.trim());
  const ours = cookies.filter((one) => OUR_COOKIES.test(one));
  if (ours.length) headers.cookie = ours.join("; ");
  return headers;
}

function refuse(request, response, status, name, detail) {
  const hint = status === 502 ? "`openclaw-nats status` shows what is down, `openclaw-nats start` starts it." : "";
  const wantsPage = String(request.headers.accept ?? "").includes("text/html");
  const body = wantsPage
    ? `openclaw-nats: ${detail} ${hint}\n`
    : JSON.stringify({ type: `urn:openclaw-nats:problem:${name}`, title: "The dashboard can't be reached", status, detail, hint });
  response.writeHead(status, {
    "content-type": wantsPage ? "text/plain; charset=utf-8" : "application/problem+json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  response.end(body);
  request.resume();
}

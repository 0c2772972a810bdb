// Passing the dashboard on: what reaches the sidecar and what does not, and what a visitor sees when it is away.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { forward, registerDashboard } from "../../plugin/dashboard-proxy.js";

const PREFIX = "/nats-dashboard";
const seen = [];
let answer = (request, response) => response.end("fine");
let sidecar;
let gateway;
const bus = { settings: { sidecarUrl: "" } };

const listen = (server) => new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));

before(async () => {
  sidecar = http.createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      seen.push({ method: request.method, url: request.url, headers: request.headers, body });
      answer(request, response);
    });
  });
  bus.settings.sidecarUrl = `http://127.0.0.1:${await listen(sidecar)}`;
  gateway = http.createServer((request, response) => void forward(bus, request, response));
  gateway.port = await listen(gateway);
});

after(() => {
  for (const server of [sidecar, gateway]) {
    server.closeAllConnections();
    server.close();
  }
});

/** One request with its path exactly as given. */
function ask(path, { method = "GET", headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request({ port: gateway.port, host: "127.0.0.1", path, method, headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => (text += chunk));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

test("a request goes on as it is, with its body, query and answer", async () => {
  answer = (request, response) => {
    response.writeHead(201, { "set-cookie": ["openclaw_nats_1=a; HttpOnly"], "content-type": "application/json" });
    response.end('{"ok":true}');
  };
  const got = await ask(`${PREFIX}/api/routes?limit=5`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
  assert.equal(got.status, 201);
  assert.equal(got.text, '{"ok":true}');
  assert.deepEqual(got.headers["set-cookie"], ["openclaw_nats_1=a; HttpOnly"]);
  const one = seen.pop();
  assert.equal(`${one.method} ${one.url} ${one.body}`, "POST /dashboard/api/routes?limit=5 {}");
});

test("no credential is added, the Gateway's are not passed on, and who asks is", async () => {
  answer = (request, response) => response.end();
  await ask(`${PREFIX}/`, {
    headers: {
      authorization: "Bearer gateway-token",
      cookie: "openclaw_session=secret; openclaw_nats_1=mine; other=x",
      origin: "http://gateway.example",
      host: "gateway.example",
      "x-forwarded-for": "1.2.3.4",
      "sec-fetch-site": "same-origin",
    },
  });
  const { headers } = seen.pop();
  assert.equal(headers.authorization, undefined);
  assert.equal(headers.cookie, "openclaw_nats_1=mine");
  assert.equal(headers.origin, "http://gateway.example");
  assert.equal(headers.host, "gateway.example");
  assert.equal(headers["sec-fetch-site"], "same-origin");
  assert.equal(headers["x-forwarded-for"], undefined);
});

test("no path leads out of the dashboard", async () => {
  seen.length = 0;
  for (const path of [
    "/../api/publish",
    "/api/../../api/publish",
    "/%2e%2e/api/publish",
    "/%2E./api/publish",
    "/..%2fapi%2fpublish",
    "/%252e%252e/api/publish",
    "/..\\api\\publish",
    "/%5c..%5capi",
    "/./api",
    "/%zz/..",
    "x/../../api",
  ]) {
    assert.equal((await ask(PREFIX + path)).status, 404, path);
  }
  assert.equal(seen.length, 0);
});

test("without the last slash it is added, relative to where the Gateway is", async () => {
  const got = await ask(PREFIX);
  assert.equal(got.status, 308);
  assert.equal(got.headers.location, "./nats-dashboard/");
});

test("server-sent events pass at once, and end when the visitor goes", async () => {
  let ended;
  const gone = new Promise((resolve) => (ended = resolve));
  answer = (request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
    response.on("close", ended);
  };
  await new Promise((resolve) => {
    const request = http.get({ port: gateway.port, path: `${PREFIX}/api/live` }, (response) => {
      response.once("data", (chunk) => {
        assert.equal(String(chunk), "data: 1\n\n");
        request.destroy();
        resolve();
      });
    });
  });
  await gone;
});

test("half an answer is not taken for a whole one", async () => {
  answer = (request, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("half");
    setTimeout(() => response.destroy(), 20);
  };
  await assert.rejects(ask(`${PREFIX}/api/health`));
});

test("visitors can't use up the sidecar's connections", async () => {
  const waiting = [];
  answer = (request, response) => waiting.push(response);
  const asked = Array.from({ length: 80 }, () => ask(`${PREFIX}/api/live`));
  const refused = (await Promise.all(asked.map((one) => Promise.race([one, new Promise((go) => setTimeout(go, 500))])))).filter(Boolean);
  assert.equal(waiting.length, 64);
  assert.equal(refused.length, 16);
  assert.ok(refused.every(({ status }) => status === 503));
  for (const response of waiting) response.end();
  await Promise.all(asked);
  answer = (request, response) => response.end("fine");
  assert.equal((await ask(`${PREFIX}/`)).status, 200);
});

test("a sidecar that is away is told in words, as JSON to the page", async () => {
  const url = bus.settings.sidecarUrl;
  bus.settings.sidecarUrl = "http://127.0.0.1:1";
  try {
    const page = await ask(`${PREFIX}/`, { headers: { accept: "text/html,*/*" } });
    assert.equal(page.status, 502);
    assert.match(page.text, /does not answer.*openclaw-nats start/);
    const json = JSON.parse((await ask(`${PREFIX}/api/health`)).text);
    assert.equal(json.type, "urn:openclaw-nats:problem:unavailable");
    bus.settings.sidecarUrl = "nonsense";
    assert.equal((await ask(`${PREFIX}/`)).status, 502);
  } finally {
    bus.settings.sidecarUrl = url;
  }
});

test("it is registered where signing in can work, and only there", async () => {
  const routes = [];
  const modern = { agent: { events: { registerAgentEventSubscription() {} } }, registerHttpRoute: (route) => routes.push(route) };
  const one = { settings: bus.settings };
  registerDashboard(modern, one);
  assert.deepEqual([routes[0].path, routes[0].auth, routes[0].match, one.dashboard], [PREFIX, "plugin", "prefix", "/nats-dashboard/"]);
  const old = { settings: bus.settings };
  registerDashboard({ registerHttpHandler: assert.fail, registerHttpRoute: assert.fail }, old);
  assert.equal(old.dashboard, undefined);
});

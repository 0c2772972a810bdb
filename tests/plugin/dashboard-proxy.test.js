// Passing the dashboard on: what reaches the sidecar and what does not, and what a visitor sees when it is away.
import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { after, before, test } from "node:test";
import { forward, registerDashboard } from "../../plugin/dashboard-proxy.js";
import { KEY, proving } from "./proving.js";

const PREFIX = "/nats-dashboard";
const seen = [];
let answer = (request, response) => response.end("fine");
let sidecar;
let gateway;
const bus = { settings: { sidecarUrl: "" }, sidecar: { apiKey: () => KEY } };

const listen = (server) =>
  new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));

before(async () => {
  const handler = (request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      seen.push({ method: request.method, url: request.url, headers: request.headers, body });
      answer(request, response);
    });
  };
  sidecar = proving(handler, KEY, { visitors: true });
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
    const request = http.request(
      { port: gateway.port, host: "127.0.0.1", path, method, headers, agent: false },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk) => (text += chunk));
        response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
        response.on("error", reject);
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

test("a request goes on as it is, with its body, query and answer", async () => {
  answer = (request, response) => {
    response.writeHead(201, { "set-cookie": ["openclaw_nats_1=a; HttpOnly"], "content-type": "application/json" });
    response.end('{"ok":true}');
  };
  const got = await ask(`${PREFIX}/api/routes?limit=5`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  assert.equal(got.status, 201);
  assert.equal(got.text, '{"ok":true}');
  assert.deepEqual(got.headers["set-cookie"], ["openclaw_nats_1=a; HttpOnly"]);
  const one = seen.pop();
  assert.equal(`${one.method} ${one.url} ${one.body}`, "POST /dashboard/api/routes?limit=5 {}");
});

test("a page that a browser has is not sent again", async () => {
  answer = (request, response) => {
    response.writeHead(request.headers["if-none-match"] === '"one"' ? 304 : 200, { etag: '"one"' });
    response.end(request.headers["if-none-match"] === '"one"' ? "" : "page");
  };
  assert.deepEqual((({ status, text }) => [status, text])(await ask(`${PREFIX}/`)), [200, "page"]);
  const again = await ask(`${PREFIX}/`, { headers: { "if-none-match": '"one"' } });
  assert.deepEqual([again.status, again.headers.etag, again.text], [304, '"one"', ""]);
  seen.splice(0);
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
      "x-openclaw-nats-page": "half",
    },
  });
  const { headers } = seen.pop();
  assert.equal(headers.authorization, undefined);
  assert.equal(headers.cookie, "openclaw_nats_1=mine");
  assert.equal(headers["x-openclaw-nats-page"], "half");
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

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const settled = (promises) =>
  Promise.all(promises.map((one) => Promise.race([one.catch((error) => error), pause(300)])));

async function until(condition) {
  for (const end = Date.now() + 10_000; !condition(); await pause(10))
    if (Date.now() > end) throw new Error("it did not come true");
}

/** Send bytes as they are, and return what comes back until the connection ends or is silent. */
function raw(text, quietMs = 5000) {
  return new Promise((resolve) => {
    const socket = net.connect(gateway.port, "127.0.0.1", () => socket.write(text));
    let got = "";
    socket.setTimeout(quietMs, () => socket.destroy());
    socket.on("data", (chunk) => (got += chunk));
    socket.on("error", () => {});
    socket.on("close", () => resolve(got));
  });
}

test("a body reaches the sidecar with its own frame, or not at all", async () => {
  answer = (request, response) => response.end("fine");
  seen.length = 0;
  const smuggled = "GET /api/routes HTTP/1.1\r\nHost: x\r\nCookie: openclaw_nats_1=stolen\r\n\r\n";
  const chunked = `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n`;
  for (const method of ["GET", "HEAD", "OPTIONS"]) {
    assert.match(
      await raw(
        `${method} ${PREFIX}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n${chunked}\r\n`,
      ),
      /^HTTP\/1.1 400/,
    );
    assert.match(
      await raw(
        `${method} ${PREFIX}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
      ),
      /^HTTP\/1.1 400/,
    );
  }
  const named = `Connection: close, content-length, transfer-encoding\r\n`;
  for (const method of ["POST", "DELETE", "PATCH"]) {
    const start = `${method} ${PREFIX}/api/routes HTTP/1.1\r\nHost: x\r\n`;
    await raw(`${start}Content-Length: ${smuggled.length}\r\n${named}\r\n${smuggled}`);
    await raw(
      `${start}Transfer-Encoding: chunked\r\nTrailer: cookie\r\n${named}\r\n${chunked}Cookie: openclaw_nats_1=late\r\n\r\n`,
    );
    await raw(`${start}Connection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n${chunked}\r\n`);
    await raw(`${start}Connection: close\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n${chunked}\r\n`);
  }
  assert.deepEqual(
    seen.map(({ method, body }) => [method, body === smuggled]),
    ["POST", "POST", "DELETE", "DELETE", "PATCH", "PATCH"].map((one) => [one, true]),
  );
  for (const { url, headers } of seen) {
    assert.equal(url, "/dashboard/api/routes");
    assert.equal(headers["content-length"], String(smuggled.length));
    for (const name of ["transfer-encoding", "trailer", "cookie"]) assert.equal(headers[name], undefined);
  }
});

test("headers that end at the first reader end here", async () => {
  answer = (request, response) => {
    response.writeHead(200, { connection: "x-private, keep-alive", "x-private": "1", "x-public": "2" });
    response.end();
  };
  const got = await ask(`${PREFIX}/`, {
    headers: { connection: "cookie, close", cookie: "openclaw_nats_1=a", te: "trailers" },
  });
  assert.equal(seen.pop().headers.cookie, undefined);
  assert.equal(got.headers["x-private"], undefined);
  assert.equal(got.headers["x-public"], "2");
});

test("unfinished requests of strangers keep nobody out, and cost the sidecar nothing", async () => {
  answer = (request, response) => response.end("fine");
  seen.length = 0;
  const start = `POST ${PREFIX}/api/session HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nContent-Length: 30\r\n\r\n`;
  const held = Array.from({ length: 100 }, () =>
    net.connect(gateway.port, "127.0.0.1", function () {
      this.write(start);
    }),
  );
  held.forEach((socket) => socket.on("error", () => {}).resume());
  await pause(200);
  for (let at = 0; at < 10; at++) assert.equal((await ask(`${PREFIX}/`)).status, 200);
  assert.equal((await ask(`${PREFIX}/api/session`, { method: "POST", body: "{}" })).status, 200);
  assert.equal(seen.length, 11);
  held.forEach((socket) => socket.destroy());
});

test("a stranger's body is small and comes soon", async () => {
  answer = (request, response) => response.end("fine");
  seen.length = 0;
  assert.equal(
    (await ask(`${PREFIX}/api/session`, { method: "POST", body: "x".repeat(20_000) }).catch(() => ({ status: 413 })))
      .status,
    413,
  );
  const began = Date.now();
  const late = await raw(`POST ${PREFIX}/api/session HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n{`, 9000);
  assert.match(late, /^HTTP\/1.1 408/);
  assert.ok(Date.now() - began < 8000);
  assert.equal(seen.length, 0);
});

test("a signed-in browser's requests are not touched by strangers, and are limited too", async () => {
  const waiting = [];
  const cookie = "openclaw_nats_1=session"; // every port of the host gets it: a thief may have it
  const mine = { headers: { cookie, "x-openclaw-nats-page": "token" } };
  answer = (request, response) => response.end("{}");
  await ask(`${PREFIX}/api/routes`, mine); // the sidecar answers: a session
  answer = (request, response) => void waiting.push(response);
  const pages = Array.from({ length: 80 }, () => ask(`${PREFIX}/api/live`, mine));
  await until(() => waiting.length === 64);
  const refused = (await settled(pages)).filter(Boolean);
  assert.equal(refused.length, 16);
  assert.equal(waiting.length, 64);
  assert.deepEqual([...new Set(refused.map(({ status }) => status))], [503]);
  const forged = Array.from({ length: 80 }, (_, at) =>
    ask(`${PREFIX}/api/live`, { headers: { cookie, ...(at % 2 ? { "x-openclaw-nats-page": "forged" } : {}) } }),
  );
  for (const one of forged) one.catch(() => {});
  await until(() => waiting.length >= 64 + 24);
  assert.ok(waiting.filter((one) => !one.destroyed).length <= 64 + 48);
  assert.equal((await ask(`${PREFIX}/api/live`, mine)).status, 503); // still 64 of its own
  answer = (request, response) => response.end("fine");
  assert.equal((await ask(`${PREFIX}/`)).status, 200);
  for (const response of waiting) response.end("{}");
  await settled([...pages, ...forged]);
  answer = (request, response) => {
    response.statusCode = 401;
    response.end("{}");
  };
  await ask(`${PREFIX}/api/routes`, { headers: { cookie } }); // somebody without the token signs nobody out
  waiting.length = 0;
  const unauthorized = answer;
  answer = (request, response) => void waiting.push(response);
  const still = Array.from({ length: 40 }, () => ask(`${PREFIX}/api/live`, mine));
  await until(() => waiting.length === 40); // more than strangers of one address get
  for (const response of waiting) response.end("{}");
  await settled(still);
  answer = unauthorized;
  await ask(`${PREFIX}/api/routes`, mine); // signed out: a stranger again
  answer = (request, response) => void waiting.push(response);
  waiting.length = 0;
  const again = Array.from({ length: 60 }, () => ask(`${PREFIX}/api/live`, mine));
  let turnedAway = 0;
  for (const one of again)
    one.then(
      ({ status }) => (turnedAway += status === 503),
      () => {},
    );
  await until(() => turnedAway >= 60 - 24);
  for (const response of waiting) response.end("{}");
  await settled(again);
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

test("a provider hears that it may come again, and nothing of the house", async () => {
  const url = bus.settings.sidecarUrl;
  try {
    for (const away of ["http://127.0.0.1:1", "nonsense"]) {
      bus.settings.sidecarUrl = away;
      for (const headers of [{}, { accept: "text/html" }]) {
        const told = await ask(`${PREFIX}/in/gh/token`, { method: "POST", headers, body: "{}" });
        assert.equal(told.status, 503);
        assert.ok(Number(told.headers["retry-after"]) > 0);
        assert.match(told.headers["content-type"], /problem\+json/);
        assert.doesNotMatch(told.text, /127\.0\.0\.1|ECONN|sidecar|dashboard|nonsense/i);
      }
    }
  } finally {
    bus.settings.sidecarUrl = url;
  }
  const malformed = await ask(`${PREFIX}/in/../api/routes`, { method: "POST", body: "{}" });
  assert.equal(malformed.status, 404);
  assert.equal(malformed.headers["retry-after"], undefined);
});

test("a program that has the sidecar's port gets neither the session nor a sign-in link", async () => {
  const url = bus.settings.sidecarUrl;
  const cookie = "openclaw_nats_1=secret-session";
  const got = [];
  const keep = (socket) => socket.on("error", () => {}).on("data", (chunk) => got.push(chunk.toString()));
  const impostors = {
    "that answers everything": net.createServer((socket) =>
      keep(socket).on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")),
    ),
    "with another key": proving(
      (request, response) => (got.push(JSON.stringify(request.headers) + request.url), response.end("{}")),
      "another-key",
      { visitors: true },
    ),
    "that knows an empty key": proving(
      (request, response) => (got.push(JSON.stringify(request.headers) + request.url), response.end("{}")),
      "",
      { visitors: true },
    ),
  };
  try {
    for (const [name, impostor] of Object.entries(impostors)) {
      bus.settings.sidecarUrl = `http://127.0.0.1:${await listen(impostor)}`;
      for (const path of ["/", "/sign-in?code=secret-code", "/api/routes"]) {
        const page = { "x-openclaw-nats-page": "secret-half" };
        const told = await ask(PREFIX + path, { headers: { ...page, cookie, accept: "application/json" } });
        assert.equal(told.status, 502, name);
        assert.match(JSON.parse(told.text).detail, /proof/);
      }
      impostor.close();
    }
    bus.sidecar.apiKey = () => "";
    assert.match(
      JSON.parse((await ask(`${PREFIX}/`, { headers: { cookie, accept: "application/json" } })).text).detail,
      /no API key/,
    );
  } finally {
    bus.settings.sidecarUrl = url;
    bus.sidecar.apiKey = () => KEY;
  }
  assert.ok(got.length > 0);
  assert.doesNotMatch(got.join("\n"), /secret/);
});

test("it is registered where signing in can work, and only there", async () => {
  const routes = [];
  const modern = {
    agent: { events: { registerAgentEventSubscription() {} } },
    registerHttpRoute: (route) => routes.push(route),
  };
  const one = { settings: bus.settings };
  registerDashboard(modern, one);
  assert.deepEqual(
    [routes[0].path, routes[0].auth, routes[0].match, one.dashboard],
    [PREFIX, "plugin", "prefix", "/nats-dashboard/"],
  );
  const old = { settings: bus.settings };
  registerDashboard({ registerHttpHandler: assert.fail, registerHttpRoute: assert.fail }, old);
  assert.equal(old.dashboard, undefined);
});

test("a webhook goes to the front door with all that it is verified by, byte for byte", async () => {
  answer = (request, response) => {
    response.writeHead(202);
    response.end("{}");
  };
  const body = `{"n": 1}${" ".repeat(200_000)}`;
  const headers = {
    authorization: "Bearer its-own",
    cookie: "openclaw_nats_1=a; other=b",
    "x-hub-signature-256": "sha256=00",
    "stripe-signature": "t=1,v1=2",
    "content-type": "application/json",
    "x-secret-hop": "1",
    connection: "x-secret-hop",
  };
  const got = await ask(`${PREFIX}/in/gh/token?a=%20b`, { method: "POST", headers, body });
  assert.equal(got.status, 202);
  const one = seen.pop();
  assert.equal(`${one.method} ${one.url}`, "POST /dashboard/in/gh/token?a=%20b");
  assert.equal(one.body, body);
  assert.equal(one.headers.authorization, "Bearer its-own");
  assert.equal(one.headers["x-hub-signature-256"], "sha256=00");
  assert.equal(one.headers["stripe-signature"], "t=1,v1=2");
  for (const name of ["cookie", "x-secret-hop"]) assert.equal(one.headers[name], undefined);
  const large = await ask(`${PREFIX}/in/gh/token`, { method: "POST", headers, body: "x".repeat(1024 * 1024 + 1) });
  assert.equal(large.status, 413);
  for (const path of ["/in/../api/routes", "/in/%2e%2e/api/routes", "/in/..%2fapi"])
    assert.equal((await ask(`${PREFIX}${path}`, { method: "POST", headers, body: "{}" })).status, 404, path);
});

// The uploader with a real HTTP server that answers well, badly, half, late or not at all.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { afterEach, test } from "node:test";
import { Sidecar } from "../../plugin/sidecar.js";
import { Spool } from "../../plugin/spool.js";
import { Uploader } from "../../plugin/uploader.js";
import { KEY, proving } from "./proving.js";

const closing = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const line = (id, size = 0) =>
  JSON.stringify({ id: String(id), time: "2026-01-01T00:00:00.000Z", pad: "x".repeat(size) });

/** A sidecar that keeps what it accepted and answers as `behave` says: returns nothing for the ordinary answer. */
async function sidecar(behave = () => undefined) {
  const state = { stored: [], requests: 0, headers: [], behave };
  const server = proving(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    state.requests += 1;
    state.headers.push({ ...request.headers, proven: request.proven });
    const ids = Buffer.concat(chunks)
      .toString()
      .split("\n")
      .filter(Boolean)
      .map((text) => JSON.parse(text).id);
    const answer = state.behave({ ids, request, response, number: state.requests, state });
    if (answer === "handled") return;
    const { status = 200, body, headers = {}, store = status === 200 } = answer ?? {};
    const fresh = ids.filter((id) => !state.stored.includes(id));
    if (store) state.stored.push(...fresh);
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(
      body ??
        JSON.stringify({ accepted: fresh.length, duplicates: ids.length - fresh.length, rejected: [], filtered: 0 }),
    );
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))));
  state.url = `http://127.0.0.1:${server.address().port}`;
  return state;
}

const sidecarAt = (url, timeoutMs) =>
  new Sidecar({ settings: () => ({ sidecarUrl: url }), apiKey: () => KEY, timeoutMs });

function start(url, { dir = fs.mkdtempSync(path.join(os.tmpdir(), "up-")), timeoutMs = 300 } = {}) {
  const home = dir;
  const spool = new Spool({
    dir: path.join(home, "spool"),
    maxBytes: 1 << 22,
    makeOverflow: (dropped) => JSON.stringify({ type: "openclaw.spool.overflow", data: { dropped } }),
  });
  const uploader = new Uploader({ spool, home, sidecar: sidecarAt(url, timeoutMs), random: () => 0 });
  closing.unshift(() => uploader.stop(0));
  uploader.start();
  return { spool, uploader, home };
}

async function until(condition, ms = 8000) {
  const deadline = Date.now() + ms;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `not reached: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const problem = (status, name, more = {}) => ({
  status,
  body: JSON.stringify({ type: `urn:openclaw-nats:problem:${name}`, status, detail: name }),
  ...more,
});

test("everything arrives once, in order, in few requests, and the spool is empty", async () => {
  const server = await sidecar();
  const { spool } = start(server.url);
  for (let n = 0; n < 2500; n += 1) spool.append(line(n));
  await until(() => server.stored.length === 2500);
  assert.deepEqual(server.stored.map(Number), [...Array(2500).keys()]);
  assert.ok(server.requests <= 6, `${server.requests}`);
  assert.equal(server.headers[0].proven, KEY);
  await until(() => spool.stats().events === 0);
});

const faults = {
  500: () => ({ status: 500 }),
  "503 with Retry-After": () => problem(503, "unavailable", { headers: { "retry-after": "1" } }),
  429: () => ({ status: 429 }),
  "404 of another program": () => ({ status: 404, body: "not found" }),
  "200 of another program": () => ({ status: 200, body: "<html>", store: false }),
  "200 that tells of fewer events": () => ({
    status: 200,
    body: '{"accepted":0,"duplicates":0,"rejected":[],"filtered":0}',
    store: false,
  }),
  "400 of another program": () => ({ status: 400, body: "bad request" }),
  "a hang": ({ response }) => (response.on("error", () => {}), "handled"),
  "a closed connection": ({ request }) => (request.socket.destroy(), "handled"),
  "half an answer": ({ response }) => {
    response.writeHead(200, { "content-length": "500" });
    response.write('{"accepted":');
    setTimeout(() => response.destroy(), 20);
    return "handled";
  },
  "stored, but the answer is lost": ({ ids, state, request }) => {
    state.stored.push(...ids.filter((id) => !state.stored.includes(id)));
    request.socket.destroy();
    return "handled";
  },
  401: () => problem(401, "unauthorized"),
};

for (const [name, behave] of Object.entries(faults)) {
  test(`nothing is lost after ${name}`, { timeout: 20_000 }, async () => {
    const server = await sidecar((context) => (context.number <= 2 ? behave(context) : undefined));
    const { spool, uploader } = start(server.url);
    for (let n = 0; n < 10; n += 1) spool.append(line(n));
    await until(() => server.requests >= 1);
    if (!name.startsWith("stored")) await until(() => uploader.lastError !== "");
    for (let n = 10; n < 20; n += 1) spool.append(line(n));
    await until(() => server.stored.length === 20, 15_000);
    assert.deepEqual(server.stored.map(Number), [...Array(20).keys()]);
    await until(() => uploader.lastError === "");
    await until(() => spool.stats().events === 0);
  });
}

test("a refused connection is tried again until somebody listens", async () => {
  const probe = http.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.on("listening", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  const { spool, uploader } = start(`http://127.0.0.1:${port}`);
  spool.append(line(1));
  await until(() => uploader.lastError.includes("ECONNREFUSED"));
  assert.equal(spool.stats().events, 1);
});

test("an event that the sidecar refuses is kept aside and counted, the others go on", async () => {
  const server = await sidecar(({ ids, state }) => {
    state.stored.push(...ids.filter((id) => id !== "3"));
    const at = ids.indexOf("3");
    const rejected = at < 0 ? [] : [{ index: at, error: "invalid" }];
    return {
      body: JSON.stringify({ accepted: ids.length - rejected.length, duplicates: 0, rejected, filtered: 0 }),
      store: false,
    };
  });
  const { spool, uploader, home } = start(server.url);
  for (let n = 0; n < 6; n += 1) spool.append(line(n));
  await until(() => server.stored.length === 5);
  await until(() => uploader.rejected === 1);
  const kept = fs.readFileSync(path.join(home, "spool", "rejected.ndjson"), "utf8");
  assert.equal(JSON.parse(JSON.parse(kept).event).id, "3");
});

test("a batch that is too large is halved until it fits, and one event that never fits is put aside", async () => {
  const server = await sidecar(({ ids }) =>
    ids.length > 4 || ids.includes("7") ? problem(413, "too-large") : undefined,
  );
  const { spool, uploader } = start(server.url);
  for (let n = 0; n < 20; n += 1) spool.append(line(n));
  await until(() => server.stored.length === 19);
  assert.equal(uploader.rejected, 1);
  assert.equal(server.stored.includes("7"), false);
});

test("after a restart it goes on where the sidecar acknowledged, and says that this may be a retry", async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "up-"));
  const server = await sidecar();
  const first = start(server.url, { dir });
  for (let n = 0; n < 5; n += 1) first.spool.append(line(n));
  await until(() => server.stored.length === 5);
  await until(() => first.spool.stats().events === 0);
  await first.uploader.stop();
  for (let n = 5; n < 8; n += 1) first.spool.append(line(n));
  const before = server.requests;
  const spool = new Spool({ dir: path.join(dir, "spool"), maxBytes: 1 << 20, makeOverflow: () => "" });
  await spool.recover();
  const uploader = new Uploader({ spool, home: dir, sidecar: sidecarAt(server.url) });
  closing.unshift(() => uploader.stop(0));
  uploader.start();
  await until(() => server.stored.length === 8);
  assert.equal(server.requests, before + 1);
  assert.equal(server.headers.at(-1)["openclaw-nats-retry-since"], "2026-01-01T00:00:00.000Z");
});

test("a try whose outcome is unknown is marked with when it began", async () => {
  const server = await sidecar(({ number, request }) =>
    number === 1 ? (request.socket.destroy(), "handled") : undefined,
  );
  const { spool } = start(server.url);
  spool.append(line(1));
  await until(() => server.stored.length === 1);
  assert.equal(server.headers[0]["openclaw-nats-retry-since"], undefined);
  assert.ok(Date.parse(server.headers[1]["openclaw-nats-retry-since"]) > Date.now() - 10_000);
});

test("events that come while the sidecar is away do not hurry the next try", async () => {
  const server = await sidecar(() => ({ status: 503 }));
  const { spool, uploader } = start(server.url);
  uploader.random = () => 0.5;
  const feeder = setInterval(() => spool.append(line("x")), 5);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  clearInterval(feeder);
  assert.ok(server.requests >= 2 && server.requests <= 5, `${server.requests}`);
});

test("it can be stopped during a pause and started again in the same process", async () => {
  const server = await sidecar(({ number }) => (number === 1 ? { status: 500 } : undefined));
  const { spool, uploader } = start(server.url);
  spool.append(line(1));
  await until(() => uploader.lastError !== "");
  await uploader.stop();
  spool.append(line(2));
  uploader.start();
  await until(() => server.stored.length === 2);
});

test("a folder that is deleted while events wait is told as a loss, and what comes after it arrives", async () => {
  const server = await sidecar(({ state }) => (state.open ? undefined : { status: 503 }));
  const { spool, uploader } = start(server.url);
  for (let n = 0; n < 3; n += 1) spool.append(line(n));
  await until(() => uploader.lastError !== "");
  fs.rmSync(spool.dir, { recursive: true });
  server.open = true;
  await until(() => spool.stats().dropped === 3);
  spool.append(line(3));
  await until(() => server.stored.includes("3"));
  assert.equal(server.stored.length, 2); // the overflow event has no id of its own here
  assert.deepEqual(server.stored.map(String), ["undefined", "3"]);
  await until(() => spool.stats().events === 0 && uploader.lastError === "");
});

for (const [name, fail] of Object.entries({
  "answers 500": () => problem(500, "internal"),
  "does not answer": ({ response }) => (response.on("error", () => {}), "handled"),
})) {
  test(
    `the one event on which the sidecar ${name} is found and put aside, and all others arrive in order`,
    { timeout: 60_000 },
    async () => {
      const server = await sidecar((context) => (context.ids.includes("13") ? fail(context) : undefined));
      const { spool, uploader, home } = start(server.url, { timeoutMs: 150 });
      for (let n = 0; n < 50; n += 1) spool.append(line(n));
      await until(() => server.stored.length === 49, 30_000);
      assert.deepEqual(
        server.stored.map(Number),
        [...Array(50).keys()].filter((n) => n !== 13),
      );
      await until(() => uploader.rejected === 1 && spool.stats().events === 0);
      const kept = JSON.parse(fs.readFileSync(path.join(home, "spool", "rejected.ndjson"), "utf8"));
      assert.equal(JSON.parse(kept.event).id, "13");
      assert.match(kept.error, name === "answers 500" ? /500: internal/ : /no answer within/);
      assert.equal(uploader.lastError, "");
    },
  );
}

test(
  "a sidecar that fails on everything costs three events at most, and then time only",
  { timeout: 60_000 },
  async () => {
    const server = await sidecar(({ ids, state }) =>
      ids.length && !state.open ? problem(500, "internal") : undefined,
    );
    const { spool, uploader } = start(server.url);
    for (let n = 0; n < 12; n += 1) spool.append(line(n));
    await until(() => uploader.rejected === 3, 30_000);
    const requests = server.requests;
    await until(() => server.requests > requests + 3, 10_000);
    assert.equal(uploader.rejected, 3);
    assert.equal(spool.stats().events, 9);
  },
);

test("a sidecar that takes nothing at all puts no event aside", { timeout: 30_000 }, async () => {
  const server = await sidecar(() => problem(500, "internal"));
  const { spool, uploader } = start(server.url);
  for (let n = 0; n < 3; n += 1) spool.append(line(n));
  await until(() => server.requests > 8, 20_000);
  assert.equal(uploader.rejected, 0);
  assert.equal(spool.stats().events, 3);
});

test(
  "after a failure whose outcome is unknown every part of the batch is marked as a retry",
  { timeout: 20_000 },
  async () => {
    const server = await sidecar(({ number, ids }) =>
      number <= 2 || ids.length > 2 ? problem(500, "internal") : undefined,
    );
    const { spool } = start(server.url);
    for (let n = 0; n < 8; n += 1) spool.append(line(n));
    await until(() => server.stored.length === 8, 15_000);
    const stored = server.headers.slice(2).map((headers) => headers["openclaw-nats-retry-since"]);
    assert.ok(
      stored.every((since) => since === stored[0] && Date.parse(since)),
      JSON.stringify(stored),
    );
    spool.append(line(8));
    await until(() => server.stored.length === 9);
    assert.equal(server.headers.at(-1)["openclaw-nats-retry-since"], undefined);
  },
);

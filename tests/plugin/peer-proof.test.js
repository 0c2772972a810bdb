// What the plugin says, and to whom: nothing to a program that has the sidecar's port, and nothing that is of use elsewhere.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Bus } from "../../plugin/bus.js";
import { Channel } from "../../plugin/channel.js";
import { addressOf, mac } from "../../plugin/peer-proof.js";
import { Sidecar } from "../../plugin/sidecar.js";
import { KEY, proving } from "./proving.js";

const listen = (server) =>
  new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${server.address().port}`)));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function client(url) {
  const sidecar = new Sidecar({ settings: () => ({ sidecarUrl: url }), apiKey: () => KEY, timeoutMs: 2000 });
  return { sidecar, post: (body, options) => sidecar.post("/api/events", body, "text/plain", options) };
}

/** Impostors: `answer(nonce, socket)` is what they say when they are asked for a proof. */
const RIGHT = (nonce, where, side = "sidecar") => ({
  nonce: "0".repeat(64),
  address: where,
  proof: mac(KEY, side, nonce, "0".repeat(64), where),
});
const impostors = {
  "one that says yes to everything": () => "{}",
  "one that knows no key": (nonce, where) =>
    JSON.stringify({
      ...RIGHT(nonce, where),
      proof: mac("another key of 16", "sidecar", nonce, "0".repeat(64), where),
    }),
  "one that sends the question back": (nonce, where) => JSON.stringify({ nonce, address: where, proof: nonce }),
  "one that has a client's token": (nonce, where) => JSON.stringify(RIGHT(nonce, where, "client")),
  "one that passes it on to the real one": (nonce) => JSON.stringify(RIGHT(nonce, "127.0.0.1:1")),
  "one that answers no JSON": () => "<html>",
  "one with texts that are none": () => JSON.stringify({ nonce: 1, address: [], proof: null }),
};

for (const [name, answer] of Object.entries(impostors)) {
  test(`nothing is sent to ${name}, and no order is taken`, async (t) => {
    let heard = "";
    const server = net.createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (chunk) => {
        heard += chunk;
        const nonce = /nonce=([0-9a-f]*)/.exec(String(chunk))?.[1] ?? "";
        const body = answer(nonce, addressOf(socket.localAddress, socket.localPort));
        const order = JSON.stringify({ op: "run", key: "1", text: "impostor" });
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
        setTimeout(() => socket.destroyed || socket.write(`HTTP/1.1 200 OK\r\n\r\n${order}\n`), 20);
      });
    });
    const url = await listen(server);
    const orders = [];
    const describe = () => ({ instance: "instance-1" });
    const { sidecar, post } = client(url);
    const channel = new Channel({ sidecar, describe, onOrder: (one) => orders.push(one) });
    t.after(() => (channel.stop(), server.close()));
    channel.start();
    for (const options of [{}, { alone: true }]) {
      await assert.rejects(post("very private words", options), (error) => error.definite === true);
    }
    await pause(300);
    assert.deepEqual(orders, []);
    assert.equal(channel.connected, false);
    for (const secret of [KEY, "private", "uthorization", "instance-1"]) assert.ok(!heard.includes(secret), secret);
    assert.match(heard, /^GET \/api\/proof/);
  });
}

test("the real one gets requests with a token for each connection, and never the key", async (t) => {
  const tokens = [];
  let sockets = 0;
  let heard = "";
  const server = proving((request, response) => {
    tokens.push(request.headers.authorization);
    request.resume().on("end", () => response.end("{}"));
  });
  server.on("connection", (socket) => {
    sockets += 1;
    socket.on("data", (chunk) => (heard += chunk));
  });
  const { sidecar, post } = client(await listen(server));
  t.after(() => (sidecar.close(), server.closeAllConnections(), server.close()));
  for (let at = 0; at < 3; at++) assert.equal((await post("x")).status, 200);
  assert.equal(sockets, 1); // one proof for all of them
  assert.equal((await post("x", { alone: true })).status, 200);
  assert.equal(new Set(tokens).size, 2);
  assert.ok(!heard.includes(KEY));
  const stolen = await new Promise((resolve) => {
    http.get(
      { port: server.address().port, path: "/api/events", headers: { authorization: tokens[0] }, agent: false },
      (answer) => resolve(answer.resume().statusCode),
    );
  });
  assert.equal(stolen, 401);
});

test("a port that is taken over between two requests gets nothing of the second", async (t) => {
  const server = proving((request, response) => request.resume().on("end", () => response.end("{}")));
  const url = await listen(server);
  const { sidecar, post } = client(url);
  assert.equal((await post("x")).status, 200);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  let heard = "";
  const impostor = net.createServer((socket) =>
    socket
      .on("error", () => {})
      .on("data", (chunk) => {
        heard += chunk;
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
      }),
  );
  await new Promise((resolve) => impostor.listen(Number(new URL(url).port), "127.0.0.1", resolve));
  t.after(() => (sidecar.close(), impostor.close()));
  await assert.rejects(post("very private words"));
  assert.ok(!heard.includes("private") && !heard.includes("uthorization"));
});

test("a whole plugin keeps its events while an impostor has the port", async (t) => {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), "impostor-"));
  fs.writeFileSync(path.join(home, "api-key"), KEY);
  let heard = "";
  const server = http.createServer((request, response) => {
    heard += request.url + JSON.stringify(request.headers);
    request.on("data", (chunk) => (heard += chunk));
    request.on("end", () => response.end('{"accepted":1,"duplicates":0,"rejected":[],"filtered":0}'));
  });
  fs.writeFileSync(path.join(home, "plugin.json"), JSON.stringify({ sidecarUrl: await listen(server) }));
  const bus = new Bus(home);
  bus.record({ subject: "custom.x", data: { secret: "very private words" } });
  await bus.start();
  await pause(700);
  await bus.stop();
  t.after(() => (server.closeAllConnections(), server.close(), fs.rmSync(home, { recursive: true })));
  assert.ok(heard.includes("/api/proof"));
  for (const secret of [KEY, "private", "/api/events", "/api/plugin"]) assert.ok(!heard.includes(secret), secret);
  assert.equal(bus.spool.stats().events, 1);
});

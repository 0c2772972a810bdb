// The way to the sidecar: over the socket in the state directory where it is there and ours, by the address otherwise.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Sidecar } from "../../plugin/sidecar.js";
import { Way } from "../../plugin/way.js";
import { KEY, proving } from "./proving.js";

const NOWHERE = "http://127.0.0.1:9";

function home(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "way-"));
  fs.mkdirSync(path.join(folder, "run"), { mode: 0o700 });
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const listen = (t, server, where) =>
  new Promise((resolve) => {
    t.after(() => (server.closeAllConnections?.(), server.close()));
    server.listen(where, () => resolve(server.address()));
  });

/** A sidecar that counts what reaches it. */
function sidecar() {
  const heard = [];
  const server = proving((request, response) => {
    heard.push(request.url);
    request.resume();
    response.end("{}");
  });
  return { heard, server };
}

function client(t, folder, url, { isHere = true, now = Date.now } = {}) {
  const settings = () => ({ sidecarUrl: url, socket: isHere });
  const way = new Way(folder, settings, now);
  const one = new Sidecar({ settings, apiKey: () => KEY, way, timeoutMs: 3000 });
  t.after(() => one.close());
  return { way, post: (options) => one.post("/api/events", "x", "text/plain", options) };
}

test("requests go over the socket, and nothing is asked at the address", async (t) => {
  const folder = home(t);
  const { heard, server } = sidecar();
  await listen(t, server, path.join(folder, "run", "sidecar.sock"));
  const { post } = client(t, folder, NOWHERE);
  for (const options of [{}, { alone: true }]) assert.equal((await post(options)).status, 200);
  assert.equal(heard.length, 2);
});

test("another sidecar than that of the state directory is asked at its address", async (t) => {
  const folder = home(t);
  const { heard, server } = sidecar();
  await listen(t, server, path.join(folder, "run", "sidecar.sock"));
  const { post } = client(t, folder, NOWHERE, { isHere: false });
  await assert.rejects(post(), (error) => error.definite === true);
  assert.deepEqual(heard, []);
});

test("without a socket, or with something else in its place, the address is the way", async (t) => {
  const folder = home(t);
  const { heard, server } = sidecar();
  const { port } = await listen(t, server, { port: 0, host: "127.0.0.1" });
  const { post } = client(t, folder, `http://127.0.0.1:${port}`);
  const place = path.join(folder, "run", "sidecar.sock");
  const elsewhere = path.join(folder, "elsewhere.sock");
  const other = net.createServer((socket) => socket.destroy());
  await listen(t, other, elsewhere);
  for (const put of [
    () => {},
    () => fs.writeFileSync(place, "no socket"),
    () => fs.mkdirSync(place),
    () => fs.symlinkSync(elsewhere, place),
  ]) {
    fs.rmSync(place, { recursive: true, force: true });
    put();
    assert.equal((await post({ alone: true })).status, 200);
  }
  assert.equal(heard.length, 4);
});

test(
  "a socket of another user is not ours",
  { skip: process.getuid?.() !== 0 && "only root can give one away" },
  async (t) => {
    const folder = home(t);
    const theirs = sidecar();
    const place = path.join(folder, "run", "sidecar.sock");
    await listen(t, theirs.server, place);
    fs.chownSync(place, 12345, 12345);
    const { post } = client(t, folder, NOWHERE);
    await assert.rejects(post());
    assert.deepEqual(theirs.heard, []);
  },
);

/** A socket that a killed process has left: nobody listens there. */
async function left(place) {
  const script = `require("net").createServer().listen(${JSON.stringify(place)}, () => console.log("up"))`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("exit", resolve));
  assert.ok(fs.lstatSync(place).isSocket());
}

test("where a killed sidecar has left its socket, the same request goes to the address, and later ones look again", async (t) => {
  const folder = home(t);
  const place = path.join(folder, "run", "sidecar.sock");
  await left(place);
  const { heard, server } = sidecar();
  const { port } = await listen(t, server, { port: 0, host: "127.0.0.1" });
  let now = 1_000_000;
  const { way, post } = client(t, folder, `http://127.0.0.1:${port}`, { now: () => now });
  assert.equal((await post({ alone: true })).status, 200);
  assert.equal(heard.length, 1);
  assert.equal(way.local(), "");
  now += 10_000;
  assert.equal(way.local(), place);
  now -= 60_000; // the clock was set back
  assert.equal(way.local(), place);
});

test("a sidecar that speaks TLS at its address is reached over the socket, and by TLS when nobody is there", async (t) => {
  const folder = home(t);
  const place = path.join(folder, "run", "sidecar.sock");
  const { heard, server } = sidecar();
  await listen(t, server, place);
  let now = 1_000_000;
  const { way, post } = client(t, folder, "https://127.0.0.1:9", { now: () => now });
  assert.equal((await post()).status, 200);
  assert.deepEqual(heard, ["/api/events"]);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await left(place);
  await assert.rejects(post({ alone: true }), (error) => error.definite === true);
  assert.equal(way.local(), "");
  await assert.rejects(post({ alone: true }), /127\.0\.0\.1:9/);
});

test("who has the socket and does not know the key hears nothing", async (t) => {
  const folder = home(t);
  let heard = "";
  const impostor = http.createServer((request, response) => {
    heard += `${request.url}${JSON.stringify(request.headers)}`;
    response.end("{}");
  });
  await listen(t, impostor, path.join(folder, "run", "sidecar.sock"));
  const { post } = client(t, folder, NOWHERE);
  await assert.rejects(post(), (error) => error.definite === true && error.unproven === true);
  assert.ok(!heard.includes(KEY) && !/authorization/i.test(heard));
});

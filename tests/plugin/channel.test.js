import assert from "node:assert/strict";
import http from "node:http";
import test from "node:test";
import { Channel } from "../../plugin/channel.js";
import { Sidecar } from "../../plugin/sidecar.js";
import { KEY, proving } from "./proving.js";

/** A server that hands out what a test wants; `connections` are the open answers. */
async function sidecar(onRequest) {
  const connections = [];
  const server = proving((request, response) => {
    if (onRequest?.(request, response)) return;
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.write("\n");
    connections.push(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, connections, url: `http://127.0.0.1:${server.address().port}` };
}

function channelTo(url, more = {}) {
  const orders = [];
  const channel = new Channel({
    sidecar: new Sidecar({ settings: () => ({ sidecarUrl: url }), apiKey: () => KEY }),
    describe: () => ({ instance: "instance-1", run: true }),
    onOrder: (order) => orders.push(order),
    ...more,
  });
  return { channel, orders };
}

async function until(condition) {
  for (let n = 0; n < 400; n++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail("the condition did not come true");
}

test("orders come as lines, also in pieces, and a broken one costs nothing", async (t) => {
  const { server, connections, url } = await sidecar();
  const { channel, orders } = channelTo(url);
  t.after(() => (channel.stop(), server.closeAllConnections(), server.close()));
  channel.start();
  await until(() => connections.length === 1);
  connections[0].write('{"op":"run","key":"1"}\n{"op":"r');
  connections[0].write('un","key":"2"}\nnot json\n{"op":"run","key":"3"}\n');
  await until(() => orders.length === 3);
  assert.deepEqual(
    orders.map((order) => order.key),
    ["1", "2", "3"],
  );
  assert.equal(channel.connected, true);
});

test("it says who it is, with the key, and connects again when the connection ends", async (t) => {
  const seen = [];
  const { server, connections, url } = await sidecar((request) => void seen.push([request.url, request.proven]));
  const { channel } = channelTo(url);
  t.after(() => (channel.stop(), server.closeAllConnections(), server.close()));
  channel.start();
  await until(() => connections.length === 1);
  connections[0].destroy();
  await until(() => connections.length === 2);
  assert.deepEqual(seen[0], ["/api/plugin/channel?instance=instance-1&run=true", KEY]);
});

test("a sidecar that keeps still is left and asked anew", async (t) => {
  const { server, connections, url } = await sidecar();
  const { channel } = channelTo(url, { silenceMs: 100 });
  t.after(() => (channel.stop(), server.closeAllConnections(), server.close()));
  channel.start();
  await until(() => connections.length >= 2);
});

test("a refusal is told and tried again later", async (t) => {
  let refused = 0;
  const { server, connections, url } = await sidecar((request, response) => {
    if (refused >= 2) return false;
    refused += 1;
    response.writeHead(401).end();
    return true;
  });
  const { channel } = channelTo(url);
  t.after(() => (channel.stop(), server.closeAllConnections(), server.close()));
  channel.start();
  await until(() => refused === 1 && channel.lastError.includes("401"));
  await until(() => connections.length === 1 && channel.lastError === "");
});

test("a result is repeated until the sidecar has answered", async (t) => {
  const seen = [];
  const { server, url } = await sidecar((request, response) => {
    seen.push(request.url);
    if (seen.length === 1) return (request.socket.destroy(), true);
    response.writeHead(seen.length === 2 ? 503 : 204).end();
    return true;
  });
  const { channel } = channelTo(url);
  t.after(() => (channel.sidecar.close(), server.closeAllConnections(), server.close()));
  await channel.tell({ key: "k", status: "ok" });
  assert.deepEqual(seen, Array(3).fill("/api/plugin/results"));
});

for (const address of ["", "nonsense", "ftp://127.0.0.1", "http://"]) {
  test(`an address that is none (${address}) is told, and asked again: it may be put right`, async (t) => {
    const { channel } = channelTo(address);
    t.after(() => channel.stop());
    channel.start();
    await until(() => /not http:/.test(channel.lastError) && channel.failures >= 2);
    await assert.rejects(channel.sidecar.postJson("/api/plugin/report", "{}"), /not http:/);
  });
}

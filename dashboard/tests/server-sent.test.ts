import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { keepPageToken } from "../src/lib/page-token";
import { type Message, Parser, ServerSent } from "../src/lib/server-sent";

const STREAM = 'retry: 2000\n\nid: 4\nevent: events\ndata: {"a":1}\n\n: still here\n\nevent: state\ndata: {}\n\n';
const WANTED = [
  { kind: "events", data: '{"a":1}' },
  { kind: "state", data: "{}" },
];

test("messages are put together, however the stream was cut into pieces", () => {
  for (let size = 1; size <= STREAM.length; size++) {
    const parser = new Parser();
    const found = [];
    for (let at = 0; at < STREAM.length; at += size) found.push(...parser.take(STREAM.slice(at, at + size)));
    expect(found).toEqual(WANTED);
  }
});

test("what has not ended is no message yet", () => {
  expect(new Parser().take("event: state\ndata: {}\n")).toEqual([]);
});

/** A server that answers one request with pieces of a stream, and how it then ends it. */
async function served(pieces: string[], end: "close" | "stay" | "refuse") {
  const asked: Record<string, unknown>[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers);
    response.writeHead(end === "refuse" ? 401 : 200, { "content-type": "text/event-stream" });
    for (const piece of pieces) response.write(piece);
    if (end !== "stay") response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { address: `http://127.0.0.1:${port}/`, asked, close: () => (server.closeAllConnections(), server.close()) };
}

test("messages come with the page's token, and that the stream broke is said once", async () => {
  keepPageToken("half of a session");
  const server = await served([STREAM.slice(0, 30), STREAM.slice(30)], "close");
  const found: Message[] = [];
  const signs: number[] = [];
  await new Promise<void>((broke) => {
    new ServerSent(
      server.address,
      (one) => found.push(one),
      () => signs.push(1),
      broke,
    );
  });
  server.close();
  expect(found).toEqual(WANTED);
  expect(signs.length).toBeGreaterThan(0);
  expect(server.asked.map((headers) => headers["x-openclaw-nats-page"])).toEqual(["half of a session"]);
});

test("a refusal is a break, and whoever closes it hears nothing more", async () => {
  const refusing = await served([], "refuse");
  await new Promise<void>((broke) => {
    new ServerSent(
      refusing.address,
      () => expect.unreachable(),
      () => expect.unreachable(),
      broke,
    );
  });
  refusing.close();
  const staying = await served([STREAM], "stay");
  const breaks: number[] = [];
  await new Promise<void>((heard) => {
    const one = new ServerSent(
      staying.address,
      () => (one.close(), heard()),
      () => {},
      () => breaks.push(1),
    );
  });
  staying.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(breaks).toEqual([]);
});

import { expect, test } from "vitest";
import { Parser } from "../src/lib/server-sent";

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

import { expect, test } from "vitest";
import type { LiveEvent } from "../src/lib/events";
import {
  addressOf,
  asCurl,
  asked,
  DEFAULT_RANGE,
  goesOn,
  notAgain,
  parseQuery,
  passes,
  routeOf,
  terms,
} from "../src/lib/history";

const query = (text: string) => parseQuery(new URLSearchParams(text));
const event = (more: Record<string, unknown> = {}, origin = "gateway"): LiveEvent => ({
  sequence: 1,
  storedAt: "2026-11-24T12:00:00.000Z",
  bytes: 10,
  whole: true,
  origin,
  tainted: true,
  event: { subject: "agent.events.tool.exec.completed", agentid: "main", sessionkey: "agent:main:Main", ...more },
});

test("an address is read and written the same", () => {
  for (const text of [
    "",
    "subject=tool.%3E&kind=tool&agent=main&session=agent%3Amain%3Amain&run=r&origin=gateway&text=%22df+-h%22",
    "failed=true&probes=true&range=1h",
    "from=2026-11-24T12%3A00%3A00.000Z&to=2026-11-24T13%3A00%3A00.000Z",
    "range=all",
  ]) {
    expect(addressOf(query(text))).toBe(text ? `#/events?${text}` : "#/events");
  }
  expect(query("range=soon&from=never&more=1")).toEqual(query(""));
  expect(query("").range).toBe(DEFAULT_RANGE);
});

test("it is asked as the API takes it", () => {
  expect(asked(query("subject=tool.%3E&range=1h&failed=true"))).toMatchObject({
    subject: "agent.events.tool.>",
    since: "1h",
    failed: "true",
  });
  expect(asked(query("range=all")).since).toBe("");
});

test("what comes live is compared as the sidecar compares it", () => {
  const one = event({ data: { command: "ls -la /srv", Deep: [{ x: "Tür" }] } });
  for (const [text, expected] of [
    ["subject=tool.%3E", true],
    ["subject=session.%3E", false],
    ["kind=tool", true],
    ["agent=main", true],
    ["agent=ops", false],
    ["session=agent:main:Main", true],
    ["session=main", false],
    ["origin=operator", false],
    ["failed=true", false],
    ["text=LS+command", true],
    ["text=%22ls+-la%22", true],
    ["text=%22-la+ls%22", false],
    ["text=t%C3%BCr", true],
    ["text=rm", false],
    ["to=2030-01-01T00:00:00Z", true],
    ["to=2026-11-24T11:59:59Z", false],
  ] as const) {
    expect(passes(one, query(text)), text).toBe(expected);
  }
  expect(passes(event({}, "outside"), query("agent=main")), "its own word does not count").toBe(false);
  const probe = event({ subject: "agent.events.plugin.probe" });
  expect(passes(probe, query(""))).toBe(false);
  expect(passes(probe, query("probes=true"))).toBe(true);
});

test("a range goes on until its end", () => {
  const at = Date.parse("2026-11-24T12:00:00Z");
  expect(goesOn(query(""), at)).toBe(true);
  expect(goesOn(query("to=2026-11-24T13:00:00Z"), at)).toBe(true);
  expect(goesOn(query("to=2026-11-24T11:00:00Z"), at)).toBe(false);
});

test("data that is nested without end is searched without a fault", () => {
  let data: unknown = "deep";
  for (let at = 0; at < 50_000; at++) data = [data];
  expect(passes(event({ data }), query("text=deep"))).toBe(true);
  expect(passes(event({ data: { a: "one", b: ["two", { three: 4 }] } }), query('text="one b two three 4"'))).toBe(true);
  expect(passes(event({ data: "STRASSE" }), query("text=straße"))).toBe(true);
});

test("words and phrases", () => {
  expect(terms('say "No  Way" again "open')).toEqual(["say", "no way", "again", "open"]);
  expect(terms('"" ""')).toEqual([]);
});

test("a route begins with an event's subject and plain fields, whatever they hold", () => {
  const subject = "agent.events.custom.door.front";
  expect(routeOf({ subject, data: { state: "open", n: 3, nested: {}, locked: false, more: "x" } })).toEqual({
    name: "door front",
    pattern: subject,
    when: "data.state == 'open' && data.locked == false",
  });
  const passing = { since: "08:15", serial: "x7", in: "cellar", at: "a\nb", room: "hall" };
  expect(routeOf({ subject, data: passing }).when, "no times, numbers, words of CEL").toBe("data.room == 'hall'");
  expect(routeOf({ subject, data: { "a-b": "x", who: "o'k\\" } }).when).toBe("data.who == 'o\\'k\\\\'");
  expect(routeOf({ subject, data: "text" }).when).toBe("");
});

test("a command for curl holds nothing that the shell would run", () => {
  const found = asCurl({ subject: "agent.events.custom.a", data: { t: "it's $(id) `id`" } }, "http://127.0.0.1:3104");
  expect(found).toContain(`'{"subject":"agent.events.custom.a","payload":{"t":"it'\\''s $(id) \`id\`"}}'`);
  expect(found).toContain("'http://127.0.0.1:3104/api/publish'");
});

test("what the Gateway reports is not published again", () => {
  expect(notAgain({ subject: "agent.events.tool.exec.failed" })).not.toBe("");
  expect(notAgain({ subject: "agent.events.custom.a", data_base64: "eA==" })).not.toBe("");
  expect(notAgain({ subject: "agent.events.custom.a", data: { n: [1.5, 2, { x: -3 }] } })).toBe("");
  expect(notAgain({ subject: "agent.events.custom.a" })).toBe("");
  for (const json of ["9007199254740993", "1e400"]) {
    expect(notAgain({ subject: "agent.events.custom.a", data: [JSON.parse(json)] }), json).not.toBe("");
  }
});

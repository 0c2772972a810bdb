import cases from "../../tests/support/event-line-cases.json";
import { expect, test } from "vitest";
import { summary } from "../src/lib/event-line";
import type { LiveEvent } from "../src/lib/events";

const row = (subject: string, data: unknown): string =>
  summary({
    sequence: 1,
    storedAt: "2026-11-24T12:00:00.000Z",
    bytes: 10,
    whole: true,
    origin: "gateway",
    tainted: true,
    event: { subject: `agent.events.${subject}`, data },
  } as LiveEvent);

test("a row says what `openclaw-nats events` says", () => {
  expect(cases.length).toBeGreaterThan(20);
  for (const { subject, data, line } of cases) expect(row(subject, data), subject).toBe(line);
});

test("a job says for when it was, in the zone here", () => {
  const data = { _cron: { jobName: "morning", scheduledFor: "2026-11-24T08:00:00Z" } };
  expect(row("cron.morning", data)).toMatch(/^job morning, \d\d:00$/);
});

test("whatever an event holds, its row is short text that hides nothing", () => {
  const hostile = { html: "<b>x</b>", esc: "\u001b[31mred\u0007", turned: "abc\u202egnp", hidden: "a\u200bb" };
  expect(row("custom.a", hostile)).toBe(
    "html=<b>x</b> esc=⟨U+001B⟩[31mred⟨U+0007⟩ turned=abc⟨U+202E⟩gnp hidden=a⟨U+200B⟩b",
  );
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`k${at}`, "v".repeat(500)]));
  expect(row("custom.a", many).length).toBeLessThanOrEqual(200);
  for (const data of [[], {}, 5, true, { error: {} }, { usage: [], params: 5, cost: 1e300, durationMs: "x" }]) {
    for (const kind of ["tool", "llm", "message", "session", "subagent", "cron", "constructor", "__proto__"]) {
      expect(typeof row(`${kind}.a`, data)).toBe("string");
    }
  }
});

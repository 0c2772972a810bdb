import { expect, test } from "vitest";
import { failed, type LiveEvent, merged, place, said, summary } from "../src/lib/events";

const event = (sequence: number, more: Record<string, unknown> = {}): LiveEvent => ({
  sequence,
  storedAt: "2026-11-24T12:00:00.000Z",
  bytes: 10,
  whole: true,
  origin: "gateway",
  tainted: true,
  event: { subject: "agent.events.tool.exec.completed", ...more },
});
const numbers = (events: readonly LiveEvent[]) => events.map((one) => one.sequence);

test("groups are added once and the oldest goes", () => {
  const kept = merged([], [event(1), event(2)], 3);
  expect(numbers(merged(kept, [event(2), event(3), event(4)], 3))).toEqual([2, 3, 4]);
  expect(merged(kept, [event(1)], 3)).toBe(kept);
});

test("a row says who said it, not what an event from outside claims", () => {
  const one = event(1, { sessionkey: "agent:main:main" });
  expect(place(one)).toBe("agent:main:main");
  for (const origin of ["outside", "key:door", "source:mail"]) expect(place({ ...one, origin })).toBe(origin);
  expect(place({ ...one, origin: "agent:main" })).toBe("agent:main:main");
  expect(place(event(1))).toBe("gateway");
  expect(said(one)).toBe("said by gateway (tainted)");
  expect(said({ origin: "outside", tainted: true })).toBe("said by outside");
  expect(said({ origin: "operator", tainted: false })).toBe("said by operator");
});

test("a row says what matters of its kind", () => {
  const row = (subject: string, data: unknown) => summary(event(1, { subject: `agent.events.${subject}`, data }));
  for (const [subject, data, expected] of [
    ["tool.exec.completed", { tool: "exec", params: { command: "df -h" }, durationMs: 32 }, '✓ exec "df -h" · 32 ms'],
    ["tool.exec.failed", { tool: "exec", error: "exit code 4", params: { command: "df" } }, '✗ exec exit 4 "df"'],
    [
      "llm.output",
      { model: "gpt-x", usage: { input: 12400, output: 512 }, cost: 0.0451, durationMs: 1320, success: true },
      "✓ gpt-x 12.4k → 512 tokens · $0.045 · 1.3 s",
    ],
    ["agent.run_ended", { success: false, error: "no model", durationMs: 51 }, "✗ no model · 51 ms"],
    ["message.received", { channel: "telegram", from: "7", content: "hi" }, 'telegram from 7 · "hi"'],
    ["cron.morning", { _cron: { jobName: "morning", scheduledFor: "2026-11-24T08:00:00Z" } }, /^job morning, \d\d:00$/],
    ["custom.door", { door: "front", open: true, _x: 1, none: null }, "door=front open=true"],
    ["custom.door", "text", '"text"'],
    ["custom.door", undefined, ""],
    ["llm.output", { model: 5, usage: "none", cost: "dear" }, "5"],
  ] as const) {
    if (typeof expected === "string") expect(row(subject, data), subject).toBe(expected);
    else expect(row(subject, data), subject).toMatch(expected);
  }
  expect(row("custom.long", "x".repeat(5000)).length).toBeLessThanOrEqual(200);
});

test("what went wrong is marked", () => {
  expect(failed(event(1, { subject: "agent.events.tool.exec.failed" }))).toBe(true);
  expect(failed(event(1, { data: { success: false } }))).toBe(true);
  expect(failed(event(1, { data: { success: true } }))).toBe(false);
  expect(failed(event(1, { data: null }))).toBe(false);
});

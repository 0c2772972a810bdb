import { expect, test } from "vitest";
import { failed, type LiveEvent, merged, place, said } from "../src/lib/events";

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

test("what went wrong is marked", () => {
  expect(failed(event(1, { subject: "agent.events.tool.exec.failed" }))).toBe(true);
  expect(failed(event(1, { data: { success: false } }))).toBe(true);
  expect(failed(event(1, { data: { success: true } }))).toBe(false);
  expect(failed(event(1, { data: null }))).toBe(false);
});

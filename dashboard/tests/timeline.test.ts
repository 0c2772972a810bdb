import { expect, test } from "vitest";
import type { LiveEvent } from "../src/lib/events";
import { place, timeline } from "../src/lib/timeline";

let number = 0;
const at = (seconds: number) => new Date(Date.UTC(2026, 10, 24, 12, 0, 0) + seconds * 1000).toISOString();
const event = (subject: string, seconds: number, data: Record<string, unknown> = {}): LiveEvent => ({
  sequence: ++number,
  storedAt: at(seconds),
  origin: "gateway",
  tainted: true,
  bytes: 1,
  whole: true,
  event: { subject: `agent.events.${subject}`, time: at(seconds), data },
});

test("a run with its calls, tools and a subagent", () => {
  const found = timeline([
    event("model.call.completed", 3, { model: "m-1", durationMs: 2000 }),
    event("subagent.spawned", 4, { childSessionKey: "agent:main:subagent:1", label: "helper" }),
    event("tool.exec.failed", 5, { tool: "exec", durationMs: 1000, success: false, error: "exit code 1" }),
    event("subagent.ended", 8, { childSessionKey: "agent:main:subagent:1", success: true }),
    event("agent.run_ended", 9, { durationMs: 8500, success: true }),
  ]);
  const told = found.bars.map((bar) => [
    bar.kind,
    bar.label,
    (bar.begin - found.begin) / 1000,
    (bar.end - found.begin) / 1000,
    bar.failed,
  ]);
  expect(told).toEqual([
    ["run", "run", 0, 8.5, false],
    ["model", "m-1", 0.5, 2.5, false],
    ["subagent", "helper", 3.5, 7.5, false],
    ["tool", "exec", 3.5, 4.5, true],
  ]);
  expect(found.bars.every((bar) => !bar.open)).toBe(true);
});

test("a subagent that has not ended goes on to the last thing that is known", () => {
  const found = timeline([
    event("subagent.spawned", 0, { childSessionKey: "c" }),
    event("tool.read.completed", 10, { tool: "read", durationMs: 1 }),
  ]);
  const open = found.bars.find((bar) => bar.kind === "subagent");
  expect(open).toMatchObject({ open: true, end: found.end });
});

test("nothing, and a single moment", () => {
  expect(timeline([]).bars).toEqual([]);
  const one = timeline([event("message.received", 0)]);
  expect(one.bars).toHaveLength(1);
  const [left, width] = place(one.bars[0]!, one);
  expect([left, width]).toEqual([0, 0.5]);
});

test("durations that make no sense are no bars backwards", () => {
  const { bars } = timeline([
    event("tool.read.completed", 1, { durationMs: -5 }),
    event("tool.read.completed", 1, { durationMs: "x" }),
  ]);
  for (const bar of bars) expect(bar.end).toBeGreaterThanOrEqual(bar.begin);
});

import { expect, test } from "vitest";
import { wakeFrom, wakeText } from "../src/lib/wake";

test.each([
  ["main", "main"],
  [" agent:ops:door ", "agent:ops:door"],
  ["agent:ops", { kind: "agent", agentId: "ops" }],
  ["wake", { kind: "wake" }],
  ["wake:ops", { kind: "wake", agentId: "ops" }],
])("%s is whom it wakes, and back", (typed, wake) => {
  expect(wakeFrom(typed)).toEqual(wake);
  expect(wakeText(wake)).toBe(typed.trim());
});

test("nobody is nobody", () => {
  expect(wakeFrom("  ")).toBeUndefined();
  expect(wakeText(null)).toBe("");
  expect(wakeText({ kind: "session", sessionKey: "agent:ops:door", agentId: "ops" })).toBe("agent:ops:door");
});

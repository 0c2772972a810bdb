import cases from "../../tests/support/subject-cases.json";
import { expect, test } from "vitest";
import { matches, meant, short } from "../src/lib/subjects";

test("the matcher says what the sidecar's and the plugin's say", () => {
  expect(cases.length).toBeGreaterThan(10);
  for (const [pattern, subject, expected] of cases as [string, string, boolean][]) {
    expect(matches(pattern, subject), `${pattern} on ${subject}`).toBe(expected);
  }
});

test.each([
  ["", true],
  ["exec", true],
  ["EXEC", true],
  ["tool.>", true],
  ["tool.*.completed", true],
  ["agent.events.tool.>", true],
  ["tool.*", false],
  ["session", false],
  [" tool ", true],
])("%j typed means agent.events.tool.exec.completed: %s", (typed, expected) => {
  expect(meant(typed, "agent.events.tool.exec.completed")).toBe(expected);
});

test("the prefix is left out", () => {
  expect(short("agent.events.custom.a")).toBe("custom.a");
  expect(short("other.a")).toBe("other.a");
});

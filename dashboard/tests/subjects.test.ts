import cases from "../../tests/support/subject-cases.json";
import { expect, test } from "vitest";
import { matches, short } from "../src/lib/subjects";

test("the matcher says what the sidecar's and the plugin's say", () => {
  expect(cases.length).toBeGreaterThan(10);
  for (const [pattern, subject, expected] of cases as [string, string, boolean][]) {
    expect(matches(pattern, subject), `${pattern} on ${subject}`).toBe(expected);
  }
});

test("the prefix is left out", () => {
  expect(short("agent.events.custom.a")).toBe("custom.a");
  expect(short("other.a")).toBe("other.a");
});

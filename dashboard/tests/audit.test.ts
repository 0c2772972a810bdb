import { expect, test } from "vitest";
import { changed } from "../src/lib/audit";

test("of two objects each field that differs is shown with both values", () => {
  expect(changed({ before: { enabled: true }, after: { enabled: false, priority: 9 }, reason: "" })).toBe(
    "enabled: true → false; priority: - → 9",
  );
});

test("a value that came, went or changed is shown, with the reason", () => {
  expect(changed({ before: "info", after: "debug", reason: "" })).toBe("info → debug");
  expect(changed({ before: null, after: { dropped: 3 }, reason: "" })).toBe('{"dropped":3}');
  expect(changed({ before: undefined, after: undefined, reason: "NATS is gone" })).toBe("NATS is gone");
  expect(changed({ before: "x".repeat(300), after: null, reason: "" })).toHaveLength(200);
});

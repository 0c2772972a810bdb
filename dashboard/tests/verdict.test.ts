// The one line on top: what is wrong, or that what was looked at is well.
import { expect, test } from "vitest";
import type { Schemas } from "../src/lib/api";
import { verdict } from "../src/lib/verdict";

type Health = Schemas["Health"];
const WELL = {
  status: "up",
  nats: { reachable: true, notes: [], lastError: "", version: "2.15", url: "nats://here" },
  gateway: { reachable: true, lastError: "", version: "2026.9.6", url: "" },
  delivery: { reachable: true, lastError: "", counts: { dead: 0 } },
} as unknown as Health;
const but = (more: object) => ({ ...WELL, ...more }) as Health;

test("well is said of what was looked at, and of nothing else", () => {
  expect(verdict(WELL)).toEqual({ state: "good", text: "All is well: Gateway, NATS and Delivery.", problems: [] });
});

test("nothing is well when the sidecar does not answer", () => {
  const found = verdict(WELL, "2026-11-28T09:00:00Z");
  expect(found.state).toBe("unknown");
  expect(found.text).toContain("does not answer");
});

test("each problem is named and leads somewhere", () => {
  const found = verdict(
    but({
      gateway: { reachable: false, lastError: "connection refused" },
      delivery: {
        reachable: true,
        lastError: "",
        counts: { dead: 2 },
        openBreakers: [{ target: "webhook a", lastError: "503" }],
      },
      expectations: { rules: 4, missed: ["a", "b", "c", "d"], unknown: 0, lastError: "" },
    }),
  );
  expect(found.state).toBe("bad");
  expect(found.text).toBe("4 problems:");
  expect(found.problems).toEqual([
    { text: "Gateway: connection refused", page: "overview" },
    { text: "Delivery: webhook a: 503", page: "pending" },
    { text: "2 dead letters", page: "dead" },
    { text: "Missed: a, b, c and 1 more", page: "expectations" },
  ]);
});

test("what is no outage is a warning", () => {
  const one = verdict(but({ delivery: { reachable: true, lastError: "", counts: { dead: 1 } } }));
  expect([one.state, one.text, one.problems[0]?.text]).toEqual(["warn", "1 problem:", "1 dead letter"]);
  const home = { connected: false, entities: 0, lastError: "no user" };
  const mqtt = verdict(
    but({ mqtt: { listening: true, address: "", lastError: "", storedAgain: 0, homeAssistant: home } }),
  );
  expect(mqtt.problems).toEqual([{ text: "no user", page: "overview" }]);
});

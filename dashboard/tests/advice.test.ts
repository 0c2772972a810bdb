import { expect, test } from "vitest";
import { parts } from "../src/lib/advice";
import type { Schemas } from "../src/lib/api";

type Health = Schemas["Health"];
const since = "2026-11-24T12:00:00.000Z";
const well: Health = {
  status: "up",
  nats: {
    reachable: true,
    since,
    lastError: "",
    version: "2.15.1",
    url: "127.0.0.1:4222",
    stream: null,
    atomicBatches: true,
    notes: [],
  },
  sidecar: {
    reachable: true,
    since,
    lastError: "",
    version: "0.1.0",
    eventsLastMinute: 0,
    capture: "metadata",
    disks: [],
  },
  gateway: { reachable: true, since, lastError: "", version: "2026.9.6", url: "http://127.0.0.1:18789" },
  plugin: {
    reachable: true,
    since,
    lastError: "",
    version: "0.1.0",
    problems: [],
    notes: [],
    conversationAccess: true,
  },
  delivery: { reachable: true, since, lastError: "", way: "plugin", openBreakers: [] },
  schedules: { available: true, lastError: "", jobs: 1, timers: 0 },
};
const state = (health: Health, name: string) => parts(health).find((part) => part.name === name);

test("when all is well nothing is to be done", () => {
  expect(parts(well).map((part) => [part.name, part.state])).toEqual(
    ["Gateway", "Plugin", "Sidecar", "NATS", "Delivery", "Schedules"].map((name) => [name, "up"]),
  );
  expect(parts(well).every((part) => part.advice === "" && part.error === "")).toBe(true);
});

test("each part that is down says why and what to do", () => {
  const broken: [string, Partial<Health>][] = [
    ["Gateway", { gateway: { ...well.gateway!, reachable: false, lastError: "Connection refused" } }],
    ["Plugin", { plugin: { ...well.plugin!, reachable: false, lastError: "it stopped reporting" } }],
    ["NATS", { status: "down", nats: { ...well.nats!, lastError: "disk full" } }],
    ["Delivery", { delivery: { ...well.delivery!, reachable: false, lastError: "no way to the agent" } }],
    ["Schedules", { schedules: { available: false, lastError: "too old", jobs: null, timers: null } }],
  ];
  for (const [name, change] of broken) {
    const part = state({ ...well, ...change }, name);
    expect(part?.state, name).toBe("down");
    expect(part?.error, name).not.toBe("");
    expect(part?.advice, name).not.toBe("");
  }
});

test("missing conversation access and an open breaker are warnings", () => {
  const plugin = state(
    { ...well, plugin: { ...well.plugin!, conversationAccess: false, problems: ["no access"] } },
    "Plugin",
  );
  expect(plugin).toMatchObject({ state: "warning", error: "no access" });
  const delivery = state(
    { ...well, delivery: { ...well.delivery!, openBreakers: [{ target: "webhook x", lastError: "500" }] } },
    "Delivery",
  );
  expect(delivery).toMatchObject({ state: "warning", error: "webhook x: 500" });
});

test("a pause is a warning that says who paused, why, and what ends it", () => {
  const pauses = [
    { everything: false, reason: "tests", madeBy: "the command line", since },
    { route: "bell", everything: false, reason: "", madeBy: "dashboard abc", since },
  ];
  const delivery = state({ ...well, delivery: { ...well.delivery!, pauses } }, "Delivery");
  expect(delivery).toMatchObject({
    state: "warning",
    error: "All turns are paused by the command line: tests; Route bell is paused by dashboard abc",
  });
  expect(delivery?.advice).toContain("openclaw-nats resume");
});

test("before the sidecar knows its parts there is nothing to show", () => {
  expect(parts({ status: "down" })).toEqual([]);
});

test("what can't be seen is never shown as up", () => {
  const found = parts(well, since);
  expect(found.map((part) => part.name)).toEqual(parts(well).map((part) => part.name));
  expect(found.every((part) => part.state === "unknown" && part.since === since && part.error !== "")).toBe(true);
  expect(found.find((part) => part.name === "Sidecar")?.advice).toContain("openclaw-nats start");
});

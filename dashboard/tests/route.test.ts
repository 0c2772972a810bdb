import { expect, test } from "vitest";
import type { Schemas } from "../src/lib/api";
import { blank, documentOf, formOf, type RouteDocument, toDocument } from "../src/lib/route";

const full: RouteDocument = {
  name: "door",
  pattern: "agent.events.custom.door.>",
  target: { kind: "webhook", url: "https://x.example/", secret: "***" },
  when: "data.open",
  filter: { logic: "and", conditions: [] },
  template: "{{ data }}",
  payload: { a: 1 },
  priority: 7,
  flow: {
    debounce: "30s",
    maxWait: "5m",
    batch: { size: 5, wait: "1m" },
    rate: { count: 4, per: "1h" },
    budget: { cost: 0.5, per: "1d" },
    concurrency: 2,
    key: "data.door",
    quietHours: { from: "22:00", to: "07:00", timezone: "Europe/Berlin" },
  },
  retry: { attempts: 3 },
  confirm: "ended",
  trusted: true,
  tools: ["read", "exec(df *)"],
  guard: "block",
  expiresAfter: "2h",
  enabled: false,
};

test("what is loaded and not touched is saved as it was, with what the form does not show", () => {
  expect(toDocument(formOf(full), full)).toEqual(full);
});

test("a field that is emptied is taken away, and only that one", () => {
  const form = { ...formOf(full), when: "", debounce: "", batchSize: "", batchWait: "" };
  const saved = JSON.parse(JSON.stringify(toDocument(form, full))) as RouteDocument;
  expect(saved.when).toBeUndefined();
  expect(saved.flow).toEqual({
    maxWait: "5m",
    rate: { count: 4, per: "1h" },
    budget: { cost: 0.5, per: "1d" },
    concurrency: 2,
    key: "data.door",
    quietHours: { from: "22:00", to: "07:00", timezone: "Europe/Berlin" },
  });
  expect(saved.retry).toEqual({ attempts: 3 });
});

test("an empty form is a small document", () => {
  const saved = JSON.parse(
    JSON.stringify(toDocument({ ...blank(), name: " door ", pattern: "agent.events.custom.door" }, null)),
  ) as RouteDocument;
  expect(saved).toEqual({
    name: "door",
    pattern: "agent.events.custom.door",
    target: { kind: "session", sessionKey: "main" },
    enabled: true,
    trusted: false,
    tools: "read",
    guard: "ask",
  });
});

test("only the fields of the target's kind are saved", () => {
  const form = {
    ...blank(),
    kind: "subject",
    subject: "agent.events.custom.b",
    url: "https://left.over/",
    sessionKey: "main",
  };
  expect(toDocument(form, null).target).toEqual({ kind: "subject", subject: "agent.events.custom.b" });
});

test("what is no number stays as it was typed, so that the sidecar says what is wrong", () => {
  expect(toDocument({ ...blank(), priority: "high" }, null).priority).toBe("high");
  expect(toDocument({ ...blank(), priority: "7" }, null).priority).toBe(7);
});

test("counters and the like of a listed route are not part of what is saved", () => {
  const listed = {
    ...full,
    conditions: ["data.open"],
    resolvedTarget: {},
    counts: {},
    madeBy: "",
    createdAt: "",
    updatedAt: "",
    waitingSince: null,
  };
  expect(documentOf(listed as unknown as Schemas["Route"])).toEqual(full);
});

test("tools are a preset, or a list of rules in which a comma within brackets stays", () => {
  const saved = (tools: string) => toDocument({ ...blank(), tools }, null).tools;
  expect([saved(""), saved("all"), saved(" none "), saved("exec")]).toEqual(["read", "all", "none", ["exec"]]);
  expect(saved("read, exec(cut -d, *),nats_*")).toEqual(["read", "exec(cut -d, *)", "nats_*"]);
});

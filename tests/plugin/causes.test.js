import assert from "node:assert/strict";
import test from "node:test";
import { Causes } from "../../plugin/causes.js";

function at(start = 0) {
  const clock = { now: start };
  return [new Causes(() => clock.now), clock];
}

test("a run that a delivery started stamps its events, and no other run of the session", () => {
  const [causes] = at();
  causes.begin({ key: "run-1", sessionKey: "agent:main:main", dispatch: "d1", hops: 1 });
  assert.deepEqual(causes.of("run-1", "agent:main:main"), { dispatch: "d1", hops: 1 });
  assert.equal(causes.of("somebody-elses-run", "agent:main:main"), undefined);
  assert.equal(causes.of(undefined, "agent:main:main").dispatch, "d1");
  assert.equal(causes.of(undefined, "agent:main:other"), undefined);
});

test("events without a run id belong to the session's delivery a little longer than it lasts", () => {
  const [causes, clock] = at();
  causes.begin({ key: "run-1", sessionKey: "s", dispatch: "d1", hops: 1 });
  causes.end({ sessionKey: "s", dispatch: "d1" });
  clock.now = 9_000;
  assert.equal(causes.of(undefined, "s").dispatch, "d1");
  clock.now = 11_000;
  assert.equal(causes.of(undefined, "s"), undefined);
  assert.equal(causes.of("run-1", "s").dispatch, "d1"); // the run's own events do whenever they come
});

test("a subagent inherits, over several generations", () => {
  const [causes] = at();
  causes.begin({ key: "run-1", sessionKey: "parent", dispatch: "d1", hops: 2 });
  causes.inherit({ parentRun: "run-1", parentSession: "parent", childRun: "run-2", childSession: "child" });
  causes.inherit({ parentRun: undefined, parentSession: "child", childRun: "run-3", childSession: "grandchild" });
  assert.deepEqual(causes.of("run-3", "grandchild"), { dispatch: "d1", hops: 2 });
  causes.inherit({ parentRun: "unknown", parentSession: "unknown", childRun: "run-4", childSession: "x" });
  assert.equal(causes.of("run-4", "x"), undefined);
});

test("a session's other runs are not marked when its delivered run spawned itself", () => {
  const [causes] = at();
  causes.begin({ key: "run-1", sessionKey: "s", dispatch: "d1", hops: 1 });
  causes.inherit({ parentRun: "run-1", parentSession: "s", childRun: "run-1", childSession: "s" });
  assert.equal(causes.of("users-run", "s"), undefined);
});

test("an announced cause counts for every run of the session, by prefix too, until it is over", () => {
  const [causes, clock] = at();
  causes.announce({ session: "agent:ops:hook:*", dispatch: "d1", hops: 1, seconds: 60 });
  causes.announce({ session: "agent:main:main", dispatch: "d2", hops: 3, seconds: 60 });
  causes.announce({ session: "agent:main:main", dispatch: "d3", hops: 2, seconds: 60 });
  assert.equal(causes.of("any", "agent:ops:hook:123").dispatch, "d1");
  assert.equal(causes.of("any", "agent:main:main").hops, 3); // of several the one furthest from the outside
  clock.now = 61_000;
  assert.equal(causes.of("any", "agent:ops:hook:123"), undefined);
});

test("what is remembered is bounded", () => {
  const [causes] = at();
  for (let n = 0; n < 5000; n++) causes.begin({ key: `r${n}`, sessionKey: "one", dispatch: `d${n}`, hops: 1 });
  assert.ok(causes.runs.size <= 2000);
  assert.ok(causes.sessions.get("one").length <= 20);
});

test("the publisher's trace goes with the cause, to subagents too", () => {
  const [causes] = at();
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  causes.begin({ key: "run-1", sessionKey: "parent", dispatch: "d1", hops: 1, traceparent });
  causes.inherit({ parentRun: "run-1", parentSession: "parent", childRun: "run-2", childSession: "child" });
  causes.announce({ session: "woken", dispatch: "d2", hops: 1, seconds: 60, traceparent });
  assert.deepEqual(causes.of("run-1", "parent"), { dispatch: "d1", hops: 1, traceparent, run: "run-1" });
  assert.deepEqual(causes.of("run-2", "child"), { dispatch: "d1", hops: 1, traceparent });
  assert.equal(causes.of("run-3", "child").traceparent, traceparent);
  assert.equal(causes.of("any", "woken").traceparent, traceparent);
});

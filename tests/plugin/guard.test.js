// The guard: which calls a turn may make that something from outside has led to.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { Approvals } from "../../plugin/approvals.js";
import { Causes } from "../../plugin/causes.js";
import { abilities, allows, beforeToolCall, policyFor } from "../../plugin/guard.js";
import { GuardedTurns } from "../../plugin/guarded-turns.js";

const { cases } = JSON.parse(fs.readFileSync(new URL("../support/guard-cases.json", import.meta.url), "utf8"));
const policy = (more = {}) => ({ tools: "read", guard: "block", tainted: true, route: "r", dispatch: "d1", ...more });
const order = (more = {}) => ({
  ...{ key: "run-1", sessionKey: "agent:main:main", dispatch: "d1", hops: 1, policy: policy() },
  ...more,
});
const call = (more = {}) => ({ toolName: "exec", params: { command: "id" }, runId: "run-1", ...more });
const ctx = { sessionKey: "agent:main:main" };
const nobody = new Approvals({
  grants: { reserve: () => {} },
  handOver: () => {},
  note: (error) => assert.fail(error),
});
const judge = (causes, event = call(), where = ctx, gatewayVersion = "2026.9.6") =>
  beforeToolCall({ causes, gatewayVersion, note: (error) => assert.fail(error), approvals: nobody }, event, where);

test("the shared cases", () => {
  for (const { tools, tool, params, allowed } of cases)
    assert.equal(allows(tools, tool, params), allowed, JSON.stringify({ tools, tool, params }).slice(0, 300));
});

test("a tainted turn may look, and nothing else; it ends with the run", () => {
  const causes = new Causes();
  causes.begin(order());
  assert.equal(judge(causes).block, true);
  assert.match(judge(causes).blockReason, /does not let exec through \(delivery d1\)/);
  assert.equal(judge(causes, call({ toolName: "read" })), undefined);
  assert.equal(judge(causes, call({ runId: "the-users" })).block, true); // the session, as long as the run lasts
  assert.equal(judge(causes, call({ runId: undefined })).block, true);
  assert.equal(judge(causes, call({ runId: "x" }), { sessionKey: "agent:main:other" }), undefined);
  causes.end(order());
  assert.equal(judge(causes, call({ runId: "the-users" })), undefined);
  assert.equal(judge(causes, call({ runId: undefined })), undefined);
  assert.equal(judge(causes).block, true); // the run itself, if it should go on after all
});

test("what nothing from outside has led to may do everything, and so may a route without a guard", () => {
  for (const more of [{ tainted: false }, { guard: "off" }, { tools: "all" }]) {
    const causes = new Causes();
    causes.begin(order({ policy: policy(more) }));
    assert.equal(judge(causes), undefined, JSON.stringify(more));
  }
});

test("an order without a policy, or with one that is not understood, lets nothing through", () => {
  for (const one of [undefined, policy({ tools: { a: 1 } }), policy({ tools: "everything" }), policy({ guard: "?" })]) {
    const causes = new Causes();
    causes.begin(order({ policy: one }));
    assert.equal(judge(causes).block, true);
  }
});

test("a mistake of ours refuses the call", () => {
  const notes = [];
  const bus = {
    causes: {
      ruling: () => {
        throw new Error("x");
      },
    },
    gatewayVersion: "",
    note: (e) => notes.push(e),
  };
  assert.equal(beforeToolCall(bus, call(), ctx).block, true);
  assert.equal(notes.length, 1);
});

test("a subagent, its subagent, and a session that a guarded turn speaks to are ruled by the same dispatch", () => {
  const causes = new Causes();
  causes.begin(order({ policy: policy({ tools: ["read", "sessions_send"] }) }));
  causes.inherit({ parentRun: "run-1", parentSession: "agent:main:main", childRun: "c", childSession: "agent:main:c" });
  causes.inherit({ parentRun: "c", parentSession: "agent:main:c", childRun: "g", childSession: "agent:main:g" });
  causes.end(order());
  for (const [runId, sessionKey] of [
    ["c", "agent:main:c"],
    ["g", "agent:main:g"],
    ["x", "agent:main:g"],
  ])
    assert.equal(judge(causes, call({ runId }), { sessionKey }).block, true);
  const send = call({
    toolName: "sessions_send",
    params: { sessionKey: "agent:Main:friend", message: "!" },
    runId: "c",
  });
  assert.equal(judge(causes, send, { sessionKey: "agent:main:c" }), undefined);
  assert.equal(judge(causes, call({ runId: "y" }), { sessionKey: "agent:main:friend" }).block, true);
});

test("a session of several deliveries is ruled by the strictest; its heartbeats are the session", () => {
  const causes = new Causes();
  causes.begin(order({ policy: policy({ tools: "all" }) }));
  causes.begin(order({ key: "run-2", dispatch: "d2" }));
  assert.equal(judge(causes, call({ runId: undefined })).block, true);
  assert.equal(judge(causes, call({ runId: "z" }), { sessionKey: "agent:main:main:heartbeat:1" }).block, true);
});

test("over hooks the announced sessions decide, by prefix too, as long as they last", () => {
  const clock = { now: 0 };
  const causes = new Causes(() => clock.now, new GuardedTurns("", () => clock.now));
  causes.announce({ session: "agent:ops:hook:*", dispatch: "d1", hops: 1, seconds: 60, policy: policy() });
  const where = { sessionKey: "agent:ops:hook:7" };
  assert.equal(judge(causes, call({ runId: "any" }), where).block, true);
  clock.now = 61_000;
  assert.equal(judge(causes, call({ runId: "any" }), where), undefined);
});

test("2026.9 asks; older versions can't, and refuse", () => {
  const causes = new Causes();
  causes.begin(order({ policy: policy({ guard: "ask" }) }));
  const asked = judge(causes).requireApproval;
  assert.deepEqual(asked.allowedDecisions, ["allow-once", "allow-always", "deny"]);
  const vague = judge(causes, call({ params: { command: "id | sh" } })).requireApproval; // no rule is narrow enough
  assert.deepEqual(vague.allowedDecisions, ["allow-once", "deny"]);
  assert.ok(asked.title.length <= 80 && asked.description.length <= 512);
  const long = judge(causes, call({ toolName: "x".repeat(99), params: { text: "😀".repeat(999) } })).requireApproval;
  assert.ok(long.title.length <= 80 && long.description.length <= 512 && long.description.isWellFormed());
  for (const version of ["2026.6.11", "2026.3.1", "", "unknown"])
    assert.equal(judge(causes, call(), ctx, version).block, true);
});

test("Tool Search's own call goes through, the call within it is judged", () => {
  const causes = new Causes();
  causes.begin(order());
  assert.equal(judge(causes, call({ toolName: "tool_call", params: { id: "exec" } })), undefined);
  assert.equal(judge(causes, call({ toolCallId: "tool_search_code:o:exec:1" })).block, true);
  assert.equal(judge(causes, call({ toolName: "tool_call" }), ctx, "2026.3.1").block, true); // there it is somebody else's
});

test("a Gateway that was killed knows its guarded turns again, until they are over", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "guarded-"));
  const file = path.join(folder, "turns.json");
  const clock = { now: 0 };
  const again = () => new Causes(() => clock.now, new GuardedTurns(file, () => clock.now));
  const first = again();
  first.begin(order());
  first.begin(order({ key: "free", dispatch: "d2", sessionKey: "free", policy: policy({ tainted: false }) }));
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  const second = again();
  assert.equal(judge(second).block, true);
  assert.equal(judge(second, call({ runId: "resumed" })).block, true);
  assert.equal(judge(second, call({ runId: "free" }), { sessionKey: "free" }), undefined);
  clock.now = 3_600_001;
  assert.equal(judge(second, call({ runId: "resumed" })), undefined);
  clock.now = 0;
  first.end(order());
  assert.equal(judge(again(), call({ runId: "resumed" })), undefined);
  fs.writeFileSync(file, "{");
  assert.match(again().guarded.problem, /can't be read/);
  fs.rmSync(folder, { recursive: true });
});

test("an isolated session of ours that nothing is known of is guarded; a user's is not", () => {
  const causes = new Causes();
  assert.equal(judge(causes, call(), { sessionKey: "agent:ops:nats:0199" }).block, true);
  assert.equal(policyFor(causes, "r", "agent:main:main"), undefined);
  assert.equal(policyFor(causes, "r", undefined), undefined);
});

test("however many turns have come since, one that lasts is not forgotten", () => {
  const causes = new Causes();
  causes.begin(order());
  for (let n = 0; n < 2500; n++) {
    const other = order({ key: `k${n}`, dispatch: `n${n}`, sessionKey: `s${n}`, policy: policy({ tainted: false }) });
    causes.begin(other);
    causes.end(other);
  }
  assert.equal(judge(causes).block, true);
});

test("a call that is not tainted costs less than 20 µs at the median", () => {
  const causes = new Causes();
  for (let n = 0; n < 50; n++) causes.begin(order({ key: `k${n}`, dispatch: `n${n}`, sessionKey: `s${n}` }));
  const times = [];
  for (let n = 0; n < 5000; n++) {
    const began = process.hrtime.bigint();
    judge(causes, call({ runId: "users" }));
    times.push(Number(process.hrtime.bigint() - began));
  }
  const median = times.sort((a, b) => a - b)[2500] / 1000;
  assert.ok(median < 20, `${median} µs`);
});

test("what the guard can do is told of each version, and an unknown one can do least", () => {
  assert.deepEqual(abilities("2026.9.6"), { turnsBy: "run", asks: true });
  assert.deepEqual(abilities("2026.6.11"), { turnsBy: "run", asks: false });
  assert.deepEqual(abilities("2026.3.1"), { turnsBy: "session", asks: false });
  assert.deepEqual(abilities(""), { turnsBy: "session", asks: false });
});

test("what a subagent brings back is read by a guarded turn, whatever its run is called", () => {
  const clock = { now: 0 };
  const causes = new Causes(() => clock.now, new GuardedTurns("", () => clock.now));
  causes.begin(order());
  const child = { parentRun: "run-1", parentSession: "agent:main:main", childRun: "c-1", childSession: "agent:main:c" };
  causes.inherit(child);
  causes.end(order());
  const announced = { runId: "announce:v1:agent:main:c:c-1" };
  const judged = () => [
    judge(causes, call(announced), { sessionKey: "agent:main:other" }), // by the run's name
    judge(causes, call({ runId: "users" })), // steered into a turn of the parent's session
    judge(causes, call({ runId: undefined })), // 2026.3
  ];
  for (const one of judged()) assert.equal(one?.block, true);
  clock.now += 23 * 3_600_000; // it works for long
  for (const one of judged()) assert.equal(one?.block, true);
  assert.equal(judge(causes, call({ runId: undefined }), { sessionKey: "agent:main:c" }).block, true);
  causes.childEnded("c-1"); // the turn that reads its result may run now
  clock.now += 10 * 60_000;
  for (const one of judged()) assert.equal(one?.block, true);
  clock.now += 6 * 60_000;
  for (const one of judged()) assert.equal(one, undefined);
});

test("a turn over hooks is guarded until it is over, not until its time is", () => {
  for (const [sure, idle] of [
    [true, 31_000],
    [false, 601_000],
  ]) {
    const clock = { now: 1_000_000 };
    const causes = new Causes(() => clock.now, new GuardedTurns("", () => clock.now));
    const where = { sessionKey: "agent:main:mail" };
    const blocked = () => judge(causes, call({ runId: undefined }), where)?.block === true;
    const ended = (seconds) =>
      causes.ran("agent:main:mail", { startedAt: clock.now - seconds * 1000, ended: true, sure });
    causes.announce({
      session: "agent:main:mail",
      dispatch: "d1",
      hops: 1,
      seconds: 7200,
      policy: policy(),
      unseen: true,
    });
    clock.now += 3_600_000;
    assert.ok(blocked(), "it reads fifty files first");
    ended(7200); // a turn that had begun before
    clock.now += 700_000;
    assert.ok(blocked());
    ended(60); // the turn itself, or another one of its session before it
    clock.now += 10_000;
    if (sure) causes.ran("agent:main:mail", {});
    else assert.ok(blocked()); // something runs on, whose beginning nobody reports
    clock.now += 500_000;
    assert.ok(blocked());
    ended(60);
    clock.now += idle;
    assert.ok(!blocked());
  }
});

test("a run of its own does not loosen what is steered into it", () => {
  const causes = new Causes();
  causes.begin(order());
  causes.inherit({ parentRun: "run-1", parentSession: "agent:main:main", childRun: "c", childSession: "agent:main:c" });
  causes.end(order());
  // The operator's own job wakes the same session, while the subagent's result is still to come.
  causes.begin(order({ key: "run-2", dispatch: "d2", policy: policy({ tainted: false }) }));
  assert.equal(judge(causes, call({ runId: "run-2" })).block, true);
  causes.begin(order({ key: "run-3", dispatch: "d3", policy: policy({ tools: "all" }) }));
  assert.equal(judge(causes, call({ runId: "run-3" })).block, true);
  // Elsewhere its own policy rules it.
  const where = { sessionKey: "agent:main:else" };
  causes.begin(order({ key: "run-4", dispatch: "d4", ...where, policy: policy({ tainted: false }) }));
  assert.equal(judge(causes, call({ runId: "run-4" }), where), undefined);
});

test("the answer of a session that was spoken to is read by a guarded turn", () => {
  const clock = { now: 0 };
  const causes = new Causes(() => clock.now, new GuardedTurns("", () => clock.now));
  causes.begin(order({ policy: policy({ tools: ["sessions_send"] }) }));
  const params = { sessionKey: "agent:ops:main", message: "say !call exec" };
  assert.equal(judge(causes, call({ toolName: "sessions_send", params })), undefined);
  causes.end(order());
  assert.equal(judge(causes, call({ runId: "the-answer" })).block, true);
  clock.now += 61 * 60_000;
  assert.equal(judge(causes, call({ runId: "the-users" })), undefined);
});

test("the output of a command that ran on is read by a guarded turn", () => {
  const clock = { now: 0 };
  const causes = new Causes(() => clock.now, new GuardedTurns("", () => clock.now));
  causes.begin(order({ policy: policy({ tools: ["exec(df *)"] }) }));
  causes.leftRunning("run-1", "agent:main:main");
  causes.leftRunning("somebody-elses", "agent:main:else");
  causes.end(order());
  clock.now += 30 * 60_000;
  for (const sessionKey of ["agent:main:main", "agent:main:main:heartbeat"])
    assert.equal(judge(causes, call({ runId: "told" }), { sessionKey }).block, true);
  assert.equal(judge(causes, call({ runId: "told" }), { sessionKey: "agent:main:else" }), undefined);
  clock.now += 31 * 60_000;
  assert.equal(judge(causes, call({ runId: "the-users" })), undefined);
});

test("a turn whose guard is off is tainted all the same, whatever else lasts in its session", () => {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "guard-")), "guarded-turns.json");
  const causes = new Causes(Date.now, new GuardedTurns(file));
  causes.begin(order({ key: "run-0", dispatch: "d0", policy: policy({ tainted: false }) }));
  causes.begin(order({ policy: policy({ guard: "off" }) }));
  assert.equal(judge(causes), undefined);
  assert.equal(policyFor(causes, undefined, "agent:main:main").tainted, true);
  const params = { sessionKey: "agent:ops:main", message: "!" };
  assert.equal(judge(causes, call({ toolName: "sessions_send", params })), undefined);
  assert.equal(policyFor(causes, "z", "agent:ops:main").tainted, true);
  // A Gateway that was killed takes such a turn up again.
  const again = new Causes(Date.now, new GuardedTurns(file));
  assert.equal(policyFor(again, undefined, "agent:main:main").guard, "off");
});

test("sessions_send goes through by a rule only where it is known whose turn it is", () => {
  const sent = (params) => call({ toolName: "sessions_send", params: { message: "!", ...params } });
  for (const [params, session] of [
    [{ sessionKey: "main" }, "agent:main:main"],
    [{ sessionKey: " Agent:Ops:Main " }, "agent:ops:main"],
    [{ agentId: "ops" }, "agent:ops:main"],
    [{ sessionKey: "global" }, "global"],
    [{ label: "ops" }, undefined],
    [{ sessionKey: "agent:main:x", label: "ops" }, undefined],
    [{ sessionId: "01a2" }, undefined],
    [{ sessionKey: "telegram:group:1" }, undefined],
    [{ sessionKey: "agent:main:*" }, undefined],
    [{}, undefined],
  ]) {
    const causes = new Causes();
    causes.begin(order({ sessionKey: "agent:main:mail", policy: policy({ tools: ["sessions_send"] }) }));
    const answer = judge(causes, sent(params), { sessionKey: "agent:main:mail" });
    assert.equal(answer?.block === true, session === undefined, JSON.stringify(params));
    if (session) assert.equal(judge(causes, call({ runId: "z" }), { sessionKey: session }).block, true);
    assert.equal(judge(causes, call({ runId: "z" }), { sessionKey: "agent:main:else" }), undefined);
  }
});

test("a session that an approved call speaks to is guarded, too", () => {
  const causes = new Causes();
  causes.begin(order({ sessionKey: "agent:main:mail", policy: policy({ guard: "ask" }) }));
  const grants = { claim: () => true, reserve: () => {}, release: () => {} };
  const approvals = new Approvals({ grants, handOver: () => true, note: (error) => assert.fail(error) });
  const bus = { causes, gatewayVersion: "2026.9.6", note: (error) => assert.fail(error), approvals };
  const send = call({ toolName: "sessions_send", params: { sessionKey: "agent:ops:main", message: "!" } });
  const { requireApproval } = beforeToolCall(bus, send, { sessionKey: "agent:main:mail" });
  assert.equal(judge(causes, call({ runId: "z" }), { sessionKey: "agent:ops:main" }), undefined);
  requireApproval.onResolution("allow-once");
  assert.ok(judge(causes, call({ runId: "z" }), { sessionKey: "agent:ops:main" }).requireApproval);
});

test("a file of guarded turns that can't be read guards everything for a while", () => {
  const clock = { now: 1_000_000 };
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "guard-")), "guarded-turns.json");
  for (const text of ["{", "[[1]]x", "x".repeat(2 << 20)]) {
    fs.writeFileSync(file, text);
    const guarded = new GuardedTurns(file, () => clock.now);
    const causes = new Causes(() => clock.now, guarded);
    assert.match(guarded.problem, /can't be read/);
    assert.equal(judge(causes).block, true);
    assert.equal(judge(causes, call({ toolName: "read" })), undefined);
    clock.now += 901_000;
    assert.equal(judge(causes), undefined);
  }
});

test("a subagent's session with a name that is no session's guards no other", () => {
  const causes = new Causes();
  causes.begin(order());
  for (const childSession of ["agent:main:*", `agent:main:${"x".repeat(2000)}`])
    causes.inherit({ parentRun: "run-1", parentSession: "agent:main:main", childRun: "c", childSession });
  assert.equal(judge(causes, call({ runId: "c" }), { sessionKey: "agent:main:anything" }).block, true);
  assert.equal(judge(causes, call({ runId: "z" }), { sessionKey: "agent:main:anything" }), undefined);
});

test("who may only read does not choose a session's model", () => {
  assert.ok(allows("read", "session_status", { sessionKey: "agent:main:main" }));
  assert.ok(!allows("read", "session_status", { model: "x/y" }));
  assert.ok(!allows(["read"], "session_status", { model: "default" }));
  assert.ok(allows(["read", "session_status"], "session_status", { model: "x/y" }));
});

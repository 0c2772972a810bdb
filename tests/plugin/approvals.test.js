// Approvals that wait, on the plugin's side: what is handed over, and that what was approved is let through once.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { Approvals, callOf, canonical } from "../../plugin/approvals.js";
import { Bus } from "../../plugin/bus.js";
import { Causes } from "../../plugin/causes.js";
import { Grants } from "../../plugin/grants.js";
import { allows, beforeToolCall, ruleFor } from "../../plugin/guard.js";
import { GuardedTurns } from "../../plugin/guarded-turns.js";
import { Prompts } from "../../plugin/prompts.js";

const SESSION = "agent:main:mail";
const ctx = { sessionKey: SESSION, agentId: "main" };
const call = (more = {}) => ({
  toolName: "exec",
  params: { command: "touch a" },
  runId: "r1",
  toolCallId: "c1",
  ...more,
});
const folder = () => fs.mkdtempSync(path.join(os.tmpdir(), "approvals-"));

function world(version = "2026.6.11", home = folder(), prompts = undefined) {
  const reports = [];
  const causes = new Causes(Date.now, new GuardedTurns(path.join(home, "guarded-turns.json")));
  const note = (error) => assert.fail(error);
  const grants = new Grants(path.join(home, "grants"));
  const approvals = new Approvals({ grants, prompts, handOver: (one) => reports.push(one), note });
  const bus = { causes, gatewayVersion: version, note, approvals };
  return {
    reports,
    causes,
    approvals,
    bus,
    home,
    judge: (event = call(), where = ctx) => beforeToolCall(bus, event, where),
  };
}

const policy = (more = {}) => ({ tools: "read", guard: "ask", tainted: true, route: "mail", dispatch: "d1", ...more });
const order = (more = {}) => ({ key: "r1", sessionKey: SESSION, dispatch: "d1", hops: 1, policy: policy(), ...more });
const grant = (event = call(), more = {}) => ({
  ...{ key: "0197-approval-1", tool: event.toolName, digest: callOf(event, ctx).digest, session: SESSION },
  until: Date.now() + 60_000,
  ...more,
});

test("a Gateway that can't ask refuses and hands the call over, with what is needed to answer it", () => {
  const { causes, judge, reports } = world();
  causes.begin(order());
  const { block, blockReason } = judge();
  assert.equal(block, true);
  assert.match(blockReason, /kept, and your operator may still approve it/);
  const [{ key, ...report }] = reports;
  assert.match(key, /^[0-9a-f-]{36}$/);
  assert.deepEqual(report, {
    ...{ what: "refused", agent: "main", session: SESSION, run: "r1", route: "mail", dispatch: "d1", tool: "exec" },
    digest: callOf(call(), ctx).digest,
    size: 21,
    rule: "exec(touch a)",
    arguments: { command: "touch a" },
  });
});

test("guard = block, an unknown policy and a call without a session are not kept", () => {
  for (const [one, where] of [
    [policy({ guard: "block" }), ctx],
    [undefined, ctx],
    [policy(), {}],
  ]) {
    const { causes, judge, reports } = world();
    causes.begin(order({ policy: one }));
    assert.equal(judge(call(), where).block, true);
    assert.deepEqual(reports, []);
  }
});

test("OpenClaw's prompt and ours are one approval: open, then answered", () => {
  for (const [decision, what] of [
    ["allow-once", "allowed"],
    ["allow-always", "always"],
    ["deny", "denied"],
    ["timeout", "refused"],
    ["cancelled", "refused"],
    ["something new", "refused"],
  ]) {
    const { causes, judge, reports, approvals } = world("2026.9.6");
    causes.begin(order());
    const { requireApproval } = judge();
    assert.deepEqual(requireApproval.allowedDecisions, ["allow-once", "allow-always", "deny"]);
    assert.match(requireApproval.timeoutReason, /nobody answered in time.*kept/);
    assert.equal(reports.at(-1).what, "asked");
    assert.ok(reports.at(-1).until > Date.now() + 100_000);
    assert.equal(judge().block, true); // the same call, in parallel: it is asked about already
    assert.equal(reports.length, 1);
    requireApproval.onResolution(decision);
    assert.equal(reports.at(-1).what, what);
    assert.equal(reports.at(-1).key, reports[0].key);
    const used = ["allowed", "always"].includes(what);
    // Used up, or refused for good: no grant of the same approval works, also while the word of it is on its way.
    assert.equal(approvals.grants.claim(reports[0].key), !used && what !== "denied");
    approvals.ended({ toolCallId: "c1" });
    assert.equal(reports.at(-1).what === "ended", used);
    assert.ok(judge().requireApproval);
  }
});

test("where a yes could not be written down nobody is asked, and the call is refused", () => {
  const { causes, judge, reports, approvals, home } = world("2026.9.6");
  fs.writeFileSync(path.join(home, "grants"), "no folder");
  const notes = [];
  approvals.note = (error) => notes.push(error);
  causes.begin(order());
  const { block, requireApproval } = judge();
  assert.equal(block, true);
  assert.equal(requireApproval, undefined);
  assert.equal(notes.length, 1);
  assert.equal(reports.at(-1).what, "refused"); // kept: it can be answered when there is room again
});

test("a prompt leaves its claim when it is answered and nothing when it is not, whatever became of the file system", () => {
  const { causes, judge, approvals } = world("2026.9.6");
  causes.begin(order());
  const files = () => fs.readdirSync(approvals.grants.dir);
  judge().requireApproval.onResolution("timeout");
  assert.deepEqual(files(), []);
  const second = judge().requireApproval;
  const [reserved] = files();
  assert.match(reserved, /\.asked$/);
  second.onResolution("allow-once");
  assert.deepEqual(files(), [reserved.replace(".asked", "")]);
  judge();
  approvals.grants.tidy();
  assert.equal(files().length, 2); // its prompt is open
  const [left] = files().filter((name) => name.endsWith(".asked"));
  fs.utimesSync(path.join(approvals.grants.dir, left), 1, 1);
  approvals.grants.tidy();
  assert.equal(files().length, 1);
});

test("an answer of ours goes to OpenClaw's prompt, which says whether it was the first", async () => {
  for (const [counts, by] of [
    [true, "the command line"],
    [false, undefined],
  ]) {
    const given = [];
    let open;
    const prompts = {
      answer: async (one, decision, who) => {
        await null;
        given.push([one.id, decision, who]);
        open.onResolution(counts ? decision : "deny"); // the Gateway tells the plugin before it answers
        return counts;
      },
    };
    const { causes, judge, reports, approvals } = world("2026.9.6", folder(), prompts);
    causes.begin(order());
    open = judge().requireApproval;
    const { key } = reports[0];
    const asked = { op: "answer", key: "k", approval: key, decision: "allow-once", by: "the command line" };
    assert.deepEqual(await approvals.carryOut(asked), { key: "k", status: counts ? "ok" : "late" });
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(given, [["c1", "allow-once", "the command line"]]);
    assert.deepEqual([reports.at(-1).what, reports.at(-1).by], [counts ? "allowed" : "denied", by]);
    assert.equal((await approvals.carryOut(asked)).status, "refused"); // nobody asks any more
  }
});

test("a Gateway that does not take our answer leaves the prompt open, for another try", async () => {
  let fails = true;
  const prompts = {
    answer: async () => {
      if (fails) throw new Error("the Gateway has no open prompts for this call");
      return true;
    },
  };
  const { causes, judge, reports, approvals } = world("2026.9.6", folder(), prompts);
  causes.begin(order());
  const { requireApproval } = judge();
  const asked = { op: "answer", key: "k", approval: reports[0].key, decision: "deny", by: "x" };
  const refused = await approvals.carryOut(asked);
  assert.deepEqual([refused.status, refused.error], ["refused", "the Gateway has no open prompts for this call"]);
  fails = false;
  assert.equal((await approvals.carryOut(asked)).status, "ok");
  requireApproval.onResolution("deny");
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(reports.at(-1).by, "x");
});

test("of the Gateway's prompts the one for exactly this call is answered, and no other plugin's", async () => {
  const mine = { toolCallId: "c1", toolName: "exec", pluginId: "openclaw-nats", sessionKey: SESSION };
  const asked = [];
  const ask = async (requests) => {
    let stopped = false;
    const connect = async () => ({
      request: async (method, params) => {
        asked.push([method, params]);
        return method === "plugin.approval.list"
          ? requests.map((request, at) => ({ id: `plugin:${at}`, request }))
          : { applied: true };
      },
      stop: () => (stopped = true),
    });
    const prompts = new Prompts({ config: () => ({}), connect });
    try {
      return await prompts.answer(callOf(call(), ctx), "deny", "x");
    } finally {
      assert.ok(stopped);
    }
  };
  const others = [
    { ...mine, toolCallId: "c2" },
    { ...mine, pluginId: "other" },
    { ...mine, sessionKey: "agent:x:y" },
  ];
  assert.equal(await ask([...others, mine]), true);
  assert.deepEqual(asked.at(-1), ["approval.resolve", { id: "plugin:3", kind: "plugin", decision: "deny" }]);
  await assert.rejects(ask(others), /no open prompts/);
  await assert.rejects(ask([mine, mine]), /2 open prompts/);
  assert.equal(asked.length, 4);
});

test("a grant lets exactly its call through, once", () => {
  const { causes, judge, reports, approvals } = world();
  const granted = order({ policy: policy({ grant: grant() }) });
  causes.begin(granted);
  assert.equal(judge(call({ params: { command: "touch b" } })).block, true);
  assert.equal(judge(call({ params: { command: "touch a", workdir: "/" } })).block, true);
  assert.equal(judge(call({ toolName: "write" })).block, true);
  assert.equal(judge(call(), { sessionKey: "agent:main:other" }).block, true);
  reports.length = 0;
  assert.equal(judge(), undefined);
  assert.deepEqual(reports, [{ key: "0197-approval-1", what: "begun" }]);
  approvals.ended({ toolCallId: "c1", error: "no" });
  assert.deepEqual(reports.at(-1), { key: "0197-approval-1", what: "ended", ok: false });
  assert.equal(judge().block, true);
  assert.equal(reports.at(-1).what, "refused"); // a second time is another approval
});

test("a grant that is over, that can't be written down, or that a subagent has, lets nothing through", () => {
  const late = world();
  late.causes.begin(order({ policy: policy({ grant: grant(call(), { until: Date.now() - 1 }) }) }));
  assert.equal(late.judge().block, true);
  const full = world();
  fs.writeFileSync(path.join(full.home, "grants"), "no folder");
  const notes = [];
  full.approvals.note = (error) => notes.push(error);
  full.causes.begin(order({ policy: policy({ grant: grant() }) }));
  assert.equal(full.judge().block, true);
  assert.equal(notes.length, 1);
  const parent = world();
  parent.causes.begin(order({ policy: policy({ grant: grant() }) }));
  parent.causes.inherit({ parentRun: "r1", parentSession: SESSION, childRun: "c", childSession: "agent:main:c" });
  assert.equal(parent.judge(call({ runId: "c" }), { sessionKey: "agent:main:c" }).block, true);
  assert.equal(parent.judge(call({ runId: "c" })).block, true); // even if it were to name that session
});

test("where the run is not known, the session's grant counts; and after a kill that of the turn that goes on", () => {
  const { causes, judge, home } = world();
  causes.announce({ session: SESSION, dispatch: "d1", hops: 1, seconds: 60, policy: policy({ grant: grant() }) });
  const after = world("2026.3.1", home); // another process: from guarded-turns.json
  assert.equal(after.judge(call({ runId: "unknown" })), undefined);
  assert.equal(judge(call({ runId: "unknown" })).block, true);
});

test("of many processes that claim at once one gets it; a kill at any moment never gives it to two", async () => {
  const home = folder();
  const code = `
    import { Grants } from ${JSON.stringify(new URL("../../plugin/grants.js", import.meta.url).href)};
    process.on("message", (key) => process.send(new Grants(${JSON.stringify(path.join(home, "grants"))}).claim(key)));
    process.send("ready");`;
  const file = path.join(home, "claim.mjs");
  fs.writeFileSync(file, code);
  const start = async () => {
    const child = fork(file);
    await new Promise((resolve) => child.once("message", resolve));
    return child;
  };
  let won = 0;
  for (let round = 0; round < 12; round++) {
    const children = await Promise.all([start(), start(), start()]);
    const answers = children.map(
      (child) =>
        new Promise((resolve) => (child.once("message", resolve), child.once("exit", () => resolve("killed")))),
    );
    for (const child of children) child.send(`0197-round-${round}`);
    if (round % 2) setTimeout(() => children[round % 3].kill("SIGKILL"), (round * 7) % 5);
    const found = await Promise.all(answers);
    for (const child of children) child.kill("SIGKILL");
    const wins = found.filter((one) => one === true).length;
    assert.ok(wins <= 1, JSON.stringify(found));
    won += wins;
    assert.equal(new Grants(path.join(home, "grants")).claim(`0197-round-${round}`), false);
  }
  assert.ok(won >= 6, `${won}`);
});

test("what the last process let through is reported at the start; very old claims go", () => {
  const { approvals, reports } = world();
  approvals.grants.claim("0197-claimed-1");
  approvals.grants.claim("0197-claimed-2");
  const old = path.join(approvals.grants.dir, "0197-claimed-2");
  fs.utimesSync(old, 1, 1);
  approvals.recover();
  assert.deepEqual(reports, [{ key: "0197-claimed-1", what: "begun" }]);
  assert.equal(fs.existsSync(old), false);
  assert.throws(() => approvals.grants.claim("../../etc/x"));
});

test("the same arguments in another order are the same call, and others are not", () => {
  assert.equal(
    canonical({ b: 1, a: { d: [1, { z: 0, y: 1 }], c: "x" } }),
    '{"a":{"c":"x","d":[1,{"y":1,"z":0}]},"b":1}',
  );
  const digests = [{}, { a: 1 }, { a: "1" }, { a: [1] }, { a: "\ud800" }, { a: "\ufffd" }, { a: null }, { A: 1 }];
  assert.equal(new Set(digests.map((params) => callOf({ params }, ctx).digest)).size, digests.length);
});

test("the rule for always lets this call through, and no other command", () => {
  for (const [name, params, rule] of [
    ["exec", { command: "df -h" }, "exec(df -h)"],
    ["exec", { command: "df -h", timeout: 5 }, "exec(df -h)"],
    ["exec", { command: "df '*'" }, ""],
    ["exec", { command: "df 'a b'" }, ""],
    ["exec", { command: "df ''" }, ""],
    ["exec", { command: "df | sh" }, ""],
    ["exec", { command: "bash x" }, ""],
    ["exec", { command: "df", workdir: "/" }, ""],
    ["exec", {}, ""],
    ["write", { path: "a" }, "write"],
    ["we*", {}, ""],
    ["all", {}, ""],
  ]) {
    assert.equal(ruleFor(name, params), rule, JSON.stringify([name, params]));
    if (rule.startsWith("exec")) assert.equal(allows([rule], name, { command: `${params.command} x` }), false);
  }
});

test("arguments are shown cut, however large they are; their digest is of all of them", () => {
  const { causes, judge, reports } = world();
  causes.begin(order());
  const huge = { content: "x".repeat(3_000_000), more: Array(100_000).fill({ a: "y".repeat(50) }) };
  judge(call({ toolName: "write", params: huge }));
  assert.ok(JSON.stringify(reports[0]).length < 8000);
  assert.ok(reports[0].size > 3_000_000);
  judge(call({ toolName: "write", params: { ...huge, content: `${huge.content}!` } }));
  assert.notEqual(reports[0].digest, reports[1].digest);
});

test("it goes through the spool, whatever the filter lets through", () => {
  const home = folder();
  fs.writeFileSync(
    path.join(home, "plugin.json"),
    JSON.stringify({ filter: { block: ["agent.events.>"], allow: [] } }),
  );
  const bus = new Bus(home);
  bus.gatewayVersion = "2026.6.11";
  bus.causes.begin(order());
  assert.equal(bus.judge(call(), ctx).block, true);
  const segments = fs.readdirSync(path.join(home, "spool")).filter((name) => name.endsWith(".ndjson"));
  const line = JSON.parse(fs.readFileSync(path.join(home, "spool", segments[0]), "utf8").split("\n")[0]);
  assert.equal(line.subject, "agent.events.plugin.guarded_call");
  assert.equal(line.data.what, "refused");
  assert.equal(line.data.tool, "exec");
});

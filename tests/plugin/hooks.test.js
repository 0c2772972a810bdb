// The hook table without a Gateway: what is dropped, what is told once, and that a handler can't harm its caller.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Bus } from "../../plugin/bus.js";
import { HOOKS, onAgentEvent, toolFailure } from "../../plugin/hooks.js";
import { Memory } from "../../plugin/memory.js";
import { SUBJECTS } from "../../plugin/subject-list.js";
import { matches } from "../../plugin/subjects.js";

const ctx = { agentId: "main", sessionKey: "agent:main:main", sessionId: "s-1", runId: "r-1" };

test("a tool fails when it threw, returned an error result, exited non-zero or timed out", () => {
  const failed = [
    { error: "thrown" },
    { result: { isError: true } },
    { result: { details: { status: "error", error: "soft" } } },
    { result: { details: { status: "completed", exitCode: 3 } } },
    { result: { details: { timedOut: true } } },
    { result: { details: { ok: false } } },
  ];
  for (const event of failed) assert.ok(toolFailure(event), JSON.stringify(event));
  for (const event of [
    {},
    { result: {} },
    { result: { details: { exitCode: 0, status: "completed" } } },
    { result: "text" },
  ]) {
    assert.equal(toolFailure(event), undefined, JSON.stringify(event));
  }
});

test("a call through Tool Search is told once, by its inner tool; alone it counts only when it failed", () => {
  const memory = new Memory();
  const call = (toolName, toolCallId, more = {}) =>
    HOOKS.after_tool_call({ toolName, toolCallId, durationMs: 1, ...more }, ctx, memory);
  assert.equal(call("probe", "tool_search_code:call_1:probe:1").subject, "tool.probe.completed");
  assert.equal(call("tool_call", "call_1"), undefined);
  assert.equal(call("probe", "tool_search_code:call_2:probe:1", { error: "x" }).subject, "tool.probe.failed");
  assert.equal(call("tool_call", "call_2", { error: "x" }), undefined);
  assert.equal(call("tool_call", "call_3", { error: "no such tool" }).subject, "tool.tool_call.failed");
  assert.equal(call("tool_call", "call_4"), undefined);
});

test("a run ends once, also when it is told twice or aborted", () => {
  const memory = new Memory();
  const tell = (runId, seq, data) =>
    onAgentEvent({ stream: "lifecycle", runId, seq, sessionKey: "agent:main:main", data }, memory);
  for (let copy = 0; copy < 2; copy += 1) {
    assert.equal(tell("r-1", 1, { phase: "start", startedAt: 1000 }), undefined);
  }
  const first = tell("r-1", 2, { phase: "end", endedAt: 1500 });
  assert.deepEqual(
    [first.subject, first.data.success, first.data.durationMs, first.agentId],
    ["agent.run_ended", true, 500, "main"],
  );
  assert.equal(tell("r-1", 2, { phase: "end", endedAt: 1500 }), undefined);
  const stopped = tell("r-2", 1, { phase: "end", aborted: true, stopReason: "stop", status: "cancelled" });
  assert.deepEqual(
    stopped.map((event) => event.subject),
    ["session.stop", "agent.run_ended"],
  );
  assert.equal(tell("r-2", 2, { phase: "error", aborted: true }), undefined);
  assert.equal(tell("r-3", 1, { phase: "error", error: "model" }).data.status, "error");
  assert.equal(tell("r-3", 5, { phase: "start", startedAt: 1 }), undefined);
  assert.equal(tell("r-3", 6, { phase: "end" }).data.success, true); // the same id runs again
});

test("plugin replacement is neither a stop nor a start of the Gateway", () => {
  const memory = new Memory();
  assert.equal(HOOKS.gateway_start({ port: 1 }, {}, memory).subject, "gateway.startup");
  assert.equal(HOOKS.gateway_stop({ reason: "plugin replacement" }, {}, memory), undefined);
  assert.equal(HOOKS.gateway_start({ port: 1 }, {}, memory), undefined);
  assert.equal(HOOKS.gateway_stop({ reason: "gateway restarting" }, {}, memory).data.reason, "gateway restarting");
  assert.equal(HOOKS.gateway_start({ port: 1 }, {}, memory).subject, "gateway.startup");
});

test("a compaction is told once, not for the Gateway's inner copy, and again the next time", () => {
  let now = 0;
  const memory = new Memory(() => now);
  const begins = (sessionKey) => HOOKS.before_compaction({ messageCount: 5 }, { sessionKey }, memory);
  assert.equal(begins("agent:main:a").subject, "session.compaction.started");
  assert.equal(begins("agent:main:a"), undefined);
  assert.equal(begins("agent:main:internal-session-effects:x"), undefined);
  assert.equal(
    HOOKS.after_compaction({ messageCount: 2 }, { sessionKey: "agent:main:a" }, memory).subject,
    "context.compacted",
  );
  assert.ok(begins("agent:main:a"));
  now = 61_000; // it failed: no end was told
  assert.ok(begins("agent:main:a"));
});

test("resets and deletions of ordinary sessions are no subagent's end", () => {
  const memory = new Memory();
  assert.equal(
    HOOKS.subagent_ended({ targetSessionKey: "agent:main:x", targetKind: "acp", reason: "session-reset" }, {}, memory),
    undefined,
  );
});

test("a pairing code is never recorded, whatever the capture setting", () => {
  const made = HOOKS.channel_pairing_requested(
    { channel: "telegram", senderId: "2", code: "EYZTUFCF", metadata: { username: "u" } },
    {},
    new Memory(),
  );
  assert.equal(JSON.stringify([made, made.content()]).includes("EYZTUFCF"), false);
});

const bus = (settings = {}) => {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), "bus-"));
  fs.writeFileSync(path.join(home, "plugin.json"), JSON.stringify(settings));
  return new Bus(home);
};
const spooled = (one) =>
  fs
    .readdirSync(path.join(one.home, "spool"))
    .filter((name) => name.endsWith(".ndjson"))
    .flatMap((name) =>
      fs
        .readFileSync(path.join(one.home, "spool", name), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    );

test("content is recorded only where the capture setting says so, and never makes an event too large", () => {
  const one = bus({
    capture: { default: "metadata", rules: [{ subjects: "agent.events.tool.*.failed", mode: "payload" }] },
  });
  const made = (outcome, content) => ({ subject: `tool.x.${outcome}`, data: { tool: "x" }, content });
  one.record(made("completed", () => assert.fail("not asked for")));
  one.record(made("failed", () => ({ params: { a: 1 }, result: "r" })));
  one.record(made("failed", () => ({ result: Array.from({ length: 30 }, () => "y".repeat(100_000)) })));
  const circular = {};
  circular.self = circular;
  one.record(made("failed", () => ({ result: circular, big: 10n })));
  one.record(
    made("failed", () => {
      throw new Error("getter");
    }),
  );
  const [plain, full, large, round, broken] = spooled(one).map((event) => event.data);
  assert.deepEqual(plain, { tool: "x" });
  assert.deepEqual(full, { tool: "x", params: { a: 1 }, result: "r" });
  assert.deepEqual(large, { tool: "x", contentDropped: true });
  assert.deepEqual(round, { tool: "x", result: { self: "[repeated]" }, big: "10" });
  assert.deepEqual(broken, { tool: "x", contentDropped: true });
  assert.equal(one.handlerErrors, 0);
});

test("even metadata can't make a line that the uploader could not read", () => {
  const one = bus();
  one.record({ subject: "message.received", data: { from: "z".repeat(3_000_000) } });
  assert.deepEqual(spooled(one)[0].data, { contentDropped: true });
});

test("what JSON can't hold costs no event, with content or without it", () => {
  const deep = (levels) => Array.from({ length: levels }).reduce((inner) => ({ inner }), "end");
  const circle = { name: "circle" };
  circle.self = circle;
  const odd = [
    [{ durationMs: 5n }, { durationMs: "5" }],
    [{ label: circle }, { label: { name: "circle", self: "[repeated]" } }],
    [
      {
        toJSON() {
          throw new Error("x");
        },
      },
      { contentDropped: true },
    ],
    [
      {
        get bad() {
          throw new Error("x");
        },
      },
      { contentDropped: true },
    ],
  ];
  const one = bus({
    capture: { default: "metadata", rules: [{ subjects: "agent.events.session.new", mode: "payload" }] },
  });
  for (const [data] of odd) one.record({ subject: "message.received", data });
  for (const levels of [150, 400, 20_000]) {
    one.record({ subject: "message.received", data: deep(levels) });
    one.record({ subject: "session.new", data: { kept: 1 }, content: () => ({ deep: deep(levels) }) });
  }
  const events = spooled(one);
  assert.deepEqual(
    events.slice(0, odd.length).map((event) => event.data),
    odd.map(([, wanted]) => wanted),
  );
  for (const event of events.slice(odd.length)) {
    assert.ok(JSON.stringify(event).match(/\{/g).length <= 256, "the sidecar reads it");
    if (event.subject.endsWith("session.new")) assert.equal(event.data.kept, 1);
  }
  assert.deepEqual([events.length, one.handlerErrors], [odd.length + 6, 0]);
});

test("a session's key is whole, as tools and targets take it", () => {
  const one = bus();
  const sessionKey = `agent:main:telegram:group:${"x".repeat(2000)}`;
  one.record({ subject: "session.new", sessionKey, data: {} });
  assert.equal(spooled(one)[0].sessionkey, sessionKey);
});

test("a blocked subject is not recorded, and a broken handler is counted and harms nobody", () => {
  const one = bus({ filter: { allow: ["agent.events.>"], block: ["agent.events.llm.>"] } });
  one.record({ subject: "llm.output", data: {} });
  one.record({
    get subject() {
      throw new Error("x");
    },
  });
  one.record(undefined);
  one.record({ subject: "session.new", data: {} });
  assert.deepEqual(
    spooled(one).map((event) => event.subject),
    ["agent.events.session.new"],
  );
  assert.equal(one.handlerErrors, 1);
});

test("whatever a Gateway passes, no row of the table throws through the plugin", async () => {
  const { default: plugin } = await import("../../plugin/index.js");
  const handlers = {};
  const home = fs.mkdtempSync(path.join(os.tmpdir(), "bus-"));
  plugin.register({
    pluginConfig: { home },
    on: (name, handle) => (handlers[name] = handle),
    registerService: () => {},
  });
  for (const [name, handle] of Object.entries(handlers)) {
    for (const event of [
      undefined,
      null,
      {},
      { metadata: null, result: null, messages: 7, usage: null, lastAssistant: null, job: null },
    ]) {
      assert.equal(handle(event, undefined), undefined, name);
    }
  }
});

test("every subject of the table is in the documented list", () => {
  const patterns = SUBJECTS.map((one) => one.subject);
  const source = fs.readFileSync(new URL("../../plugin/hooks.js", import.meta.url), "utf8");
  const literal = [...source.matchAll(/subject: "([a-z._]+)"/g)].map((match) => match[1]);
  assert.ok(literal.length > 10);
  for (const subject of literal)
    assert.ok(
      patterns.some((pattern) => matches(pattern, subject)),
      subject,
    );
});

test("what a delivered run emits is in its publisher's trace, the Gateway's own place in tracestate", () => {
  const one = bus();
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const trace = { traceId: "a".repeat(32), spanId: "b".repeat(16), traceFlags: "01" };
  one.causes.begin({ key: "run-1", sessionKey: "s", dispatch: "d1", hops: 1, traceparent });
  one.causes.begin({ key: "run-2", sessionKey: "t", dispatch: "d2", hops: 1, traceparent: "00-nonsense" });
  one.record({ subject: "agent.run_ended", data: {}, runId: "run-1", sessionKey: "s", trace });
  one.record({ subject: "session.end", data: {}, sessionKey: "s" });
  one.record({ subject: "agent.run_ended", data: {}, runId: "run-2", sessionKey: "t", trace });
  one.record({ subject: "agent.run_ended", data: {}, runId: "run-3", sessionKey: "u", trace });
  const [run, session, wrong, other] = spooled(one);
  const inRun = "00-4bf92f3577b34da6a3ce929d0e0e4736-cef38b0fc7db4161-01"; // sha256("run:run-1"), as events/trace.py makes it
  assert.deepEqual([run.traceparent, run.tracestate], [inRun, `openclaw=${trace.traceId}-${trace.spanId}`]);
  assert.deepEqual([session.traceparent, session.tracestate], [inRun, undefined]);
  for (const event of [wrong, other])
    assert.deepEqual([event.traceparent, event.tracestate], [`00-${trace.traceId}-${trace.spanId}-01`, undefined]);
});

// What a report counts of hooks: how often they fired, and how often they were due.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Bus } from "../../plugin/bus.js";
import { HOOKS, onAgentEvent } from "../../plugin/hooks.js";

function gateway() {
  const bus = new Bus(fs.mkdtempSync(path.join(os.tmpdir(), "hooks-")));
  let seq = 0;
  const counts = () => JSON.parse(JSON.stringify(bus.report().hooks));
  const hook = (name, runId, event) =>
    bus.record(HOOKS[name](event, { runId, sessionKey: "agent:main:main" }, bus.memory));
  const end = (runId, more = {}) =>
    bus.record(
      onAgentEvent({ stream: "lifecycle", runId, seq: (seq += 1), data: { phase: "end", ...more } }, bus.memory),
    );
  return { bus, counts, hook, end };
}

test("a turn that ends well is due an output and a model's call, and each output the end of its turn", () => {
  const { counts, hook, end } = gateway();
  hook("model_call_ended", "r-1", { outcome: "completed" });
  hook("llm_output", "r-1", { lastAssistant: { stopReason: "stop" } });
  end("r-1");
  end("r-2");
  assert.deepEqual(counts(), {
    "agent.run_ended": { fired: 2, due: 1 },
    "llm.output": { fired: 1, due: 2 },
    "model.call": { fired: 1, due: 2 },
    tool: { fired: 0, due: 0 },
  });
});

test("nothing is due with a turn that failed or was stopped", () => {
  const { counts, hook, end } = gateway();
  hook("llm_output", "r-1", { lastAssistant: { stopReason: "error" } });
  end("r-1", { aborted: true, stopReason: "stop" });
  end("r-2", { status: "error" });
  for (const [kind, { due }] of Object.entries(counts())) assert.equal(due, 0, kind);
  assert.equal(counts()["agent.run_ended"].fired, 2);
});

test("a tool's end is due with a turn that was let through to a tool, once, and not with one that was refused", () => {
  const { bus, counts, hook, end } = gateway();
  for (const toolCallId of ["c-1", "c-2"])
    assert.equal(bus.judge({ toolName: "exec", toolCallId, runId: "r-1" }, { runId: "r-1" }), undefined);
  hook("after_tool_call", "r-1", { toolName: "exec", toolCallId: "c-1", durationMs: 1 });
  end("r-1");
  assert.deepEqual(counts().tool, { fired: 1, due: 1 });
  const policy = { tools: [], guard: "block", tainted: true, route: "r", dispatch: "d" };
  bus.order({ op: "cause", run: "r-2", session: "agent:main:hook", dispatch: "d", hops: 1, seconds: 60, policy });
  assert.equal(
    bus.judge({ toolName: "exec", runId: "r-2" }, { runId: "r-2", sessionKey: "agent:main:hook" }).block,
    true,
  );
  end("r-2");
  assert.deepEqual(counts().tool, { fired: 1, due: 1 });
});

test("what the filter keeps from the bus counts all the same", () => {
  const { bus, counts, end } = gateway();
  bus.policy = () => "block";
  end("r-1");
  assert.equal(bus.report().events, 0);
  assert.equal(counts()["llm.output"].due, 1);
});

// Who can answer on a Gateway, from the forms that its configuration has.
import assert from "node:assert/strict";
import test from "node:test";
import { agentsOf } from "../../plugin/agents.js";

const whole = { mainKey: "main", scope: "" };

test("one agent called main when none is configured", () => {
  assert.deepEqual(agentsOf({}), { ids: ["main"], default: "main", ...whole });
  assert.deepEqual(agentsOf({ agents: { list: [] } }), { ids: ["main"], default: "main", ...whole });
});

test("a list and entries, the marked one is the default", () => {
  const list = [{ id: "Triage" }, { id: "home", default: true }, null, { id: "home" }];
  assert.deepEqual(agentsOf({ agents: { list } }), { ids: ["triage", "home"], default: "home", ...whole });
  const entries = { triage: {}, home: { default: true } };
  assert.deepEqual(agentsOf({ agents: { entries } }), { ids: ["triage", "home"], default: "home", ...whole });
});

test("several without a mark have no default, but a system agent is one", () => {
  const list = [{ id: "a" }, { id: "b" }];
  assert.equal(agentsOf({ agents: { list } }).default, "");
  assert.equal(agentsOf({ agents: { list, defaults: { systemAgent: { agentId: "b" } } } }).default, "b");
});

test("main key and scope are the session's; nothing is known without a configuration", () => {
  const { mainKey, scope } = agentsOf({ session: { mainKey: " Start ", scope: "global" } });
  assert.deepEqual([mainKey, scope], ["start", "global"]);
  assert.deepEqual(agentsOf(undefined), { ids: [] });
  assert.deepEqual(agentsOf({ agents: null, session: null }).ids, ["main"]);
});

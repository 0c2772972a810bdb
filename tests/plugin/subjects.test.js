// Subjects in the plugin: the same cases as the sidecar's matcher, and the operator's policy.
import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
import { matches, policyOf, tokenFromName } from "../../plugin/subjects.js";

const cases = JSON.parse(fs.readFileSync(new URL("../support/subject-cases.json", import.meta.url), "utf8"));

for (const [pattern, subject, expected] of cases) {
  test(`${pattern} ${expected ? "covers" : "does not cover"} ${subject}`, () => {
    assert.equal(matches(pattern, subject), expected);
  });
}

test("names become one valid token", () => {
  assert.equal(tokenFromName("mcp.server/tool x"), "mcp_server_tool_x");
  assert.equal(tokenFromName(""), "_");
  assert.equal(tokenFromName(undefined), "_");
  assert.equal(tokenFromName("a".repeat(200)).length, 64);
});

test("block beats allow, and the first capture rule that covers a subject decides", () => {
  const policy = policyOf({
    filter: { allow: ["agent.events.tool.>", "agent.events.llm.>"], block: ["agent.events.tool.read.*"] },
    capture: {
      default: "metadata",
      rules: [
        { subjects: "agent.events.tool.*.failed", mode: "payload" },
        { subjects: "agent.events.tool.>", mode: "metadata" },
      ],
    },
  });
  assert.equal(policy("agent.events.session.new"), "block");
  assert.equal(policy("agent.events.tool.read.failed"), "block");
  assert.equal(policy("agent.events.tool.exec.failed"), "payload");
  assert.equal(policy("agent.events.tool.exec.completed"), "metadata");
  assert.equal(policy("agent.events.llm.output"), "metadata");
});

// Half a character: where texts are cut, and where OpenClaw has cut them.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Bus } from "../../plugin/bus.js";
import { HOOKS } from "../../plugin/hooks.js";
import { cut, cutBegin, toJson } from "../../plugin/text.js";

const SMILE = "\u{1F600}";
const ctx = { agentId: "main", sessionKey: "agent:main:main" };

test("a cut never leaves half a character", () => {
  for (let length = 1; length < 12; length += 1) {
    const text = `a${SMILE}b${SMILE.repeat(5)}`;
    for (const part of [cut(text, length), cutBegin(text, length)]) {
      assert.ok(part.isWellFormed(), `${length}: ${part}`);
      assert.ok(part.length <= Math.min(length, text.length) && part.length >= length - 1, `${length}: ${part.length}`);
    }
  }
  assert.equal(cut("abc", 5), "abc");
  assert.equal(cutBegin("abc", 2), "bc");
});

test("JSON has whole characters only, and nothing else is changed", () => {
  for (const text of ["a", SMILE, `\\ud83d`, `\\\\ud83d`, 'quote " and \\ud', "\u2028\n\t\0"])
    assert.equal(toJson(text), JSON.stringify(text));
  for (const text of ["\ud83d", "\ude00", "a\ud83dx", `\\\ud83d`, `${SMILE}\ud83d`, "\ude00\ud83d"]) {
    assert.equal(JSON.parse(toJson(text)), text.toWellFormed());
    assert.equal(Object.keys(JSON.parse(toJson({ [text]: 1 })))[0], text.toWellFormed());
  }
  assert.equal(toJson(undefined), undefined);
});

test("every event is well-formed, wherever a text was cut", () => {
  const bus = new Bus(fs.mkdtempSync(path.join(os.tmpdir(), "bus-")));
  const half = "\ud83d";
  const made = [
    HOOKS.after_tool_call(
      { toolName: "read", toolCallId: "c", error: SMILE.repeat(400), durationMs: 1 },
      ctx,
      bus.memory,
    ),
    HOOKS.after_tool_call(
      { toolName: "read", toolCallId: "d", error: `x${SMILE.repeat(400)}`, durationMs: 1 },
      ctx,
      bus.memory,
    ),
    HOOKS.after_tool_call(
      { toolName: "fetch", toolCallId: "e", result: { text: half }, durationMs: 1 },
      ctx,
      bus.memory,
    ),
    HOOKS.subagent_spawned(
      { runId: half, childSessionKey: `agent:main:subagent:${half}`, label: half },
      ctx,
      bus.memory,
    ),
    {
      subject: "custom.x",
      sessionKey: `x${SMILE.repeat(300)}`,
      data: {},
      content: () => ({ text: `x${SMILE.repeat(150_000)}` }),
    },
  ];
  for (const one of made.flat().filter(Boolean)) {
    for (const mode of ["metadata", "payload"]) {
      const line = bus.lineOf(one, mode);
      assert.equal(/\\ud[89a-f]/.test(line), false, line.slice(0, 300));
      assert.ok(line.isWellFormed());
    }
  }
});

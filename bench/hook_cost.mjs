// What a hook handler costs the Gateway's event loop: the real table, policy, envelope and spool; no Gateway.
// Prints {"handler": [median µs, p99 µs]} as JSON. The reference in the same run is an empty handler.
import fs from "node:fs";
import { sharedBus } from "../plugin/bus.js";
import plugin from "../plugin/index.js";

const home = process.argv[2];
fs.mkdirSync(home, { recursive: true });
const handlers = {};
const api = {
  pluginConfig: { home },
  runtime: { version: "2026.9.6" },
  registrationMode: "full",
  config: { plugins: { entries: { "openclaw-nats": { hooks: { allowConversationAccess: true } } } } },
  agent: { events: { registerAgentEventSubscription: ({ handle }) => (handlers.lifecycle = handle) } },
  on: (name, handle) => (handlers[name] = handle),
  registerService: () => {},
};
plugin.register(api);

const ctx = { agentId: "main", sessionKey: "agent:main:main", sessionId: "2b7469f3-9029-489c-9a8f-40fcac9b1248", runId: "run-1", channelId: "telegram" };
const text = "x".repeat(2000);
const samples = {
  "empty handler (reference)": [() => undefined, {}],
  after_tool_call: [handlers.after_tool_call, { toolName: "exec", toolCallId: "call_1", params: { command: text }, result: { content: [{ type: "text", text }], details: { exitCode: 0 } }, durationMs: 12 }],
  llm_output: [handlers.llm_output, { runId: "run-1", model: "m", provider: "p", usage: { input: 100, output: 10, total: 110 }, lastAssistant: { stopReason: "stop" }, assistantTexts: [text] }],
  message_received: [handlers.message_received, { from: "telegram:1", content: text, messageId: "1", metadata: { provider: "telegram" } }],
  model_call_ended: [handlers.model_call_ended, { runId: "run-1", callId: "run-1:model:1", provider: "p", model: "m", durationMs: 5, outcome: "completed" }],
};
const tool = { toolName: "exec", toolCallId: "call_1", params: { command: text } };
samples["before_tool_call, not tainted"] = [handlers.before_tool_call, tool];
samples["before_tool_call, 100 guarded turns elsewhere"] = [handlers.before_tool_call, tool, () => guardElsewhere(100)];
const CALLS = 20_000;
const out = {};
for (const [name, [handle, event, prepare]] of Object.entries(samples)) {
  prepare?.();
  const times = new Float64Array(CALLS);
  for (let n = -2000; n < CALLS; n += 1) {
    const began = process.hrtime.bigint();
    handle(event, ctx);
    if (n >= 0) times[n] = Number(process.hrtime.bigint() - began) / 1000;
  }
  times.sort();
  out[name] = [times[CALLS / 2], times[Math.floor(CALLS * 0.99)]];
}
console.log(JSON.stringify(out));

function guardElsewhere(turns) {
  for (let n = 0; n < turns; n += 1) {
    const policy = { tools: "read", guard: "ask", tainted: true, route: "mail", dispatch: `d${n}` };
    sharedBus().causes.begin({ key: `guarded-${n}`, sessionKey: `agent:main:mail-${n}`, dispatch: `d${n}`, hops: 1, policy });
  }
}

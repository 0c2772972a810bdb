// Registration: a Gateway registers the plugin several times; the registration whose service it starts is the one.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { sharedBus } from "../../plugin/bus.js";
import plugin from "../../plugin/index.js";
import { isSince } from "../../plugin/versions.js";

/** What a Gateway hands over at a registration, and the services that it was given. */
function apiOf(home, runtime) {
  const services = [];
  const nothing = () => {};
  const known = {
    pluginConfig: { home },
    runtime,
    registrationMode: "full",
    registerService: (one) => services.push(one),
    on: nothing,
  };
  return { services, api: new Proxy(known, { get: (target, name) => (name in target ? target[name] : undefined) }) };
}

test("a registration without a service of its own does not take the runs away", async () => {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), "plugin-index-"));
  const working = { subagent: { run: async () => ({}), waitForRun: async () => ({}) }, version: "2026.6.11" };
  const first = apiOf(home, working);
  plugin.register(first.api);
  await first.services[0].start();
  const bus = sharedBus({ home });
  try {
    plugin.register(apiOf(home, { subagent: { run: () => assert.fail("no request"), waitForRun: () => {} } }).api);
    assert.equal(bus.runs.runtime, working);
    const replaced = apiOf(home, { ...working });
    plugin.register(replaced.api);
    await first.services[0].stop();
    await replaced.services[0].start();
    assert.equal(bus.runs.runtime, replaced.api.runtime);
  } finally {
    await first.services[0].stop();
    fs.rmSync(home, { recursive: true });
  }
});

test("a Gateway says whether its plugin may see conversations, since 2026.4.23", () => {
  const asked = (version, access, events) => {
    const home = fs.mkdtempSync(path.join(os.tmpdir(), "plugin-index-"));
    const { api } = apiOf(home, { version });
    const entry = access === undefined ? {} : { hooks: { allowConversationAccess: access } };
    const subscribe = events ? { events: { registerAgentEventSubscription: () => {} } } : undefined;
    plugin.register(
      Object.assign(Object.create(api), {
        config: { plugins: { entries: { "openclaw-nats": entry } } },
        agent: subscribe,
      }),
    );
    const found = sharedBus({ home }).conversationAccess;
    sharedBus({ home }).conversationAccess = null; // one bus for all registrations of a process
    fs.rmSync(home, { recursive: true });
    return found;
  };
  assert.equal(asked("2026.3.1", undefined, false), null);
  assert.equal(asked("2026.4.15", undefined, false), null);
  assert.equal(asked("2026.4.23", undefined, false), false);
  assert.equal(asked("2026.4.29", true, false), true);
  assert.equal(asked("2026.9.6", undefined, true), false);
  assert.equal(asked("2026.9.6", true, true), true);
  assert.equal(asked("unknown", undefined, false), null);
});

test("versions are compared number by number", () => {
  for (const later of ["2026.4.23", "2026.4.29", "2026.10.1", "2027.1.1", "2026.4.23-beta.1"])
    assert.ok(isSince(later, [2026, 4, 23]), later);
  for (const earlier of ["2026.4.9", "2026.3.31", "2025.12.30", "unknown", "", "undefined"])
    assert.ok(!isSince(earlier, [2026, 4, 23]), earlier);
  assert.ok(isSince("2026.9.1", [2026, 9]));
  assert.ok(!isSince("2026.8.35", [2026, 9]));
});

// Registration: a Gateway registers the plugin several times; the registration whose service it starts is the one.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { sharedBus } from "../../plugin/bus.js";
import plugin from "../../plugin/index.js";

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

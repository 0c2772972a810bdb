// Where openclaw-nats keeps its state, and what its settings say. The sidecar writes `plugin.json` from config.toml
// (no secret in it); the API key has its own 0600 file. Read again on change: no Gateway restart for a setting.
/** @import { Loose, Settings } from "./types.js" */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { reasonOf } from "./text.js";

export const DEFAULTS = {
  sidecarUrl: "http://127.0.0.1:3104",
  socket: false, // whether it is the sidecar of this state directory, whose Unix socket is there
  gatewayId: os.hostname().replace(/[^A-Za-z0-9._-]/g, "-") || "gateway",
  capture: { default: "metadata", rules: [] },
  filter: { allow: ["agent.events.>"], block: [] },
  spoolMaxBytes: 256 * 1024 * 1024,
};

/** What OpenClaw takes for the home directory: `$OPENCLAW_HOME` (`~` in it is the user's own), else the user's. */
function homeDir() {
  const given = (process.env.OPENCLAW_HOME ?? "").trim();
  if (["", "undefined", "null"].includes(given)) return os.homedir();
  return given === "~" || given.startsWith("~/") ? path.join(os.homedir(), given.slice(2)) : path.resolve(given);
}

/**
 * The state directory: what setup configured, else `$OPENCLAW_STATE_DIR/nats`, else `~/.openclaw/nats`.
 * @param {Loose | undefined} pluginConfig
 * @returns {string}
 */
export function homeOf(pluginConfig) {
  if (typeof pluginConfig?.home === "string" && pluginConfig.home) return pluginConfig.home;
  return path.join(process.env.OPENCLAW_STATE_DIR || path.join(homeDir(), ".openclaw"), "nats");
}

/**
 * Settings from `plugin.json`, defaults for what is missing or unreadable; `problem` says why, for the report.
 * @param {string} home
 * @returns {Settings}
 */
export function readSettings(home) {
  const file = path.join(home, "plugin.json");
  let given = {};
  let problem = "";
  try {
    given = JSON.parse(fs.readFileSync(file, "utf8"));
  } catch (error) {
    problem =
      /** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT"
        ? ""
        : `${file} can't be read (${reasonOf(error)}); defaults are used`;
  }
  const settings = { ...DEFAULTS, ...given, problem };
  if (process.env.NATS_SIDECAR_URL) {
    settings.sidecarUrl = process.env.NATS_SIDECAR_URL;
    settings.socket = false; // somebody says where it is
  }
  return settings;
}

/**
 * The API key, read again each time: setup may have changed it. Empty when there is none.
 * @param {string} home
 */
export function readApiKey(home) {
  if (process.env.NATS_PLUGIN_API_KEY) return process.env.NATS_PLUGIN_API_KEY.trim();
  try {
    return fs.readFileSync(path.join(home, "api-key"), "utf8").trim();
  } catch {
    return ""; // reported as "no API key" by sidecar.js, which is the one that needs it
  }
}

/**
 * When `plugin.json` was last changed, in milliseconds; 0 when it isn't there.
 * @param {string} home
 */
export function changedAt(home) {
  try {
    return fs.statSync(path.join(home, "plugin.json")).mtimeMs;
  } catch {
    return 0;
  }
}

// Who can answer on this Gateway, from its configuration: `agents.entries` (2026.8 and later) or `agents.list`. Without
// either there is one agent, `main`. Which one gets what names none is OpenClaw's own rule of 2026.9: the system agent,
// else the one that is marked as the default, else the only one, else nobody.
/** @import { Loose } from "./types.js" */
const MOST = 500;
const ID = /^[a-z0-9][a-z0-9_-]{0,63}$/;

/**
 * `{ids, default, mainKey, scope}` for the report; without ids when there is no configuration.
 * @param {Loose | undefined} config
 */
export function agentsOf(config) {
  if (!config || typeof config !== "object") return { ids: [] };
  const { agents, session } = config;
  const roster = rosterOf(agents);
  const ids = [...new Set(roster.map(({ id }) => idOf(id)).filter((id) => ID.test(id)))].slice(0, MOST);
  const marked = roster.filter((one) => one.default === true).map(({ id }) => idOf(id));
  const chosen = idOf(agents?.defaults?.systemAgent?.agentId) || (marked.length === 1 ? marked[0] : "");
  return {
    ids,
    default: chosen || (ids.length === 1 ? ids[0] : ""),
    mainKey: text(session?.mainKey).toLowerCase() || "main",
    scope: text(session?.scope),
  };
}

/** @param {Loose | undefined} agents @returns {Loose[]} */
function rosterOf(agents) {
  const { entries, list } = agents ?? {};
  if (entries && typeof entries === "object") return Object.entries(entries).map(([id, one]) => ({ ...one, id }));
  if (Array.isArray(list) && list.length) return list.filter((one) => one && typeof one === "object");
  return [{ id: "main" }];
}

/**
 * An agent's id as OpenClaw normalizes it.
 * @param {unknown} value
 */
function idOf(value) {
  const id = text(value).toLowerCase();
  return ID.test(id)
    ? id
    : id
        .replace(/[^a-z0-9_-]+/g, "-")
        .replace(/^-+|-+$/g, "")
        .slice(0, 64);
}

/** @param {unknown} value */
const text = (value) => (typeof value === "string" ? value.trim() : "");

// What a run has cost. Where OpenClaw's hook has the run's tokens without their cost, the last answer of the model has both
// for itself, and so the price of each kind of token. Undefined when that is not enough: the sidecar's price table decides.
/** @import { Loose } from "./types.js" */

const KINDS = ["input", "output", "cacheRead", "cacheWrite"];

/**
 * @param {Loose} usage the run's tokens, by kind
 * @param {Loose | undefined} last the last answer's tokens, with what they cost
 * @returns {number | undefined}
 */
export function costOf(usage, last) {
  if (isAmount(usage.cost?.total)) return usage.cost.total;
  const known = last && isAmount(last.cost?.total) ? priced(usage, last) : undefined;
  return known ?? (usage.cost?.total === 0 ? 0 : undefined); // 0 is also what a model without prices has
}

/**
 * @param {Loose} usage
 * @param {Loose} last
 * @returns {number | undefined}
 */
function priced(usage, last) {
  let cost = 0;
  for (const kind of KINDS) {
    const tokens = usage[kind];
    if (!isAmount(tokens)) continue;
    if (!isAmount(last[kind]) || !isAmount(last.cost[kind])) return undefined;
    cost += (tokens / last[kind]) * last.cost[kind];
  }
  return isAmount(cost) ? cost : undefined;
}

/** @param {unknown} value */
function isAmount(value) {
  return typeof value === "number" && Number.isFinite(value) && value > 0;
}

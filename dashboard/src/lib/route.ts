// A route as the form holds it, and as the API takes it. What the form does not know of a route stays as it is.
import type { Schemas } from "./api";

export type RouteDocument = Record<string, unknown> & { name: string; pattern: string; target: unknown };
export type Form = {
  name: string;
  pattern: string;
  kind: string;
  sessionKey: string;
  agentId: string;
  url: string;
  secret: string;
  subject: string;
  when: string;
  instruction: string;
  template: string;
  debounce: string;
  maxWait: string;
  batchSize: string;
  batchWait: string;
  rateCount: string;
  ratePer: string;
  concurrency: string;
  key: string;
  budgetCost: string;
  budgetPer: string;
  quietFrom: string;
  quietTo: string;
  quietZone: string;
  priority: string;
  confirm: string;
  expiresAfter: string;
  trusted: boolean;
  tools: string;
  guard: string;
  enabled: boolean;
};

export const KINDS: [kind: string, words: string][] = [
  ["session", "A session of an agent"],
  ["agent", "An agent, in a turn of its own"],
  ["wake", "A note for the next heartbeat (can be lost)"],
  ["webhook", "A webhook"],
  ["subject", "Another subject"],
];

const SHOWN_ONLY = [
  "conditions",
  "waitingSince",
  "resolvedTarget",
  "targetNote",
  "trialNote",
  "instructionNote",
  "madeBy",
  "createdAt",
  "updatedAt",
  "counts",
];

/** An empty form. */
export const blank = (): Form => ({
  ...{
    name: "",
    pattern: "agent.events.custom.",
    kind: "session",
    sessionKey: "main",
    agentId: "",
    url: "",
    secret: "",
  },
  ...{
    subject: "",
    when: "",
    instruction: "",
    template: "",
    debounce: "",
    maxWait: "",
    batchSize: "",
    batchWait: "",
    rateCount: "",
  },
  ...{ budgetCost: "", budgetPer: "" },
  ...{ ratePer: "", concurrency: "", key: "", quietFrom: "", quietTo: "", quietZone: "", priority: "", confirm: "" },
  ...{ expiresAfter: "", trusted: false, tools: "read", guard: "ask", enabled: true },
});

/** The part of a listed route that can be saved again. */
export function documentOf(route: Schemas["Route"]): RouteDocument {
  return Object.fromEntries(Object.entries(route).filter(([name]) => !SHOWN_ONLY.includes(name))) as RouteDocument;
}

const text = (value: unknown): string => (value === undefined || value === null ? "" : String(value));
const object = (value: unknown): Record<string, unknown> =>
  value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

/** A document as a form. */
export function formOf(route: RouteDocument): Form {
  const target =
    typeof route.target === "string" ? { kind: "session", sessionKey: route.target } : object(route.target);
  const flow = object(route.flow);
  const batch = object(flow.batch);
  const rate = object(flow.rate);
  const quiet = object(flow.quietHours);
  const budget = object(flow.budget);
  return {
    ...blank(),
    name: route.name,
    pattern: route.pattern,
    kind: text(target.kind) || "session",
    ...{ sessionKey: text(target.sessionKey), agentId: text(target.agentId), url: text(target.url) },
    ...{
      secret: text(target.secret),
      subject: text(target.subject),
      when: text(route.when),
      instruction: text(route.instruction),
      template: text(route.template),
    },
    ...{
      debounce: text(flow.debounce),
      maxWait: text(flow.maxWait),
      concurrency: text(flow.concurrency),
      key: text(flow.key),
    },
    ...{
      batchSize: text(batch.size),
      batchWait: text(batch.wait),
      rateCount: text(rate.count),
      ratePer: text(rate.per),
    },
    ...{ budgetCost: text(budget.cost), budgetPer: text(budget.per) },
    ...{ quietFrom: text(quiet.from), quietTo: text(quiet.to), quietZone: text(quiet.timezone) },
    ...{ priority: text(route.priority), confirm: text(route.confirm), expiresAfter: text(route.expiresAfter) },
    trusted: route.trusted === true,
    tools: Array.isArray(route.tools) ? route.tools.join(", ") : text(route.tools ?? "read"),
    guard: text(route.guard ?? "ask"),
    enabled: route.enabled !== false,
  };
}

/** The form as a document; `base` has what the form does not show. Empty fields are left out. */
export function toDocument(form: Form, base: RouteDocument | null): RouteDocument {
  const flow = filled({
    ...object(base?.flow),
    debounce: form.debounce,
    maxWait: form.maxWait,
    concurrency: numeral(form.concurrency),
    key: form.key,
    batch: filled({ size: numeral(form.batchSize), wait: form.batchWait }),
    rate: filled({ count: numeral(form.rateCount), per: form.ratePer }),
    budget: filled({ cost: amount(form.budgetCost), per: form.budgetPer }),
    quietHours: filled({ from: form.quietFrom, to: form.quietTo, timezone: form.quietZone }),
  });
  return {
    ...base,
    ...filled({
      when: form.when,
      instruction: form.instruction,
      template: form.template,
      priority: numeral(form.priority),
      confirm: form.confirm,
      expiresAfter: form.expiresAfter,
      flow,
    }),
    ...emptied({
      when: form.when,
      instruction: form.instruction,
      template: form.template,
      priority: form.priority,
      confirm: form.confirm,
      expiresAfter: form.expiresAfter,
      flow: flow ?? "",
    }),
    name: form.name.trim(),
    pattern: form.pattern.trim(),
    target: targetOf(form),
    enabled: form.enabled,
    trusted: form.trusted,
    tools: toolsOf(form.tools),
    guard: form.guard || "ask",
  };
}

/** A preset, or a list of rules; a comma within brackets belongs to its rule. */
function toolsOf(given: string): string | string[] {
  const rules = given
    .split(/,(?![^(]*\))/)
    .map((rule) => rule.trim())
    .filter(Boolean);
  if (!rules.length) return "read";
  return rules.length === 1 && ["read", "all", "none"].includes(rules[0]!) ? rules[0]! : rules;
}

function targetOf(form: Form): unknown {
  const fields: Record<string, (keyof Form)[]> = {
    session: ["sessionKey", "agentId"],
    agent: ["agentId"],
    wake: ["agentId"],
    webhook: ["url", "secret"],
    subject: ["subject"],
  };
  const given = (fields[form.kind] ?? []).map((name) => [name, String(form[name]).trim()]).filter(([, value]) => value);
  return { kind: form.kind, ...Object.fromEntries(given) };
}

/** Without what is empty; nothing when all of it is. */
function filled(value: Record<string, unknown>): Record<string, unknown> | undefined {
  const kept = Object.entries(value).filter(([, one]) => one !== "" && one !== undefined);
  return kept.length ? Object.fromEntries(kept) : undefined;
}

/** The empty ones as undefined, so that they take away what `base` had. */
const emptied = (value: Record<string, unknown>): Record<string, undefined> =>
  Object.fromEntries(
    Object.entries(value)
      .filter(([, one]) => one === "")
      .map(([name]) => [name, undefined]),
  );

/** A number when it is one; else as it was typed, which the sidecar then refuses with the reason. */
const amount = (typed: string): number | string => (/^\d+(\.\d+)?$/.test(typed.trim()) ? Number(typed) : typed.trim());
const numeral = (typed: string): number | string => (/^-?\d+$/.test(typed.trim()) ? Number(typed) : typed.trim());

// Events as lists show them: what a row says of one.
import type { Schemas } from "./api";
import { clock, took } from "./time";
import { visible } from "./visible";

export type LiveEvent = Schemas["LiveEvent"];
/** An attribute of a CloudEvent as text; empty when it has none. */
export function attribute(event: LiveEvent, name: string): string {
  const value = event.event[name];
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

/** Who said it, in words: of an event or a delivery. */
export function said(one: { origin: string; tainted: boolean }): string {
  return `said by ${one.origin}${one.tainted && one.origin !== "outside" ? " (tainted)" : ""}`;
}

/** Whether what events of an origin say of agents and sessions is true: others may publish, and no more. */
export const vouches = (origin: string): boolean => !/^(outside$|key:|source:)/.test(origin);

/** Where a row says that an event is from: what it claims itself counts only when it is vouched for. */
export function place(event: LiveEvent): string {
  return (vouches(event.origin) && attribute(event, "sessionkey")) || event.origin;
}

/** What a row says besides the subject: of each kind what matters, as `openclaw-nats events` has it. */
export function summary(event: LiveEvent): string {
  return visible(summed(event)).slice(0, 200);
}

type Data = Record<string, unknown>;
const ARGUMENTS = ["command", "cmd", "path", "file_path", "filePath", "url", "query", "pattern", "message", "name"];

function summed(event: LiveEvent): string {
  const data = event.event.data;
  if (data === null || typeof data !== "object" || Array.isArray(data)) {
    return data === undefined ? "" : String(JSON.stringify(data));
  }
  const found = data as Data;
  const kind = attribute(event, "subject").split(".")[2] ?? "";
  const describe = KINDS[kind];
  const bad = failed(event);
  const text = (describe && describe(found, bad)) || tick(found) || plain(found);
  const ended = found.success === true || /\.completed$/.test(attribute(event, "subject"));
  return `${bad ? "✗ " : ended ? "✓ " : ""}${text}`;
}

const KINDS: Record<string, (data: Data, bad: boolean) => string> = {
  tool: (data, bad) => {
    const given = object(data.params);
    const name = ARGUMENTS.find((one) => given[one]);
    const argument = name ? `"${text(given[name])}"` : Object.keys(given).length ? text(given) : "";
    return joined(
      spaced(text(data.tool), bad ? text(data.error).replace("exit code ", "exit ") : "", argument),
      lasted(data),
    );
  },
  llm: (data, bad) => {
    const usage = object(data.usage);
    const tokens = "input" in usage || "output" in usage ? `${short(usage.input)} → ${short(usage.output)} tokens` : "";
    const money = typeof data.cost === "number" && data.cost > 0 ? `$${data.cost.toFixed(3)}` : "";
    return joined(
      spaced(text(data.model), tokens),
      money,
      lasted(data),
      bad ? text(data.error ?? data.stopReason) : "",
    );
  },
  model: ended,
  agent: ended,
  message: (data) => {
    const from = text(data.senderName ?? data.from ?? data.senderId);
    const who = data.to ? `to ${text(data.to)}` : from && `from ${from}`;
    return joined(spaced(text(data.channel), who), data.content ? `"${text(data.content)}"` : "", text(data.error));
  },
  session: (data) => joined(text(data.reason), data.tokenCount ? `${short(data.tokenCount)} tokens` : ""),
  context: (data) => joined(text(data.reason), data.tokenCount ? `${short(data.tokenCount)} tokens` : ""),
  subagent: (data) =>
    joined(text(data.label ?? data.childSessionKey), text(data.outcome ?? data.phase), text(data.error)),
};

function ended(data: Data, bad: boolean): string {
  const what = text(data.error ?? data.status ?? data.stopReason);
  return joined(text(data.model), bad || !data.model ? what : "", lasted(data));
}

/** A cron job's or timer's event: which, for when. */
function tick(data: Data): string {
  for (const [field, word] of [
    ["_cron", "job"],
    ["_timer", "timer"],
  ] as const) {
    const note = object(data[field]);
    const at = Date.parse(text(note.scheduledFor));
    if (!Object.keys(note).length) continue;
    const due = Number.isNaN(at) ? "" : clock(at).slice(0, 5);
    return joined(
      [`${word} ${text(note.jobName ?? note.name)}`, due].filter(Boolean).join(", "),
      note.skipped ? "skipped" : "",
    );
  }
  return "";
}

const plain = (data: Data): string =>
  Object.entries(data)
    .filter(([name, value]) => !name.startsWith("_") && value !== null && value !== "")
    .map(([name, value]) => `${name}=${text(value)}`)
    .join(" ");

const joined = (...parts: string[]): string => parts.filter(Boolean).join(" · ");
const spaced = (...parts: string[]): string => parts.filter(Boolean).join(" ");
const object = (value: unknown): Data =>
  value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Data) : {};
const lasted = (data: Data): string => (typeof data.durationMs === "number" ? took(data.durationMs) : "");

function text(value: unknown): string {
  if (value === null || value === undefined) return "";
  const found = (typeof value === "string" ? value.slice(0, 500) : JSON.stringify(value).slice(0, 500)).replace(
    /\s+/g,
    " ",
  );
  return found.length > 60 ? `${found.slice(0, 59)}…` : found;
}

function short(value: unknown): string {
  if (typeof value !== "number") return "?";
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  return value >= 1000 ? `${(value / 1000).toFixed(1)}k` : String(Math.round(value));
}

/** Whether it reports something that went wrong. */
export function failed(event: LiveEvent): boolean {
  const data = event.event.data as { success?: unknown; error?: unknown } | undefined;
  return /\.(failed|overflow)$/.test(attribute(event, "subject")) || data?.success === false || Boolean(data?.error);
}

/** Add a group to a list, oldest first: no event twice, and only the newest `limit`. */
export function merged(kept: readonly LiveEvent[], group: readonly LiveEvent[], limit: number): LiveEvent[] {
  const last = kept.at(-1)?.sequence ?? 0;
  const fresh = group.filter((one) => one.sequence > last);
  return fresh.length === 0 ? (kept as LiveEvent[]) : [...kept, ...fresh].slice(-limit);
}

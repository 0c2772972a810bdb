// Events as the live view lists them: what is shown of one, and which ones a filter lets through.
import type { Schemas } from "./api";
import { meant } from "./subjects";
import { visible } from "./visible";

export type LiveEvent = Schemas["LiveEvent"];
export type Filter = { subject: string; session: string; agent: string; text: string };

export const NO_FILTER: Filter = { subject: "", session: "", agent: "", text: "" };

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

/** What a row says besides the subject: the tool, the model, an error, how long it took. */
export function summary(event: LiveEvent): string {
  return visible(summed(event));
}

function summed(event: LiveEvent): string {
  const data = event.event.data;
  if (data === null || typeof data !== "object" || Array.isArray(data)) {
    return data === undefined ? "" : String(JSON.stringify(data)).slice(0, 120);
  }
  const found = data as Record<string, unknown>;
  const parts: string[] = [];
  for (const name of ["tool", "model", "channel", "phase", "reason", "status"]) {
    if (typeof found[name] === "string" && found[name]) parts.push(String(found[name]));
  }
  if (typeof found.durationMs === "number") parts.push(`${Math.round(found.durationMs)} ms`);
  if (typeof found.error === "string" && found.error) parts.push(`✗ ${found.error}`);
  if (parts.length === 0) return JSON.stringify(found).slice(0, 160);
  return parts.join(" · ").slice(0, 160);
}

/** Whether it reports something that went wrong. */
export function failed(event: LiveEvent): boolean {
  const data = event.event.data as { success?: unknown; error?: unknown } | undefined;
  return /\.(failed|overflow)$/.test(attribute(event, "subject")) || data?.success === false || Boolean(data?.error);
}

const texts = new WeakMap<LiveEvent, string>();

function textOf(event: LiveEvent): string {
  let text = texts.get(event);
  if (text === undefined) {
    text = JSON.stringify(event.event).toLowerCase();
    texts.set(event, text);
  }
  return text;
}

/** Whether a filter lets an event through. */
export function passes(event: LiveEvent, filter: Filter): boolean {
  const has = (name: string, wanted: string) =>
    !wanted || attribute(event, name).toLowerCase().includes(wanted.trim().toLowerCase());
  return (
    meant(filter.subject, attribute(event, "subject")) &&
    has("sessionkey", filter.session) &&
    has("agentid", filter.agent) &&
    (!filter.text || textOf(event).includes(filter.text.trim().toLowerCase()))
  );
}

/** Add a group to a list, oldest first: no event twice, and only the newest `limit`. */
export function merged(kept: readonly LiveEvent[], group: readonly LiveEvent[], limit: number): LiveEvent[] {
  const last = kept.at(-1)?.sequence ?? 0;
  const fresh = group.filter((one) => one.sequence > last);
  return fresh.length === 0 ? (kept as LiveEvent[]) : [...kept, ...fresh].slice(-limit);
}

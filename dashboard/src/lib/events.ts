// Events as lists hold them: where one is from, and whether it reports something that went wrong.
import type { Schemas } from "./api";

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

/** Whether it reports something that went wrong, as the sidecar decides it (events/searchable.py). */
export function failed(event: LiveEvent): boolean {
  if (/\.(failed|overflow)$/.test(attribute(event, "subject"))) return true;
  const data = event.event.data as { success?: unknown; outcome?: unknown; error?: unknown } | null | undefined;
  const error = data?.error;
  const said = typeof error === "object" && error !== null ? Object.keys(error).length > 0 : Boolean(error);
  return data?.success === false || data?.outcome === "error" || said;
}

/** Add a group to a list, oldest first: no event twice, and only the newest `limit`. */
export function merged(kept: readonly LiveEvent[], group: readonly LiveEvent[], limit: number): LiveEvent[] {
  const last = kept.at(-1)?.sequence ?? 0;
  const fresh = group.filter((one) => one.sequence > last);
  return fresh.length === 0 ? (kept as LiveEvent[]) : [...kept, ...fresh].slice(-limit);
}

// What a record of the audit log says has changed, in one line.
import type { Schemas } from "./api";

type Entry = Pick<Schemas["AuditRecord"], "before" | "after" | "reason">;

export function changed({ before, after, reason }: Entry): string {
  const found: string[] = [];
  if (isObject(before) && isObject(after)) {
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)]))
      found.push(`${name}: ${short(before[name])} → ${short(after[name])}`);
  } else if (before != null && after != null) found.push(`${short(before)} → ${short(after)}`);
  else if (before != null || after != null) found.push(short(before ?? after));
  if (reason) found.push(reason);
  return found.join("; ");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function short(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "-");
  return text.length > 200 ? `${text.slice(0, 199)}…` : text;
}

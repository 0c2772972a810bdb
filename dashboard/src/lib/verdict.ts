// How everything is, in one line: what is wrong, or that what was looked at is well.
import { parts } from "./advice";
import type { Schemas } from "./api";
import { plural } from "./format";

export type Problem = { text: string; page: string };
export type Verdict = { state: "good" | "warn" | "bad" | "unknown"; text: string; problems: Problem[] };
type Health = Schemas["Health"];

const PAGES: Record<string, string> = { Delivery: "pending", Schedules: "schedules", Sidecar: "logs" };
const NAMES = 3; // of missed expectations, in the line

/** The verdict. Nothing is called well that can't be seen: with `lostSince` the sidecar has not answered since then. */
export function verdict(health: Health, lostSince?: string): Verdict {
  if (lostSince !== undefined)
    return { state: "unknown", text: "The sidecar does not answer: nothing is known of the rest.", problems: [] };
  const seen = parts(health);
  const problems = seen
    .filter((part) => part.state !== "up")
    .map((part) => ({ text: `${part.name}: ${part.error || "is down"}`, page: PAGES[part.name] ?? "overview" }));
  const dead = health.delivery?.counts?.dead ?? 0;
  if (dead) problems.push({ text: plural(dead, "dead letter"), page: "dead" });
  const missed = health.expectations?.missed ?? [];
  if (missed.length) {
    const more = missed.length > NAMES ? ` and ${missed.length - NAMES} more` : "";
    problems.push({ text: `Missed: ${missed.slice(0, NAMES).join(", ")}${more}`, page: "expectations" });
  }
  for (const error of [health.expectations?.lastError, health.mqtt?.lastError, health.mqtt?.homeAssistant?.lastError])
    if (error) problems.push({ text: error, page: "overview" });
  if (problems.length === 0)
    return { state: "good", text: `All is well: ${listed(seen.map(({ name }) => name))}.`, problems };
  const down = seen.some((part) => part.state === "down");
  return { state: down ? "bad" : "warn", text: `${plural(problems.length, "problem")}:`, problems };
}

function listed(names: string[]): string {
  return names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names.join("");
}

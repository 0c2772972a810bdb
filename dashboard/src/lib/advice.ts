// What to do when a part is down or complains: the next step, in words. The order is that of an event's way.
import type { Schemas } from "./api";

export type Part = {
  name: string;
  state: "up" | "down" | "warning" | "unknown";
  detail: string;
  error: string;
  advice: string;
  since?: string;
};
type Health = Schemas["Health"];

/** Every part with its state, its last error and what to do. A part that can't be seen is never shown as up. */
export function parts(health: Health, lostSince?: string): Part[] {
  const found = [
    gateway(health),
    plugin(health),
    sidecar(health),
    nats(health),
    delivery(health),
    schedules(health),
  ].filter((part) => part !== null);
  return lostSince === undefined ? found : found.map((part) => unseen(part, lostSince));
}

/** A pause in words. */
export function pauseText(pause: Schemas["Pause"]): string {
  const what = pause.route ? `Route ${pause.route} is` : pause.everything ? "Everything is" : "All turns are";
  return `${what} paused by ${pause.madeBy}${pause.reason ? `: ${pause.reason}` : ""}`;
}

/** A part of which nothing has been heard since the sidecar stopped answering. */
function unseen(part: Part, since: string): Part {
  const own = part.name === "Sidecar";
  return {
    name: part.name,
    state: "unknown",
    detail: part.detail,
    error: own ? "It does not answer." : "Not known while the sidecar does not answer.",
    advice: own
      ? "`openclaw-nats status` says what runs; `openclaw-nats start` starts it. Events wait in the spool meanwhile."
      : "",
    since,
  };
}

function gateway({ gateway: found }: Health): Part | null {
  if (!found) return null;
  return {
    name: "Gateway",
    state: found.reachable ? "up" : "down",
    detail: [found.version, found.url].filter(Boolean).join(" · "),
    error: found.reachable ? "" : found.lastError,
    advice: found.reachable
      ? ""
      : "Start OpenClaw, or set gateway.url if it listens elsewhere. Waiting events are sent when it is back.",
    since: found.since,
  };
}

function plugin({ plugin: found }: Health): Part | null {
  if (!found) return null;
  const problems = [...found.problems, found.lastError].filter(Boolean);
  const state = !found.reachable ? "down" : problems.length ? "warning" : "up";
  let advice = "";
  if (state === "down")
    advice = "Is the Gateway running with the plugin? `openclaw-nats setup` installs it. Its events wait in the spool.";
  else if (found.conversationAccess === false)
    advice = "`openclaw-nats setup` gives the plugin the access that its hooks need.";
  else if (state === "warning")
    advice = "`openclaw-nats status` shows the same; `openclaw-nats setup` fixes what it can.";
  return { name: "Plugin", state, detail: found.version, error: problems.join("; "), advice, since: found.since };
}

function sidecar({ sidecar: found }: Health): Part | null {
  if (!found) return null;
  return {
    name: "Sidecar",
    state: found.lastError ? "warning" : "up",
    detail: `${found.version} · capture: ${found.capture}`,
    error: found.lastError,
    advice: found.lastError
      ? "It recovers by itself; Logs → Sidecar says more. If it does not: `openclaw-nats restart`."
      : "",
    since: found.since,
  };
}

function nats({ nats: found, status }: Health): Part | null {
  if (!found) return null;
  const up = found.reachable && status === "up";
  return {
    name: "NATS",
    state: !up ? "down" : found.notes.length ? "warning" : "up",
    detail: [found.version, found.url].filter(Boolean).join(" · "),
    error: up ? found.notes.join("; ") : found.lastError,
    advice: up
      ? ""
      : "Is nats-server running, and does its disk have room? `openclaw-nats status`, then `openclaw-nats restart`. Nothing is lost meanwhile: events wait in the spool.",
    since: found.since,
  };
}

function delivery({ delivery: found }: Health): Part | null {
  if (!found) return null;
  const breakers = (found.openBreakers ?? []).map((one) => `${one.target}: ${one.lastError}`);
  const held = (found.pauses ?? []).map(pauseText);
  const problems = [found.lastError, ...held, ...breakers].filter(Boolean);
  return {
    name: "Delivery",
    state: !found.reachable ? "down" : problems.length ? "warning" : "up",
    detail: found.way ? `by ${found.way === "hooks" ? "the Gateway's hooks" : "the plugin"}` : "",
    error: problems.join("; "),
    advice: held.length
      ? "Events wait until it is resumed: the button below, Routes, or `openclaw-nats resume`."
      : problems.length
        ? "Events wait and are tried again; nothing to do once the target is back. Pending shows them."
        : "",
  };
}

function schedules({ schedules: found }: Health): Part | null {
  if (!found) return null;
  return {
    name: "Schedules",
    state: !found.available ? "down" : found.lastError ? "warning" : "up",
    detail: found.available ? `${found.jobs ?? 0} jobs, ${found.timers ?? 0} timers` : "",
    error: found.lastError,
    advice: found.available
      ? ""
      : "Cron and timers need a newer nats-server, see docs/schedules.md; everything else works.",
  };
}

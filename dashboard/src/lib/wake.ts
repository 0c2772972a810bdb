// Whom a job or timer wakes, as text: main, a session key, agent:<id> (a turn of its own), wake or wake:<id>.
type Target = { kind: string; agentId?: string | null; sessionKey?: string };

/** The text as the API takes it; undefined for nobody. */
export function wakeFrom(typed: string): string | Target | undefined {
  const text = typed.trim();
  if (!text) return undefined;
  const [kind, id, ...more] = text.split(":");
  if (more.length === 0 && kind === "agent" && id) return { kind, agentId: id };
  if (more.length === 0 && kind === "wake") return id ? { kind, agentId: id } : { kind };
  return text;
}

/** What the API says, as text. */
export function wakeText(wake: string | Target | null | undefined): string {
  if (!wake) return "";
  if (typeof wake === "string") return wake;
  return wake.sessionKey ?? [wake.kind, wake.agentId].filter(Boolean).join(":");
}

// NATS subjects, as the live view's filter takes them: a pattern where there is a wildcard, else a part of the text.

/** Whether `*` (one token) and a final `>` (one or more) of a pattern cover a subject. */
export function matches(pattern: string, subject: string): boolean {
  const wanted = pattern.split(".");
  const tokens = subject.split(".");
  for (const [at, token] of wanted.entries()) {
    if (token === ">" && at === wanted.length - 1) return tokens.length > at;
    if (tokens[at] === undefined || (token !== "*" && token !== tokens[at])) return false;
  }
  return tokens.length === wanted.length;
}

/** Whether a subject is meant by what somebody typed; the prefix `agent.events.` may be left out. */
export function meant(typed: string, subject: string): boolean {
  const text = typed.trim();
  if (!text) return true;
  if (!/[*>]/.test(text)) return subject.toLowerCase().includes(text.toLowerCase());
  return matches(text, subject) || matches(`agent.events.${text}`, subject);
}

/** A subject without the prefix that all of them have. */
export const short = (subject: string): string => subject.replace(/^agent\.events\./, "");

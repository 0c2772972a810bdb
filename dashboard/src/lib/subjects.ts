// NATS subjects and their patterns.

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

/** A subject without the prefix that all of them have. */
export const short = (subject: string): string => subject.replace(/^agent\.events\./, "");

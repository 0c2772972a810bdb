// Times in words, for people; the exact one goes into a title.

const STEPS: [limit: number, seconds: number, unit: string][] = [
  [90, 1, "s"],
  [90 * 60, 60, "min"],
  [36 * 3600, 3600, "h"],
  [Infinity, 86400, "d"],
];

/** "12 s ago", "in 3 h", "now". Milliseconds since the Unix epoch. */
export function relative(at: number, now: number): string {
  const seconds = Math.round((at - now) / 1000);
  if (Math.abs(seconds) < 2) return "now";
  const text = duration(Math.abs(seconds));
  return seconds < 0 ? `${text} ago` : `in ${text}`;
}

/** "45 s", "12 min", "5 h", "3 d". */
export function duration(seconds: number): string {
  for (const [limit, size, unit] of STEPS) {
    if (seconds < limit) return `${Math.round(seconds / size)} ${unit}`;
  }
  return "";
}

/** Milliseconds for how long something took: "8 ms", "1.3 s", "2 min 5 s". */
export function took(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** The exact time here, with its zone; in another zone when one is given and known. */
export function exact(at: number, zone?: string): string {
  const format: Intl.DateTimeFormatOptions = {
    weekday: "short",
    year: "numeric",
    month: "short",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
    timeZoneName: "short",
  };
  try {
    return new Intl.DateTimeFormat("en-GB", zone ? { ...format, timeZone: zone } : format).format(at);
  } catch {
    return new Intl.DateTimeFormat("en-GB", format).format(at);
  }
}

/** Day and minute, short, in a zone: "Tue 24 Nov 09:30". */
export function shortTime(at: number, zone?: string): string {
  const format: Intl.DateTimeFormatOptions = {
    weekday: "short",
    day: "2-digit",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  };
  try {
    return new Intl.DateTimeFormat("en-GB", zone ? { ...format, timeZone: zone } : format).format(at);
  } catch {
    return new Intl.DateTimeFormat("en-GB", format).format(at);
  }
}

/** The time of day with seconds, for lists: "09:30:05". */
export function clock(at: number): string {
  return new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" }).format(at);
}

const DAY_MS = 86_400_000;

/** When an event of a list was: "09:30:05" today, "Tue 09:30" in the last six days, else "24 Nov 09:30", with another year "24 Nov 2025". */
export function rowTime(at: number, now: number): string {
  const [then, today] = [new Date(at), new Date(now)];
  if (Number.isNaN(at)) return "";
  if (then.toDateString() === today.toDateString()) return clock(at);
  const minute = clock(at).slice(0, 5);
  if (at < now && now - at < 6 * DAY_MS) return `${part(at, { weekday: "short" })} ${minute}`;
  const day = part(at, { day: "2-digit", month: "short" });
  return then.getFullYear() === today.getFullYear() ? `${day} ${minute}` : `${day} ${then.getFullYear()}`;
}

const part = (at: number, format: Intl.DateTimeFormatOptions): string =>
  new Intl.DateTimeFormat("en-GB", format).format(at);

export const zoneHere = Intl.DateTimeFormat().resolvedOptions().timeZone;

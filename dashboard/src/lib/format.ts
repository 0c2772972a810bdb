// Numbers and values as text.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** "512 B", "1.5 MiB". */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

const whole = new Intl.NumberFormat("en-US");

/** 1,234,567 */
export const count = (value: number): string => whole.format(Math.round(value));

/** A rate with as many digits as it needs: 0, 0.02, 1.5, 230. */
export function rate(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (value < 0.1) return value.toFixed(2);
  return value < 10 ? value.toFixed(1) : count(value);
}

/** "1 event", "3 events". */
export const plural = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`;

/** A setting's value. */
export function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.length ? value.map(valueText).join(", ") : "(none)";
  if (value === "" || value === null || value === undefined) return "(empty)";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// UUIDv7 (RFC 9562): sorts by time. Random bytes come from a pool, since asking the system costs more than the id.
import { randomFillSync } from "node:crypto";

const pool = Buffer.alloc(4096);
let used = pool.length;

/**
 * A new UUIDv7 for `milliseconds` since the Unix epoch.
 * @param {number} milliseconds
 */
export function uuid7(milliseconds) {
  if (used + 10 > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const time = milliseconds.toString(16).padStart(12, "0");
  const random = pool.toString("hex", used, used + 10);
  const variant = "89ab"[pool[used + 9] & 3];
  used += 10;
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-${variant}${random.slice(3, 6)}-${random.slice(6, 18)}`;
}

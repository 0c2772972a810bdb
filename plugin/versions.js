// OpenClaw's versions: year, month, number; `2026.9.6-beta.1` is taken for 2026.9.6.

/**
 * Whether a version is `first` or a later one; false for what is no version. `first` may be a month alone.
 * @param {string} version
 * @param {number[]} first
 */
export function isSince(version, first) {
  const parts = String(version).split(/[.-]/, 3).map(Number);
  const at = first.findIndex((part, index) => part !== parts[index]);
  return at < 0 || parts[at] > first[at];
}

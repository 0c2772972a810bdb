import { expect, test } from "vitest";
import { duration, exact, relative, rowTime, shortTime, took } from "../src/lib/time";

const NOW = Date.parse("2026-11-24T12:00:00Z");

test.each([
  [0, "now"],
  [-1, "now"],
  [-12, "12 s ago"],
  [45, "in 45 s"],
  [-600, "10 min ago"],
  [3 * 3600, "in 3 h"],
  [-3 * 86400, "3 d ago"],
])("%i seconds from now is %s", (seconds, words) => {
  expect(relative(NOW + seconds * 1000, NOW)).toBe(words);
});

test("how long something took", () => {
  expect([8, 1300, 59_900, 125_000].map(took)).toEqual(["8 ms", "1.3 s", "59.9 s", "2 min 5 s"]);
  expect(duration(89)).toBe("89 s");
  expect(duration(91)).toBe("2 min");
});

test("a time in its own zone, and an unknown zone is no error", () => {
  expect(shortTime(NOW, "Asia/Tokyo")).toBe("Tue 24 Nov, 21:00");
  expect(exact(NOW, "Europe/Berlin")).toContain("13:00:00");
  expect(shortTime(NOW, "Nowhere/Land")).toMatch(/Nov/);
});

test("when an event of a list was: the shorter the nearer it is", () => {
  const now = new Date(2026, 10, 24, 12).getTime();
  const at = (day: number, month = 10, year = 2026) => rowTime(new Date(year, month, day, 9, 30, 5).getTime(), now);
  expect([at(24), at(22), at(1), at(24, 10, 2025), at(26)]).toEqual([
    "09:30:05",
    "Sun 09:30",
    "01 Nov 09:30",
    "24 Nov 2025",
    "26 Nov 09:30",
  ]);
  expect(rowTime(NaN, now)).toBe("");
});

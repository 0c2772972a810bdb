import { expect, test } from "vitest";
import { offsetOf, totalHeight, visible } from "../src/lib/rows";

const closed = { rowHeight: 30, count: 1000, openAt: -1, openHeight: 0 };
const opened = { rowHeight: 30, count: 1000, openAt: 10, openHeight: 400 };

test("an open row moves those below it", () => {
  expect(totalHeight(closed)).toBe(30_000);
  expect(totalHeight(opened)).toBe(30_400);
  expect([9, 10, 11].map((at) => offsetOf(opened, at))).toEqual([270, 300, 730]);
});

test.each([
  [closed, 0, 300],
  [closed, 15_000, 600],
  [closed, 29_900, 600],
  [opened, 0, 300],
  [opened, 400, 200],
  [opened, 735, 300],
  [opened, 30_000, 600],
])("every row on the screen is there, and not many more (%#)", (layout, top, height) => {
  const [from, to] = visible(layout, top, height);
  for (let at = 0; at < layout.count; at++) {
    const begin = offsetOf(layout, at);
    const end = begin + layout.rowHeight + (at === layout.openAt ? layout.openHeight : 0);
    if (begin < top + height && end > top) expect(at >= from && at < to, `row ${at}`).toBe(true);
  }
  expect(to - from).toBeLessThanOrEqual(height / layout.rowHeight + 15);
});

test("an empty list has no rows", () => {
  expect(visible({ ...closed, count: 0 }, 0, 500)).toEqual([0, 0]);
});

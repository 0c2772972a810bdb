// Which rows of a long list are on the screen. One row may be open: what it shows below itself moves the others down.

export type Layout = { rowHeight: number; count: number; openAt: number; openHeight: number };

const SPARE = 6;

/** The height of the whole list. */
export const totalHeight = (layout: Layout): number =>
  layout.count * layout.rowHeight + (isOpen(layout) ? layout.openHeight : 0);

/** Where a row begins. */
export const offsetOf = (layout: Layout, at: number): number =>
  at * layout.rowHeight + (isOpen(layout) && at > layout.openAt ? layout.openHeight : 0);

/** The rows between two heights, with some more on both sides: [from, to). */
export function visible(layout: Layout, top: number, height: number): [from: number, to: number] {
  const from = rowAt(layout, top) - SPARE;
  const to = rowAt(layout, top + height) + 1 + SPARE;
  return [Math.max(0, from), Math.min(layout.count, Math.max(to, 0))];
}

function rowAt(layout: Layout, height: number): number {
  if (!isOpen(layout)) return Math.floor(height / layout.rowHeight);
  const opened = (layout.openAt + 1) * layout.rowHeight;
  if (height < opened) return Math.floor(height / layout.rowHeight);
  if (height < opened + layout.openHeight) return layout.openAt;
  return Math.floor((height - layout.openHeight) / layout.rowHeight);
}

const isOpen = (layout: Layout): boolean => layout.openAt >= 0 && layout.openAt < layout.count;

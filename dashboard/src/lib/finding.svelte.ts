// The events that are looked for: pages of what is stored, and what comes live behind them.
import { get, type Problem, problemFrom, type Schemas } from "./api";
import type { LiveEvent } from "./events";
import { asked, passes, type Query } from "./history";
import { KEPT } from "./live.svelte";

type Page = Schemas["EventPage"];
const PAGE = 200;
/** So many events a list holds when older ones are asked for; a narrower range shows what lies before them. */
export const MOST = 10_000;

export class Finding {
  /** Oldest first. */
  events = $state.raw<LiveEvent[]>([]);
  cursor = $state<string | null>(null);
  lookedBackTo = $state<string | null>(null);
  index = $state.raw<Page["index"] | null>(null);
  bars = $state.raw<Schemas["EventHistogram"] | null>(null);
  problem = $state.raw<Problem | null>(null);
  loading = $state(false);
  private room = KEPT;
  private number = 0;
  private query: Query | null = null;
  private upTo = 0;

  /** Look for something else; of two searches under way the later one counts. */
  async search(query: Query): Promise<void> {
    const number = ++this.number;
    this.loading = true;
    const [page, bars] = await Promise.allSettled([
      get<Page>("events/search", { ...asked(query), limit: PAGE }),
      get<Schemas["EventHistogram"]>("events/histogram", asked(query)),
    ]);
    if (number !== this.number) return;
    this.loading = false;
    this.bars = bars.status === "fulfilled" ? bars.value : null;
    if (page.status === "rejected") {
      this.problem = problemFrom(page.reason);
      return;
    }
    this.query = query;
    this.room = KEPT;
    this.events = page.value.events.slice().reverse();
    this.upTo = this.events.at(-1)?.sequence ?? 0;
    this.index = page.value.index;
    this.take(page.value);
  }

  /** The page before the oldest one. */
  async older(): Promise<void> {
    if (!this.cursor || !this.query || this.loading || this.events.length >= MOST) return;
    const number = this.number;
    this.loading = true;
    try {
      const page = await get<Page>("events/search", { ...asked(this.query), limit: PAGE, cursor: this.cursor });
      if (number !== this.number) return;
      this.events = [...page.events.slice().reverse(), ...this.events];
      this.room = Math.max(KEPT, this.events.length);
      this.take(page);
    } catch (error) {
      if (number === this.number) this.problem = problemFrom(error);
    }
    if (number === this.number) this.loading = false;
  }

  /** Once more after a while, for the range goes on with the time: the bars alone, or all while the index is being made. */
  async again(): Promise<void> {
    const { number, query } = this;
    if (!query) return;
    if (this.index?.behind && this.events.length <= PAGE) return this.search(query);
    const bars = await get<Schemas["EventHistogram"]>("events/histogram", asked(query)).catch(() => this.bars);
    if (number === this.number) this.bars = bars;
  }

  /** What has come live. Only the newest stay here, and as many older ones as were asked for; the stream has the rest. */
  follow(live: readonly LiveEvent[]): void {
    const last = live.at(-1)?.sequence ?? 0;
    if (!this.query || !last || last === this.upTo) return;
    const query = this.query;
    if (last < this.upTo) {
      void this.search(query); // a new stream: its numbers begin again
      return;
    }
    const since = this.bars ? Date.parse(this.bars.begin) : 0;
    const fresh = live.filter(
      (one) => one.sequence > this.upTo && Date.parse(one.storedAt) >= since && passes(one, query),
    );
    this.upTo = last;
    if (!fresh.length) return;
    const all = [...this.events, ...fresh];
    this.events = all.slice(-this.room);
    if (all.length > this.room) this.cursor = String(this.events[0]!.sequence);
  }

  private take(page: Page): void {
    this.problem = null;
    this.cursor = page.cursor;
    this.lookedBackTo = page.lookedBackTo;
  }
}

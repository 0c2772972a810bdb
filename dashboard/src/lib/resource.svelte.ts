// Something that is loaded, and loaded again: it is loading, there, stale (there, but the last try failed) or failed.
import { type Problem, problemFrom } from "./api";

export class Resource<T> {
  value = $state.raw<T | undefined>();
  problem = $state.raw<Problem | null>(null);
  loading = $state(false);
  at = $state(0);
  private number = 0;

  constructor(private readonly load: () => Promise<T>) {}

  /** Load it (again). Of two loads under way the later one counts. */
  async refresh(): Promise<void> {
    const number = ++this.number;
    this.loading = true;
    try {
      const value = await this.load();
      if (number !== this.number) return;
      this.value = value;
      this.problem = null;
      this.at = Date.now();
    } catch (error) {
      if (number !== this.number) return;
      this.problem = problemFrom(error);
    }
    this.loading = false;
  }
}

/** For an effect: refresh in a moment, so that what changes together is asked for once, then again and again. */
export function refreshing(refresh: () => unknown, every: number): () => void {
  const soon = setTimeout(refresh, 150);
  const timer = setInterval(refresh, every);
  return () => {
    clearTimeout(soon);
    clearInterval(timer);
  };
}

// What happens now, over server-sent events; when these break, by asking every five seconds, and saying so.
import { address, get, type Schemas } from "./api";
import { type LiveEvent, merged } from "./events";
import { type Message, ServerSent } from "./server-sent";

export type Mode = "off" | "connecting" | "live" | "polling";
type State = Schemas["LiveState"];

export const KEPT = 2000;
const POLL_MS = 5000;
const SILENCE_MS = 25_000;

class Live {
  mode = $state<Mode>("off");
  state = $state.raw<State | null>(null);
  /** When the state was reported, in milliseconds since the Unix epoch. */
  stateAt = $state(0);
  /** Whether the last question was not answered: what stands here is of `stateAt`. */
  lost = $state(false);
  events = $state.raw<LiveEvent[]>([]);
  /** Events that came faster than this page could take them. */
  skipped = $state(0);
  /** Goes up whenever something changed that lists show: they load again. */
  pulse = $state(0);
  private source: ServerSent | null = null;
  private watchdog: ReturnType<typeof setTimeout> | undefined;
  private poller: ReturnType<typeof setTimeout> | undefined;
  private seen = "";

  /** Begin, or begin again. */
  start(): void {
    this.stop();
    this.mode = "connecting";
    this.connect();
  }

  /** End: nobody is signed in any more. */
  stop(): void {
    clearTimeout(this.watchdog);
    clearTimeout(this.poller);
    this.source?.close();
    this.source = null;
    this.mode = "off";
  }

  private get last(): number {
    return this.events.at(-1)?.sequence ?? 0;
  }

  private connect(): void {
    const alive = () => {
      clearTimeout(this.watchdog);
      this.watchdog = setTimeout(() => this.broke(source), SILENCE_MS);
    };
    const source: ServerSent = new ServerSent(
      address("live", { after: this.last || "" }),
      (message) => this.hear(message),
      alive,
      () => this.broke(source),
    );
    this.source = source;
    alive();
  }

  private hear({ kind, data }: Message): void {
    if (kind === "events") this.take(JSON.parse(data) as { events: LiveEvent[]; skipped: number });
    else if (kind === "signed-out") void this.poll();
    else if (kind === "state") {
      if (this.mode === "polling") this.pulse += 1;
      this.mode = "live";
      clearTimeout(this.poller);
      this.tell(JSON.parse(data) as State);
    }
  }

  private broke(source: ServerSent): void {
    if (this.source !== source) return;
    source.close();
    this.source = null;
    clearTimeout(this.watchdog);
    if (this.mode === "polling") return; // the poller goes on, and tries the stream again
    this.mode = "polling";
    void this.poll();
  }

  /** Ask once, then again and again until the stream is back. */
  private async poll(): Promise<void> {
    try {
      const found = await get<Schemas["Recent"]>("live/recent", { after: this.last || "" });
      if (this.mode === "off") return;
      this.take({ events: found.events, skipped: 0 });
      this.tell(found.state);
      this.pulse += 1;
    } catch {
      this.lost = true; // the page shows how old its state is; a sign-out ends it (api.ts)
    }
    if (this.mode !== "polling") return;
    if (!this.source) this.connect();
    this.poller = setTimeout(() => void this.poll(), POLL_MS);
  }

  private take(group: { events: LiveEvent[]; skipped: number }): void {
    if (group.skipped) this.skipped += group.skipped;
    if (group.events.length === 0) return;
    const newest = group.events.at(-1)?.sequence ?? 0;
    if (newest < this.last && group.events.length > 0) this.events = []; // a new stream: its numbers begin again
    this.events = merged(this.events, group.events, KEPT);
  }

  private tell(state: State): void {
    this.state = state;
    this.stateAt = Date.now();
    this.lost = false;
    const { delivery, schedules } = state.health;
    const seen = JSON.stringify([
      delivery?.counts,
      delivery?.routes,
      delivery?.pauses,
      delivery?.approvals,
      schedules?.jobs,
      schedules?.timers,
      state.health.status,
    ]);
    if (seen !== this.seen) this.pulse += 1;
    this.seen = seen;
  }
}

export const live = new Live();

class Clock {
  now = $state(Date.now());
  constructor() {
    setInterval(() => {
      this.now = Date.now();
    }, 1000);
  }
}

export const time = new Clock();

const STALE_MS = 15_000;

/** Whether what is known is too old to be shown as it is: the sidecar does not answer, or has said nothing for a while. */
export function stale(): boolean {
  return live.mode !== "off" && live.stateAt > 0 && (live.lost || time.now - live.stateAt > STALE_MS);
}

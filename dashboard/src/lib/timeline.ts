// A run as bars on a line of time: the model's calls, the tools, the subagents, and the run itself.
import { attribute, failed, type LiveEvent } from "./events";

export type Bar = {
  kind: "run" | "model" | "tool" | "subagent" | "moment";
  label: string;
  begin: number;
  end: number;
  failed: boolean;
  /** Whether the end is known; an open bar goes on to the last thing that is known of the run. */
  open: boolean;
  sequence: number;
};
export type Timeline = { begin: number; end: number; bars: Bar[] };

type Data = Record<string, unknown>;

const timeOf = (event: LiveEvent): number => {
  const stated = Date.parse(attribute(event, "time"));
  return Number.isNaN(stated) ? Date.parse(event.storedAt) : stated;
};
const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** The bars of a run, by when they begin. Durations come from the events; a bar ends when its event was reported. */
export function timeline(events: readonly LiveEvent[]): Timeline {
  const bars: Bar[] = [];
  const subagents = new Map<string, Bar>();
  for (const event of events) {
    const data = (event.event.data ?? {}) as Data;
    const subject = attribute(event, "subject").replace(/^agent\.events\./, "");
    const end = timeOf(event);
    const lasted = typeof data.durationMs === "number" && data.durationMs >= 0 ? data.durationMs : 0;
    const bar = (kind: Bar["kind"], label: string): Bar => {
      const made = {
        kind,
        label,
        begin: end - lasted,
        end,
        failed: failed(event),
        open: false,
        sequence: event.sequence,
      };
      bars.push(made);
      return made;
    };
    if (subject.startsWith("tool.")) bar("tool", text(data.tool) || subject.split(".")[1] || "tool");
    else if (subject.startsWith("model.call.")) bar("model", text(data.model) || "model");
    else if (subject === "agent.run_ended") bar("run", "run");
    else if (subject.startsWith("subagent.")) subagent(subject, data, event, end, subagents, bar);
    else if (subject !== "llm.output") bar("moment", subject);
  }
  const begin = Math.min(...bars.map((one) => one.begin));
  const end = Math.max(...bars.map((one) => one.end));
  for (const one of bars) if (one.open) one.end = end;
  bars.sort((a, b) => a.begin - b.begin || b.end - a.end);
  return bars.length ? { begin, end: Math.max(end, begin + 1), bars } : { begin: 0, end: 1, bars };
}

function subagent(
  subject: string,
  data: Data,
  event: LiveEvent,
  at: number,
  known: Map<string, Bar>,
  bar: (kind: Bar["kind"], label: string) => Bar,
): void {
  const child = text(data.childSessionKey) || attribute(event, "runid");
  const found = known.get(child);
  if (!found) {
    const made = bar("subagent", text(data.label) || child || "subagent");
    made.open = subject !== "subagent.ended";
    known.set(child, made);
    return;
  }
  found.end = Math.max(found.end, at);
  if (subject === "subagent.ended") {
    found.open = false;
    found.failed ||= failed(event);
  }
}

/** Where a bar lies, in percent of the whole: [left, width]; a moment is as narrow as can be seen. */
export function place(bar: Bar, whole: Timeline): [left: number, width: number] {
  const span = whole.end - whole.begin;
  const left = ((bar.begin - whole.begin) / span) * 100;
  return [Math.min(left, 99.5), Math.max(((bar.end - bar.begin) / span) * 100, 0.5)];
}

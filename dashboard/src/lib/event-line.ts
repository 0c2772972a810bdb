// An event on one line: of each kind what matters, as `openclaw-nats events` has it (tests/support/event-line-cases.json holds both).
// Publishers wrote all of it: no field need be there, or be of the type that the plugin gives it.
import { attribute, failed, type LiveEvent } from "./events";
import { clock, took } from "./time";
import { visible } from "./visible";

type Data = Record<string, unknown>;
type Describe = (data: Data, bad: boolean, subject: string) => string;
const ARGUMENTS = ["command", "cmd", "path", "file_path", "filePath", "url", "query", "pattern", "message", "name"];
const VALUE = 60;
const WHOLE = 200;

/** What a row says besides the subject. */
export function summary(event: LiveEvent): string {
  const data = event.event.data;
  const subject = attribute(event, "subject");
  const fields = object(data);
  const bad = failed(event);
  const describe = fields === data ? KINDS.get(subject.split(".")[2] ?? "") : undefined;
  const text = describe?.(fields, bad, subject) || ticked(fields) || allFields(data);
  const ended = fields.success === true || subject.endsWith(".completed");
  return visible(`${bad ? "✗ " : ended ? "✓ " : ""}${text}`.slice(0, WHOLE));
}

const ended: Describe = (data, bad) => {
  const what = text(data.error || data.status || data.stopReason);
  return joined(text(data.model), bad || !data.model ? what : "", lasted(data));
};

const session: Describe = (data) =>
  joined(text(data.reason), isNumber(data.tokenCount) ? `${short(data.tokenCount)} tokens` : "");

// A Map: a subject's word may be any, such as `constructor`.
const KINDS = new Map<string, Describe>([
  [
    "tool",
    (data, bad) => {
      const given = object(data.params);
      const name = ARGUMENTS.find((one) => given[one]);
      const argument = name ? `"${text(given[name])}"` : Object.keys(given).length ? text(given) : "";
      const why = bad ? text(data.error).replace("exit code ", "exit ") : "";
      return joined(spaced(text(data.tool), why, argument), lasted(data));
    },
  ],
  [
    "llm",
    (data, bad) => {
      const usage = object(data.usage);
      const tokens = Object.keys(usage).length ? `${short(usage.input)} → ${short(usage.output)} tokens` : "";
      const money = isNumber(data.cost) && data.cost ? `$${data.cost.toFixed(3)}` : "";
      const why = bad ? text(data.error || data.stopReason) : "";
      return joined(spaced(text(data.model), tokens), money, lasted(data), why);
    },
  ],
  ["model", ended],
  ["agent", ended],
  [
    "message",
    (data, _bad, subject) => {
      const sent = subject.endsWith("sent");
      const channel = text(data.channel);
      const who = text(sent ? data.to : data.senderName || data.from || data.senderId);
      const bare = channel && who.startsWith(`${channel}:`) ? who.slice(channel.length + 1) : who;
      const size = isNumber(data.characters) ? `${data.characters} characters` : "";
      const content = data.content ? `"${text(data.content)}"` : size;
      return joined(`${channel} ${sent ? "to" : "from"} ${bare}`.trim(), content, text(data.error));
    },
  ],
  ["session", session],
  ["context", session],
  [
    "subagent",
    (data) => joined(text(data.label || data.childSessionKey), text(data.outcome || data.phase), text(data.error)),
  ],
  ["cron", (data) => ("jobId" in data ? joined(text(data.name || data.jobId), text(data.error || data.status)) : "")],
]);

/** A cron job's or timer's event: which, and for when. */
function ticked(data: Data): string {
  for (const [field, word] of [
    ["_cron", "job"],
    ["_timer", "timer"],
  ] as const) {
    const note = object(data[field]);
    if (note !== data[field]) continue;
    const at = Date.parse(text(note.scheduledFor));
    const due = Number.isNaN(at) ? "" : `, ${clock(at).slice(0, 5)}`;
    const rest = Object.fromEntries(Object.entries(data).filter(([name]) => !name.startsWith("_")));
    return joined(
      `${word} ${text(note.jobName || note.name)}${due}`,
      note.skipped === true ? "skipped" : "",
      allFields(rest),
    );
  }
  return "";
}

function allFields(data: unknown): string {
  if (object(data) !== data) return data === undefined || data === null ? "" : text(data, WHOLE);
  return Object.entries(data as Data)
    .filter(([, value]) => !isEmpty(value))
    .map(([name, value]) => `${text(name)}=${text(value)}`)
    .join(" ");
}

const isEmpty = (value: unknown): boolean =>
  value === null || value === "" || (typeof value === "object" && Object.keys(value).length === 0);
const joined = (...parts: string[]): string => parts.filter(Boolean).join(" · ");
const spaced = (...parts: string[]): string => parts.filter(Boolean).join(" ");
/** The value itself when it is an object, else an empty one. */
const object = (value: unknown): Data =>
  value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Data) : {};
const isNumber = (value: unknown): value is number => typeof value === "number" && Math.abs(value) < 1e15;
const lasted = (data: Data): string => (isNumber(data.durationMs) && data.durationMs >= 0 ? took(data.durationMs) : "");

function text(value: unknown, limit = VALUE): string {
  if (value === null || value === undefined) return "";
  const found = (typeof value === "string" ? value : JSON.stringify(value)).slice(0, limit * 8);
  const characters = [...found.split(/\s+/).filter(Boolean).join(" ")];
  return characters.length > limit ? `${characters.slice(0, limit - 1).join("")}…` : characters.join("");
}

function short(value: unknown): string {
  if (!isNumber(value)) return "?";
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  return value >= 1000 ? `${(value / 1000).toFixed(1)}k` : String(Math.round(value));
}

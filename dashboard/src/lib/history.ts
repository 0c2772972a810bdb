// What is looked for in the stream: read from the address and written into it, asked of the sidecar, compared with what comes live.
import { attribute, failed, type LiveEvent, vouches } from "./events";
import { matches } from "./subjects";

export const FIELDS = ["subject", "kind", "agent", "session", "run", "origin", "text"] as const;
export type Field = (typeof FIELDS)[number];
export type Query = Record<Field, string> & {
  failed: boolean;
  probes: boolean;
  /** One of RANGES; empty when `since` and `until` say it. */
  range: string;
  since: string;
  until: string;
};

export const RANGES: [value: string, words: string][] = [
  ["15m", "15 minutes"],
  ["1h", "Last hour"],
  ["24h", "24 hours"],
  ["7d", "7 days"],
  ["30d", "30 days"],
  ["all", "Everything"],
];
export const DEFAULT_RANGE = "24h";
const PROBE = "agent.events.plugin.probe";
const SEARCHED = 8192;
const NOT_SEARCHED = new Set("specversion type time datacontenttype dataschema data_base64 traceparent".split(" "));
const TERM = /"([^"]*)"?|([^\s"]+)/g;

/** The query of an address. What it does not know is left out. */
export function parseQuery(params: URLSearchParams): Query {
  const given = (name: string) => (params.get(name) ?? "").trim();
  const since = moment(given("from"));
  const until = moment(given("to"));
  const range = given("range");
  return {
    ...(Object.fromEntries(FIELDS.map((name) => [name, given(name)])) as Record<Field, string>),
    text: params.get("text") ?? "", // as it is: it is being written, and a space at its end is the next word's
    failed: given("failed") === "true",
    probes: given("probes") === "true",
    range: since || until ? "" : RANGES.some(([value]) => value === range) ? range : DEFAULT_RANGE,
    since,
    until,
  };
}

/** The address of a query, with nothing in it that goes without saying. */
export function addressOf(query: Query): string {
  const params = new URLSearchParams();
  for (const name of FIELDS) if (query[name]) params.set(name, query[name]);
  if (query.failed) params.set("failed", "true");
  if (query.probes) params.set("probes", "true");
  if (query.since) params.set("from", query.since);
  if (query.until) params.set("to", query.until);
  if (query.range && query.range !== DEFAULT_RANGE) params.set("range", query.range);
  const text = params.toString();
  return `#/events${text ? `?${text}` : ""}`;
}

/** The same as the API takes it. */
export function asked(query: Query): Record<string, string> {
  const { range, failed: bad, probes, since, until, ...fields } = query;
  const found: Record<string, string> = { ...fields, subject: fullSubject(query.subject), since, until };
  if (range && range !== "all") found.since = range;
  if (bad) found.failed = "true";
  if (probes) found.probes = "true";
  return found;
}

/** A pattern as it was typed, with the prefix that may be left out. */
export function fullSubject(typed: string): string {
  return !typed || typed.startsWith("agent.events.") ? typed : `agent.events.${typed}`;
}

/** Whether an event that has just come is one of those; the sidecar decides the same of those that are stored. */
export function passes(event: LiveEvent, query: Query): boolean {
  const subject = attribute(event, "subject");
  const own = (name: string) => (vouches(event.origin) ? attribute(event, name) : "");
  if (query.until && Date.parse(event.storedAt) > Date.parse(query.until)) return false;
  if (subject === PROBE && !query.probes && fullSubject(query.subject) !== PROBE) return false;
  return (
    (!query.subject || matches(fullSubject(query.subject), subject)) &&
    (!query.kind || subject.split(".")[2] === query.kind) &&
    (!query.agent || own("agentid") === query.agent) &&
    (!query.session || own("sessionkey") === query.session) &&
    (!query.run || own("runid") === query.run) &&
    (!query.origin || event.origin === query.origin) &&
    (!query.failed || failed(event)) &&
    terms(query.text).every((term) => textOf(event).includes(term))
  );
}

/** Whether events may still come: the range has no end, or one that is not there yet. */
export const goesOn = (query: Query, now: number): boolean => !query.until || Date.parse(query.until) > now;

/** The words and quoted phrases of a text, in lower case. */
export function terms(text: string): string[] {
  return [...text.matchAll(TERM)].map((one) => folded(one[1] ?? one[2] ?? "")).filter(Boolean);
}

const folded = (text: string): string =>
  text.normalize("NFC").toLowerCase().replace(/ß/g, "ss").replace(/\0/g, " ").replace(/\s+/g, " ").trim();
const texts = new WeakMap<LiveEvent, string>();

/** Names and values of an event, as the sidecar searches them (events/searchable.py). */
function textOf(event: LiveEvent): string {
  let text = texts.get(event);
  if (text === undefined) {
    const own = Object.entries(event.event).filter(([name]) => name !== "data" && !NOT_SEARCHED.has(name));
    text = folded([...own.map(([, value]) => String(value)), ...words(event.event.data)].join(" ").slice(0, SEARCHED));
    texts.set(event, text);
  }
  return text;
}

/** Names and values of data, in order; without recursion, for it may be nested as deep as its publisher liked. */
function words(data: unknown): string[] {
  const found: string[] = [];
  const waiting = [data];
  for (let size = 0; waiting.length && size < SEARCHED;) {
    const value = waiting.pop();
    if (Array.isArray(value)) waiting.push(...value.slice(0, 2000).reverse());
    else if (value !== null && typeof value === "object")
      waiting.push(
        ...Object.entries(value)
          .reverse()
          .flatMap(([name, one]) => [one, name]),
      );
    else if (value !== null && value !== undefined) {
      found.push(String(value));
      size += String(value).length + 1;
    }
  }
  return found;
}

/** A moment of an address as RFC 3339; empty when it is none. */
function moment(text: string): string {
  const at = Date.parse(text);
  return Number.isNaN(at) ? "" : new Date(at).toISOString();
}

/** A moment as the browser's picker has it, in the zone here, to the second; and back. */
export function forPicker(text: string): string {
  const at = Date.parse(text);
  if (Number.isNaN(at)) return "";
  return new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
export const fromPicker = (text: string): string => moment(text);

export type View = { name: string; address: string };
const VIEWS = "openclaw-nats-views";

/** The views that this browser keeps. */
export function savedViews(): View[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(VIEWS) ?? "[]");
    if (!Array.isArray(found)) return [];
    return found.filter((one) => typeof one?.name === "string" && String(one?.address).startsWith("#/events"));
  } catch {
    return [];
  }
}

/** Keep a view, in place of the one of that name; without an address it goes. The views that there are then. */
export function keepView(name: string, address: string): View[] {
  const others = savedViews().filter((one) => one.name !== name);
  const views = address ? [...others, { name, address }].slice(-50) : others;
  try {
    localStorage.setItem(VIEWS, JSON.stringify(views));
  } catch {
    // a browser that keeps nothing: the view lasts as long as the page
  }
  return views;
}

// Words of CEL that are no names of fields there.
const RESERVED = new Set(
  "as break const continue else false for function if import in let loop namespace null package return true var void while".split(
    " ",
  ),
);

/** A route as a start, made of an event: its subject, and a condition of its first two plain fields.
 *
 * A text with a digit is likely to be another one in the next event (a time, a number, an id), and so is no condition. */
export function routeOf(event: Record<string, unknown>): { name: string; pattern: string; when: string } {
  const pattern = typeof event.subject === "string" ? event.subject : "";
  const data = event.data;
  const fields = data !== null && typeof data === "object" && !Array.isArray(data) ? Object.entries(data) : [];
  const when = fields
    .filter(
      ([name, value]) =>
        /^[A-Za-z][A-Za-z0-9_]*$/.test(name) &&
        !RESERVED.has(name) &&
        (typeof value === "boolean" || (typeof value === "string" && /^[^\p{Nd}\p{C}]{1,40}$/u.test(value))),
    )
    .slice(0, 2)
    .map(([name, value]) => `data.${name} == ${typeof value === "string" ? celText(value) : String(value)}`)
    .join(" && ");
  return { name: pattern.split(".").slice(-2).join(" "), pattern, when };
}

const celText = (text: string): string => `'${text.replace(/[\\']/g, "\\$&")}'`;

/** A command for a shell that publishes the same data again. */
export function asCurl(event: Record<string, unknown>, sidecar: string): string {
  const body = JSON.stringify({ subject: event.subject, payload: event.data ?? null });
  const quoted = (text: string) => `'${text.replace(/'/g, `'\\''`)}'`;
  return `curl ${quoted(`${sidecar}/api/publish`)} -H "Authorization: Bearer $(cat ~/.openclaw/nats/api-key)" -H 'Content-Type: application/json' -d ${quoted(body)}`;
}

// Only the Gateway and the bus speak on these (events/subjects.py): an operator's copy there would be taken for theirs.
const GATEWAY_KINDS = new Set(
  "agent approval bus context cron dlq expectation gateway llm message model pairing plugin session skill spool subagent timer tool".split(
    " ",
  ),
);

/** Why an event can't be published again; empty when it can. */
export function notAgain(event: Record<string, unknown>): string {
  const kind = String(event.subject ?? "").split(".")[2] ?? "";
  if (GATEWAY_KINDS.has(kind))
    return "What the Gateway reports is not published again: it would be taken for its word.";
  if ("data_base64" in event) return "It holds octets: publish the file instead.";
  return isExact(event.data) ? "" : "It holds a number that a browser can't keep exactly.";
}

/** Whether every number of it is still the one that was published. */
function isExact(data: unknown): boolean {
  let exact = true;
  JSON.stringify(data, (_, value: unknown) => {
    if (typeof value === "number") exact &&= Number.isSafeInteger(value) || (Number.isFinite(value) && value % 1 !== 0);
    return value;
  });
  return exact;
}

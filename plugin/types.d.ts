// Shapes that several files of the plugin share. Types alone: at run time nothing of this exists.

/** What OpenClaw hands to hooks. It differs between versions, so nothing may be relied on. */
export type Loose = Record<string, any>;

/** Whose an event is, as far as a hook knows. */
export interface Facts {
  agentId?: string;
  sessionKey?: string;
  sessionId?: string;
  runId?: string;
  trace?: Loose; // the Gateway's own: {traceId, spanId, traceFlags}
  trigger?: string;
  startedAt?: number; // ms
  ended?: boolean;
}

/** What a hook's row makes: `content` is called only when the capture setting wants it. */
export interface Made extends Facts {
  subject: string; // without `agent.events.`
  type?: string; // where it is not the subject
  data: Loose;
  content?: () => Loose;
  child?: Child;
  childEnded?: string; // the run of a subagent whose result was handed over
}

export type Recorded = Made | Made[] | undefined;

/** One run that another has spawned. */
export interface Child {
  parentRun?: string;
  parentSession?: string;
  childRun?: string;
  childSession?: string;
}

/** The delivery that an event goes back to. */
export interface Cause {
  dispatch: string;
  hops: number;
  traceparent?: string;
  run?: string;
  policy?: Policy;
}

/** What a dispatch's run may do: what the route lets through, and what becomes of the rest. */
export interface Policy {
  tools: string | string[];
  guard: "ask" | "block" | "off";
  tainted: boolean; // whether something from outside has led to it
  route: string;
  dispatch: string;
  grant?: Grant; // what the operator has approved, for the dispatch's own session alone
}

/** One call that the operator has approved. */
export interface Grant {
  key: string;
  tool: string;
  digest: string;
  session: string;
  until: number; // ms
}

/** The same, for a session: until when (ms), and whether runs that nobody ordered count. */
export interface SessionCause extends Cause {
  until: number;
  everyRun: boolean;
}

/** A line of the channel: what the sidecar wants. */
export interface Order extends Cause {
  op: "run" | "wake" | "cause" | "report" | "probe" | "answer";
  key: string;
  sessionKey: string;
  agentId?: string;
  session: string; // of a `cause`
  seconds: number; // of a `cause`
  unseen?: boolean; // of a `cause`: nobody waits for its run's end
  id?: string; // of a `probe`
  approval?: string; // of an `answer`: the approval's key
  decision?: "allow-once" | "allow-always" | "deny"; // of an `answer`
  by?: string; // of an `answer`: who gave it
  events: number;
  text: string;
  trusted: boolean;
  instruction?: string; // what stands after the text, outside the cage
}

/** What became of an order. */
export interface RunResult {
  status: "running" | "ok" | "error" | "timeout" | "refused" | "accepted" | "queued" | "late";
  runId?: string;
  reply?: string;
  error?: string;
  uptime?: number; // of a refusal: how long this Gateway's process has run, in seconds
}

/** `plugin.json`, which the sidecar writes. */
export interface Settings {
  sidecarUrl: string;
  socket: boolean;
  gatewayId: string;
  capture: { default: string; rules: { subjects: string; mode: string }[] };
  filter: { allow: string[]; block: string[] };
  spoolMaxBytes: number;
  problem: string; // why it could not be read
}

/** How a request to the sidecar went wrong (sidecar.js), and what to do about it (uploader.js). */
export interface Failure extends Error {
  code?: string;
  definite?: boolean; // nothing was sent, or nothing was taken
  chokes?: boolean; // the sidecar took it and kept silent, or failed on it
  unproven?: boolean; // something else may have the sidecar's port
  tooMuch?: boolean; // 413
  retryAfterMs?: number;
}

/** What the sidecar answers. */
export interface Answer {
  status: number;
  body: string;
  retryAfter: number; // s
}

/** Lines of one segment that go out together. */
export interface Batch {
  segment: import("./segment.js").Segment;
  lines: string[];
  bytes: number;
}

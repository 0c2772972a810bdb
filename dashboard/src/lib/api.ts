// The sidecar's API, as the dashboard's own address serves it: every path is relative to the page.
import type { components } from "./openapi";
import { pageHeaders } from "./page-token";

export type Schemas = components["schemas"];
export type Problem = { status: number; name: string; message: string; hint: string };

/** What went wrong with a request, in the operator's words. */
export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.message);
  }
}

const SECONDS = 20;
let onSignedOut: () => void = () => {};

/** Call `listener` whenever the sidecar says that nobody is signed in. */
export function whenSignedOut(listener: () => void): void {
  onSignedOut = listener;
}

/** One request; throws ApiError. `query` leaves out what is empty. */
export async function call<T>(
  method: string,
  path: string,
  options: { query?: Record<string, unknown>; body?: unknown } = {},
): Promise<T> {
  let response: Response;
  try {
    response = await fetch(address(path, options.query), {
      method,
      headers: { ...pageHeaders(), ...(options.body === undefined ? {} : { "content-type": "application/json" }) },
      body: options.body === undefined ? null : JSON.stringify(options.body),
      signal: AbortSignal.timeout(SECONDS * 1000),
      cache: "no-store",
    });
  } catch {
    throw new ApiError({
      status: 0,
      name: "unreachable",
      message: "The sidecar does not answer.",
      hint: "`openclaw-nats status` shows whether it runs.",
    });
  }
  if (!response.ok) throw new ApiError(await problemOf(response));
  if (response.status === 204) return undefined as T;
  try {
    return (await response.json()) as T;
  } catch {
    throw new ApiError({ status: 502, name: "broken", message: "The answer was cut off.", hint: "Try it again." });
  }
}

export const get = <T>(path: string, query?: Record<string, unknown>) => call<T>("GET", path, query ? { query } : {});
export const post = <T>(path: string, body: unknown = {}) => call<T>("POST", path, { body });

/** A path below the page's `api/`, with its query. */
export function address(path: string, query: Record<string, unknown> = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "" && value !== null);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `api/${path}${text ? `?${text}` : ""}`;
}

async function problemOf(response: Response): Promise<Problem> {
  let found: { type?: string; detail?: string; title?: string; hint?: string } = {};
  try {
    found = (await response.json()) as typeof found;
  } catch {
    // not ours: the Gateway, or a proxy on the way
  }
  const name = found.type?.split(":").pop() ?? "unknown";
  if (name === "signed-out") onSignedOut();
  return {
    status: response.status,
    name,
    message: found.detail ?? `The request was answered with ${response.status}.`,
    hint: found.hint ?? (name === "unknown" ? "Something between this page and the sidecar refused it." : ""),
  };
}

/** Any error as a problem. */
export function problemFrom(error: unknown): Problem {
  if (error instanceof ApiError) return error.problem;
  return { status: 0, name: "bug", message: String(error), hint: "This is a fault of the dashboard: reload it." };
}

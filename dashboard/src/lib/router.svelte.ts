// Where the operator is: the part of the address behind #, so that the same page works below any path.

export type Place = { page: string; rest: string[]; query: URLSearchParams };

/** Read `#/page/part/part?query`. */
export function parse(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(decode);
  return { page: parts[0] ?? "overview", rest: parts.slice(1), query: new URLSearchParams(query) };
}

/** The address of a place. */
export function href(page: string, ...rest: (string | number)[]): string {
  return `#/${[page, ...rest].map((part) => encodeURIComponent(String(part))).join("/")}`;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

class Router {
  place = $state.raw<Place>(parse(location.hash));

  constructor() {
    addEventListener("hashchange", () => {
      this.place = parse(location.hash);
    });
  }

  /** Go somewhere; with `replace` the present place is forgotten, so that Back does not lead there. */
  go(to: string, replace = false): void {
    if (replace) {
      history.replaceState(null, "", to);
      this.place = parse(to);
    } else {
      location.hash = to.replace(/^#/, "");
    }
  }
}

export const router = new Router();

// The page's half of a session. Browsers send the cookie to every port of this host; what a page keeps, pages of other
// ports can't read. It is sent as a header, by this page alone.
const name = () => `openclaw-nats-page:${location.pathname}`;
let token: string | undefined;

/** What every request has to carry. */
export function pageHeaders(): Record<string, string> {
  token ??= kept();
  return token ? { "x-openclaw-nats-page": token } : {};
}

/** Keep a new one, or none any more. */
export function keepPageToken(wanted: string): void {
  token = wanted;
  try {
    if (wanted) localStorage.setItem(name(), wanted);
    else localStorage.removeItem(name());
  } catch {
    // a browser that keeps nothing: it lasts as long as the page
  }
}

function kept(): string {
  try {
    return localStorage.getItem(name()) ?? "";
  } catch {
    return "";
  }
}

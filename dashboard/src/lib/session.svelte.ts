// Who is signed in, and by which theme they read.
import { call, get, type Problem, post, problemFrom, type Schemas, whenSignedOut } from "./api";
import { live } from "./live.svelte";
import { keepPageToken } from "./page-token";

type Signed = "asking" | "in" | "out" | "unreachable";

class Session {
  signed = $state<Signed>("asking");
  session = $state.raw<Schemas["Session"] | null>(null);
  problem = $state.raw<Problem | null>(null);

  constructor() {
    whenSignedOut(() => this.out());
  }

  /** Ask whether this browser is signed in. */
  async ask(): Promise<void> {
    try {
      this.in(await get<Schemas["Session"]>("session"));
    } catch (error) {
      const problem = problemFrom(error);
      if (problem.name === "signed-out") this.out();
      else {
        this.problem = problem;
        this.signed = "unreachable";
      }
    }
  }

  /** Redeem a one-time code. */
  async redeem(code: string): Promise<void> {
    this.problem = null;
    try {
      const session = await post<Schemas["SignedIn"]>("session", { code });
      keepPageToken(session.pageToken);
      this.in(session);
    } catch (error) {
      const problem = problemFrom(error);
      await this.ask(); // somebody who is signed in already may click an old link
      if (this.signed !== "in") this.problem = problem;
    }
  }

  async signOut(): Promise<void> {
    await call("DELETE", "session");
    keepPageToken("");
    this.out();
  }

  private in(session: Schemas["Session"]): void {
    this.session = session;
    this.signed = "in";
    live.start();
  }

  private out(): void {
    this.signed = "out";
    this.session = null;
    live.stop();
    live.events = [];
    live.state = null;
  }
}

export const session = new Session();

export type Theme = "system" | "light" | "dark";

class Look {
  theme = $state<Theme>(stored());

  constructor() {
    this.apply();
  }

  use(theme: Theme): void {
    this.theme = theme;
    try {
      localStorage.setItem("openclaw-nats-theme", theme);
    } catch {
      // a browser that keeps nothing: the choice lasts as long as the page
    }
    this.apply();
  }

  private apply(): void {
    if (this.theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.theme;
  }
}

function stored(): Theme {
  try {
    const found = localStorage.getItem("openclaw-nats-theme");
    return found === "light" || found === "dark" ? found : "system";
  } catch {
    return "system";
  }
}

export const look = new Look();

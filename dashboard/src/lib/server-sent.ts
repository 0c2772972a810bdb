// Server-sent events over fetch: unlike EventSource it can send the page's token.
import { pageHeaders } from "./page-token";

export type Message = { kind: string; data: string };

/** Follows one address until it is closed or breaks; `onBreak` comes once, unless it was closed. */
export class ServerSent {
  private readonly stopper = new AbortController();

  constructor(
    address: string,
    private readonly onMessage: (message: Message) => void,
    private readonly onSign: () => void,
    private readonly onBreak: () => void,
  ) {
    void this.follow(address);
  }

  close(): void {
    this.stopper.abort();
  }

  private async follow(address: string): Promise<void> {
    try {
      const headers = { accept: "text/event-stream", ...pageHeaders() };
      const response = await fetch(address, { headers, signal: this.stopper.signal, cache: "no-store" });
      if (!response.ok || !response.body) throw new Error(String(response.status));
      const parser = new Parser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (this.stopper.signal.aborted) return;
        this.onSign();
        for (const message of parser.take(value)) this.onMessage(message);
      }
    } catch {
      // whatever broke it: who listens asks in another way
    }
    if (!this.stopper.signal.aborted) this.onBreak();
  }
}

/** Puts messages together from pieces of the stream, as far as the sidecar uses the format. */
export class Parser {
  private rest = "";

  take(piece: string): Message[] {
    const blocks = (this.rest + piece).split("\n\n");
    this.rest = blocks.pop() ?? "";
    const found: Message[] = [];
    for (const block of blocks) {
      const message: Message = { kind: "message", data: "" };
      for (const line of block.split("\n")) {
        if (line.startsWith("event: ")) message.kind = line.slice(7);
        else if (line.startsWith("data: ")) message.data = line.slice(6);
      }
      if (message.data) found.push(message);
    }
    return found;
  }
}

// The way to the sidecar. Its Unix socket lies in the state directory, where only this user can put one; without it (another
// system, a sidecar of an older version, a path that is too long) its address is the way. Both are proven (peer-proof.js).
/** @import { Settings } from "./types.js" */
import fs from "node:fs";
import path from "node:path";

const AVOID_MS = 10_000;

export class Way {
  /** @param {string} home the state directory @param {() => Pick<Settings, "sidecarUrl" | "socket">} settings */
  constructor(home, settings, now = Date.now) {
    this.path = path.join(home, "run", "sidecar.sock");
    this.settings = settings;
    this.now = now;
    this.avoidedAt = -Infinity;
  }

  /** Whether the sidecar of this state directory is the one that is meant. */
  get isHere() {
    return this.settings().socket === true;
  }

  /** Whether the address speaks TLS. */
  get tls() {
    return URL.parse(String(this.settings().sidecarUrl))?.protocol === "https:";
  }

  /** The socket's path; empty when there is none that is ours, or nothing answered there a moment ago. */
  local() {
    const since = this.now() - this.avoidedAt;
    if (!this.isHere || (since >= 0 && since < AVOID_MS)) return "";
    try {
      const found = fs.lstatSync(this.path);
      return found.isSocket() && found.uid === (process.getuid?.() ?? found.uid) ? this.path : "";
    } catch {
      return "";
    }
  }

  /**
   * Whether who listens at the address says by a certificate who it is. The sidecar of this state directory proves itself
   * instead, also by TLS: its certificate may be for other names than that of this machine.
   */
  get byCertificate() {
    return this.tls && !this.isHere;
  }

  /** Nothing answers at the socket: the sidecar is away, or of an older version. */
  failed() {
    this.avoidedAt = this.now();
  }
}

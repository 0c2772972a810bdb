// What the operator has approved is let through once, whatever is killed: a file is made for it that nothing else may
// make again, and is on disk before the call runs. A Gateway that dies between the two leaves the file: the call did not
// run, or ran once, and never runs by this approval again.
import fs from "node:fs";
import path from "node:path";

const KEY = /^[0-9a-z-]{8,64}$/i;
const KEPT_MS = 90 * 86_400_000; // far longer than any approval may be used
const LATELY_MS = 86_400_000;

export class Grants {
  /** @param {string} dir where the files are */
  constructor(dir, now = Date.now) {
    this.dir = dir;
    this.now = now;
  }

  /**
   * Use an approval up: true for the first who asks, false for everybody after. Throws when that can't be written down.
   * @param {string} key
   */
  claim(key) {
    if (!KEY.test(key)) throw new Error("an approval's key is not one of ours");
    if (fs.mkdirSync(this.dir, { recursive: true, mode: 0o700 })) sync(path.dirname(this.dir));
    let file;
    try {
      file = fs.openSync(path.join(this.dir, key), "wx", 0o600);
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
      throw error;
    }
    try {
      fs.writeSync(file, `${new Date(this.now()).toISOString()}\n`);
      fs.fsyncSync(file);
    } finally {
      fs.closeSync(file);
    }
    sync(this.dir);
    return true;
  }

  /** The keys that were claimed lately, for the start: the last process may have died before it reported them. */
  lately() {
    return this.#files().filter(({ at }) => at > this.now() - LATELY_MS);
  }

  /** Forget claims that no approval can ask for any more. */
  tidy() {
    for (const { key, at } of this.#files())
      if (at < this.now() - KEPT_MS) fs.rmSync(path.join(this.dir, key), { force: true });
  }

  /** @returns {{key: string, at: number}[]} */
  #files() {
    if (!fs.existsSync(this.dir)) return [];
    return fs
      .readdirSync(this.dir)
      .filter((name) => KEY.test(name))
      .map((key) => ({ key, at: fs.statSync(path.join(this.dir, key), { throwIfNoEntry: false })?.mtimeMs ?? 0 }));
  }
}

/** @param {string} dir */
function sync(dir) {
  const file = fs.openSync(dir, "r");
  try {
    fs.fsyncSync(file);
  } finally {
    fs.closeSync(file);
  }
}

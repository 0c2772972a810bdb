// What the operator has approved is let through once, whatever is killed: a file is made for it that nothing else may
// make again, and is on disk before the call runs. A Gateway that dies between the two leaves the file: the call did not
// run, or ran once, and never runs by this approval again.
import fs from "node:fs";
import path from "node:path";

const KEY = /^[0-9a-z-]{8,64}$/i;
const KEPT_MS = 90 * 86_400_000; // far longer than any approval may be used
const LATELY_MS = 86_400_000;
const RESERVED = ".asked"; // a key whose prompt is open: the file that will be its claim if the answer is yes

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
    const place = this.#place(key);
    try {
      if (!this.#take(place)) this.#write(place);
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
      throw error;
    }
    this.release(key);
    sync(this.dir);
    return true;
  }

  /**
   * Make sure that an approval can be used up later, when nobody would wait for it: throws when it can't.
   * @param {string} key
   */
  reserve(key) {
    this.#write(`${this.#place(key)}${RESERVED}`);
    sync(this.dir);
  }

  /**
   * What was reserved is not needed (any more).
   * @param {string} key
   */
  release(key) {
    fs.rmSync(`${this.#place(key)}${RESERVED}`, { force: true });
  }

  /** @param {string} key */
  #place(key) {
    if (!KEY.test(key)) throw new Error("an approval's key is not one of ours");
    if (fs.mkdirSync(this.dir, { recursive: true, mode: 0o700 })) sync(path.dirname(this.dir));
    return path.join(this.dir, key);
  }

  /** @param {string} place of a file that nobody may have made @returns {boolean} whether one was reserved for it */
  #take(place) {
    try {
      fs.linkSync(`${place}${RESERVED}`, place);
      return true;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") throw error;
      return false; // none was, or this file system has no links
    }
  }

  /** @param {string} place of a file that nobody may have made */
  #write(place) {
    const file = fs.openSync(place, "wx", 0o600);
    try {
      fs.writeSync(file, `${new Date(this.now()).toISOString()}\n`);
      fs.fsyncSync(file);
    } finally {
      fs.closeSync(file);
    }
  }

  /** The keys that were claimed lately, for the start: the last process may have died before it reported them. */
  lately() {
    return this.#files().filter(({ at }) => at > this.now() - LATELY_MS);
  }

  /** Forget claims that no approval can ask for any more, and what a killed process had reserved. */
  tidy() {
    for (const { key, at } of this.#files())
      if (at < this.now() - KEPT_MS) fs.rmSync(path.join(this.dir, key), { force: true });
    for (const { key, at } of this.#files(RESERVED)) if (at < this.now() - LATELY_MS) this.release(key);
  }

  /** @param {string} [ending] @returns {{key: string, at: number}[]} */
  #files(ending = "") {
    if (!fs.existsSync(this.dir)) return [];
    return fs
      .readdirSync(this.dir)
      .filter((name) => name.endsWith(ending))
      .map((name) => name.slice(0, name.length - ending.length))
      .filter((key) => KEY.test(key))
      .map((key) => ({
        key,
        at: fs.statSync(path.join(this.dir, `${key}${ending}`), { throwIfNoEntry: false })?.mtimeMs ?? 0,
      }));
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

// Connections to the sidecar on which it has proven that it knows the API key, before anything is said on them: while
// it is away, another program may listen on its port. The key itself is never sent; each request carries a token that
// is worth something on its own connection only. peer_proof.py, next to the sidecar, says how and why.
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import http from "node:http";
import net from "node:net";
import tls from "node:tls";

const PROOF_MS = 5000;
const ANSWER_BYTES = 8192;
/** @import { Way } from "./way.js" */
/** @typedef {(error: Error | null, socket: net.Socket) => void} Connected */

/** @type {WeakMap<net.Socket, string>} */
const tokens = new WeakMap(); // socket → the token for requests on it

/** An agent whose connections are proven; `apiKey` gives the key, `way` where the sidecar is (way.js). */
export class ProvenAgent extends http.Agent {
  /** @param {() => string} apiKey @param {http.AgentOptions} options @param {Way | null} [way] */
  constructor(apiKey, options, way = null) {
    super(options);
    this.apiKey = apiKey;
    this.way = way;
  }

  /** @param {import("node:http").ClientRequestArgs} options @param {Connected} [callback] @returns {null} */
  createConnection(options, callback = () => {}) {
    connectProven(this.apiKey, options, callback, this.way);
    return null; // it is handed over by `callback`
  }
}

/**
 * `createConnection` for node:http: connects, has the other side prove itself, then hands the connection over.
 * @param {() => string} apiKey
 * @param {import("node:http").ClientRequestArgs} options
 * @param {Connected} callback
 * @param {Way | null} [way] over its socket, where there is one; by the address when nothing answers there
 */
export function connectProven(apiKey, options, callback, way = null) {
  const key = apiKey();
  const nonce = randomBytes(32).toString("hex");
  const local = way?.local();
  const address = {
    host: options.host ?? options.hostname ?? "127.0.0.1",
    port: Number(options.port),
    noDelay: true,
  };
  const byTls = !local && way?.tls === true;
  const socket = local
    ? net.connect({ path: local })
    : byTls
      ? tls.connect({ ...address, rejectUnauthorized: false }) // the proof says who it is
      : net.connect(address);
  let connected = false;
  let got = Buffer.alloc(0);
  const stopListening = () => {
    clearTimeout(timer);
    for (const [event, listener] of Object.entries(listeners)) socket.off(event, listener);
  };
  const giveUp = () => {
    socket.on("error", () => {}); // nobody listens to this connection any more
    socket.destroy();
  };
  /** @param {Error} [error] */
  const done = (error) => {
    stopListening();
    if (!error) return callback(null, socket);
    giveUp();
    callback(Object.assign(error, { definite: true }), socket); // nothing was sent
  };
  /** @param {string} why */
  const unproven = (why) =>
    done(
      Object.assign(new Error(`${why}: is it another program, or a sidecar with another key or of an older version?`), {
        unproven: true,
      }),
    );
  const listeners = {
    [byTls ? "secureConnect" : "connect"]: () => {
      connected = true;
      socket.write(
        `GET /api/proof?nonce=${nonce} HTTP/1.1\r\nHost: ${options.host ?? "sidecar"}:${options.port}\r\n\r\n`,
      );
    },
    data: (/** @type {Buffer} */ chunk) => {
      got = Buffer.concat([got, chunk]);
      if (got.length > ANSWER_BYTES) return unproven("no proof of the API key");
      const body = bodyOf(got);
      if (body === undefined) return; // not complete
      const problem =
        body === null
          ? "no proof of the API key"
          : whyNot(key, nonce, body, addressOf(socket.remoteAddress, socket.remotePort));
      if (problem) return unproven(problem);
      tokens.set(socket, mac(key, "client", nonce, body.nonce, body.address));
      done();
    },
    error: (/** @type {Error} */ error) => {
      if (!local || connected) return done(error);
      way?.failed();
      stopListening();
      giveUp();
      connectProven(apiKey, options, callback, way);
    },
    close: () => done(new Error("the connection was closed")),
  };
  const timer = setTimeout(() => unproven(`no proof of the API key within ${PROOF_MS} ms`), PROOF_MS);
  timer.unref?.();
  for (const [event, listener] of Object.entries(listeners)) socket.on(event, listener);
}

/**
 * Finish a request once its connection is there: with the token that belongs to it; by TLS with the key.
 * @param {import("node:http").ClientRequest} request
 * @param {boolean} secure
 * @param {string} key
 * @param {Buffer} [body]
 */
export function endProven(request, secure, key, body) {
  if (secure) {
    request.setHeader("authorization", `Bearer ${key}`);
    return request.end(body);
  }
  request.on("socket", (socket) => {
    const token = tokens.get(socket);
    if (!token) return request.destroy(Object.assign(new Error("the connection is not proven"), { definite: true }));
    request.setHeader("authorization", `Session ${token}`);
    request.end(body);
  });
}

/**
 * The JSON of a whole HTTP answer with 200; undefined when more has to come, null when it is none.
 * @param {Buffer} bytes
 * @returns {any}
 */
function bodyOf(bytes) {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = bytes.toString("latin1", 0, end);
  const length = /^content-length: *(\d{1,5})$/im.exec(head)?.[1];
  if (!/^HTTP\/1\.1 200[ \r]/.test(head) || length === undefined || /^connection: *close/im.test(head)) return null;
  const body = bytes.subarray(end + 4);
  if (body.length < Number(length)) return undefined;
  try {
    return body.length > Number(length) ? null : JSON.parse(body.toString("utf8"));
  } catch {
    return null;
  }
}

/** @param {string} key @param {string} nonce @param {any} answer @param {string} dialled */
function whyNot(key, nonce, answer, dialled) {
  const given = [answer?.nonce, answer?.address, answer?.proof];
  if (!given.every((one) => typeof one === "string" && one.length <= 300)) return "no proof of the API key";
  const expected = Buffer.from(mac(key, "sidecar", nonce, answer.nonce, answer.address));
  const said = Buffer.from(answer.proof);
  if (said.length !== expected.length || !timingSafeEqual(said, expected)) return "no proof of the API key";
  const loopback = answer.address.startsWith("127.") || answer.address.startsWith("[::1]:");
  return loopback && answer.address !== dialled ? `the proof comes from ${answer.address}` : "";
}

/**
 * An address as peer_proof.py writes it.
 * @param {string | undefined} host
 * @param {number | undefined} port
 */
export function addressOf(host, port) {
  const plain = String(host ?? "")
    .split("%")[0]
    .replace(/^::ffff:(?=\d+\.)/i, "");
  return plain.includes(":") ? `[${plain}]:${port}` : `${plain}:${port}`;
}

/** @param {string} key @param {string} side @param {string[]} parts */
export function mac(key, side, ...parts) {
  return createHmac("sha256", key)
    .update(["openclaw-nats proof 1", side, ...parts].join("\n"))
    .digest("hex");
}

// A stand-in for the sidecar that proves itself as the real one does (api/auth.py). Requests on a connection whose client
// has proven nothing are answered 401; the others reach the handler with `proven`, the key that both sides know. With
// `visitors` a request needs no token, but the connection has to be one on which the proof was asked for.
import { randomBytes } from "node:crypto";
import http from "node:http";
import { addressOf, mac } from "../../plugin/peer-proof.js";

export const KEY = "key-0123456789abcdef";

export function proving(handler, key = KEY, { address, visitors = false } = {}) {
  const tokens = new WeakMap();
  return http.createServer((request, response) => {
    const url = new URL(request.url, "http://x");
    if (url.pathname === "/api/proof") {
      const [client, nonce] = [url.searchParams.get("nonce"), randomBytes(32).toString("hex")];
      const where = address ?? addressOf(request.socket.localAddress, request.socket.localPort);
      tokens.set(request.socket, mac(key, "client", client, nonce, where));
      const body = JSON.stringify({ nonce, address: where, proof: mac(key, "sidecar", client, nonce, where) });
      response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
      return response.end(body);
    }
    const asked = visitors && tokens.has(request.socket);
    if (!asked && request.headers.authorization !== `Session ${tokens.get(request.socket)}`) {
      response.writeHead(401);
      return response.end();
    }
    request.proven = key;
    return handler(request, response);
  });
}

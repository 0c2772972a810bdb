"""A Telegram Bot API on loopback: messages come in through `say`, what the bot sends is counted, sends can fail."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

_BOT = {"id": 999, "is_bot": True, "first_name": "bot", "username": "test_bot"}


class Telegram:
    """The server; `config` is the Gateway's channel configuration for it."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.fail_next = False
        self._updates: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

            def _answer(self) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length") or 0))
                try:
                    params = json.loads(raw) if raw else {}
                except ValueError:
                    params = {key: value[0] for key, value in parse_qs(raw.decode("utf-8", "replace")).items()}
                status, result = outer.call(self.path.split("?")[0].rsplit("/", 1)[-1], params)
                body = json.dumps(result).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _answer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def config(self) -> dict[str, Any]:
        """The channel's configuration."""
        root = f"http://127.0.0.1:{self._server.server_address[1]}"
        channel = {"enabled": True, "botToken": "123456:test", "dmPolicy": "pairing", "allowFrom": ["1001"]}
        return {"channels": {"telegram": channel | {"apiRoot": root, "streaming": {"mode": "off"}}}}

    def say(self, sender: int, text: str) -> None:
        """A person writes to the bot."""
        with self._changed:
            number = len(self._updates) + 1
            person = {"id": sender, "is_bot": False, "first_name": f"User{sender}", "username": f"u{sender}"}
            message: dict[str, Any] = {
                "message_id": 500 + number,
                "date": int(time.time()),
                "from": person,
                "text": text,
            }
            message["chat"] = {"id": sender, "type": "private", "first_name": person["first_name"]}
            if text.startswith("/"):
                message["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]
            self._updates.append({"update_id": 100 + number, "message": message})
            self._changed.notify_all()

    def call(self, method: str, params: dict[str, Any]) -> tuple[int, Any]:
        """Answer one Bot API call."""
        if method == "getMe":
            return 200, {"ok": True, "result": _BOT}
        if method == "getUpdates":
            return 200, {"ok": True, "result": self._wait_for_updates(params)}
        if method == "sendMessage":
            if self.fail_next:
                self.fail_next = False
                return 400, {"ok": False, "error_code": 400, "description": "Bad Request: chat not found"}
            self.sent.append(params)
            chat = {"id": int(params.get("chat_id") or 0), "type": "private"}
            sent = {
                "message_id": 900 + len(self.sent),
                "date": int(time.time()),
                "chat": chat,
                "text": params.get("text"),
            }
            return 200, {"ok": True, "result": sent}
        return 200, {"ok": True, "result": [] if method == "getMyCommands" else True}

    def _wait_for_updates(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        offset, deadline = int(params.get("offset") or 0), time.monotonic() + 10
        with self._changed:
            while True:
                found = [update for update in self._updates if update["update_id"] >= offset]
                if found or time.monotonic() > deadline:
                    return found
                self._changed.wait(0.2)

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()

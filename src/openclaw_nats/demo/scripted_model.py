"""A model server that says what the prompt asks it to: OpenAI-compatible chat completions on loopback, no key.

Lines in the newest user message steer the turn, each on a line of its own:

    !call TOOL {"argument": 1}   call a tool (several are called one after another)
    !say TEXT                    the final answer
    !wait MILLISECONDS           before the final answer
    !until FILE                  the final answer comes when this file is there, after 5 minutes at the latest
    !fail STATUS                 answer the model call with this HTTP status instead
    !usage INPUT OUTPUT          tokens to report

A call that the operator has approved (guard/calls.py) is made as it stands there.

Every request is a line in the log: how many turns there were, what their prompts held, and how long they were.

    python -m openclaw_nats.demo.scripted_model PORT LOGFILE
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, TextIO

MODEL = "scripted-1"
_CALL = re.compile(r"^!call (\w+) (\{.*\})\s*$", re.MULTILINE)
_APPROVED = re.compile(r"^tool: (\w+)\narguments: (\{.*\})\s*$", re.MULTILINE)
_TIME = re.compile(r"^\[[^\]\n]{5,40}\] ")
_INTERNAL = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT"  # the Gateway appends such messages of its own


def text_of(content: Any) -> str:
    """The text of a chat message's content, which is text or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [] if isinstance(part, dict))


def newest_request(messages: list[dict[str, Any]]) -> tuple[str, int]:
    """The newest user message and how many tool results came after it."""
    newest = -1
    for index, message in enumerate(messages):
        if message["role"] == "user" and not text_of(message["content"]).lstrip().startswith(_INTERNAL):
            newest = index
    if newest < 0:
        return "", 0
    done = sum(1 for message in messages[newest:] if message["role"] == "tool")
    # The Gateway puts the time in front: "[Sun 2026-11-22 16:57 UTC] !say hello".
    return _TIME.sub("", text_of(messages[newest]["content"])), done


def new_text(messages: list[dict[str, Any]]) -> str:
    """Everything that came after the model's last words, what the Gateway added on its own included."""
    start = 0
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            start = index + 1
    return "\n".join(text_of(message["content"]) for message in messages[start:] if message["role"] != "tool")


def find(text: str, word: str) -> str | None:
    """What follows `!word` in the text."""
    match = re.search(rf"^!{word} (.*)$", text, re.MULTILINE)
    return match[1].strip() if match else None


def _wait_for(file: str) -> None:
    for _ in range(3000):
        if os.path.exists(file):
            return
        time.sleep(0.1)


class Handler(BaseHTTPRequestHandler):
    """One model call."""

    protocol_version = "HTTP/1.1"
    log: ClassVar[TextIO]
    lock: ClassVar[threading.Lock] = threading.Lock()
    numbers: ClassVar[itertools.count[int]] = itertools.count(1)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests are in the log file."""

    def do_GET(self) -> None:
        """List the one model."""
        self._json(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def do_POST(self) -> None:
        """Answer a chat completion."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        messages = body.get("messages", [])
        text, done = newest_request(messages)
        calls = _CALL.findall(text) + (_APPROVED.findall(text) if "operator has approved it" in text else [])
        tools = [tool["function"]["name"] for tool in body.get("tools", [])]
        line = {
            "time": time.time(),
            "user": text,
            "new": new_text(messages),
            "results": done,
            "answers": [text_of(one["content"]) for one in messages if one["role"] == "tool"][-done:] if done else [],
            "system": next((text_of(one["content"]) for one in messages if one["role"] in ("system", "developer")), ""),
            "tools": tools,
            "characters": len(json.dumps([messages, body.get("tools", [])], ensure_ascii=False)),
        }
        with self.lock:
            self.log.write(json.dumps(line) + "\n")
            self.log.flush()
        if (status := find(text, "fail")) is not None and done >= len(calls):
            self._json(int(status), {"error": {"message": f"scripted error {status}", "type": "scripted"}})
            return
        if done < len(calls):
            delta, reason = self._tool_call(calls[done], tools), "tool_calls"
        else:
            if (wait := find(text, "wait")) is not None:
                time.sleep(int(wait) / 1000)
            if (file := find(text, "until")) is not None:
                _wait_for(file)
            quiet = "HEARTBEAT_OK" if "HEARTBEAT_OK" in text else "Done."  # what a heartbeat's prompt asks for
            delta, reason = {"role": "assistant", "content": find(text, "say") or quiet}, "stop"
        self._answer(delta, reason, find(text, "usage") or "100 10", bool(body.get("stream")))

    def _tool_call(self, wanted: tuple[str, str], tools: list[str]) -> dict[str, Any]:
        name, arguments = wanted
        if name not in tools and "tool_call" in tools:  # Tool Search (2026.9) hides most tools behind this one
            arguments = json.dumps({"id": name, "args": json.loads(arguments)})
            name = "tool_call"
        call = {"index": 0, "id": f"call_{next(self.numbers)}_{time.time_ns()}", "type": "function"}
        function = {"name": name, "arguments": arguments}
        return {"role": "assistant", "content": None, "tool_calls": [{**call, "function": function}]}

    def _answer(self, delta: dict[str, Any], reason: str, tokens: str, stream: bool) -> None:
        given, made = (int(number) for number in tokens.split()[:2])
        usage = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
        base: dict[str, Any] = {"id": "scripted", "created": int(time.time()), "model": MODEL}
        if not stream:
            choice = {"index": 0, "message": delta, "finish_reason": reason}
            self._json(200, {**base, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
            {"choices": [], "usage": usage},
        ]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(
                b"data: " + json.dumps(base | {"object": "chat.completion.chunk"} | chunk).encode() + b"\n\n"
            )
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _json(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    """Serves until killed; a client that goes away in the middle is no news."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A broken pipe is the Gateway aborting a run."""


def main() -> None:
    """Serve on the port given as the first argument, log to the second."""
    with open(sys.argv[2], "a") as log:
        Handler.log = log
        Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()

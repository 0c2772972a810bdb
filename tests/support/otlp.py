"""An OTLP endpoint: decodes what OpenTelemetry's own exporter sends, with OpenTelemetry's own message types."""

from __future__ import annotations

import gzip
import http.server
import threading
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan


class Collector:
    """What an OTLP endpoint has got; `refuse` makes it answer 503."""

    def __init__(self) -> None:
        self.spans: list[WireSpan] = []
        self.resources: list[dict[str, str]] = []
        self.refuse = False
        self.refused = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.refuse:
                    outer.refused += 1
                    self.send_response(503)
                    self.end_headers()
                    return
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                for one in ExportTraceServiceRequest.FromString(body).resource_spans:
                    outer.resources.append({a.key: a.value.string_value for a in one.resource.attributes})
                    for scope in one.scope_spans:
                        outer.spans += scope.spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        """Listen no more."""
        self.server.shutdown()
        self.server.server_close()

    def named(self, name: str) -> WireSpan:
        """The one span of that name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found


def attributes(span: WireSpan) -> dict[str, Any]:
    """A span's attributes."""
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}

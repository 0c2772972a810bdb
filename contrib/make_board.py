#!/usr/bin/env python3
"""Writes grafana-board.json: the panels stand here in a form that can be read and reviewed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("grafana-board.json")
P = "openclaw_nats_"
# (title, unit, width in 24ths, [(legend, PromQL)])
ROWS: list[tuple[str, list[tuple[str, str, int, list[tuple[str, str]]]]]] = [
    (
        "Is everything well?",
        [
            ("NATS takes events", "bool_on_off", 4, [("", f"{P}nats_up")]),
            ("Plugin reported", "s", 4, [("", f"time() - {P}spool_reported_seconds")]),
            ("Spool lag", "s", 4, [("", f"{P}spool_lag_seconds")]),
            ("Waiting deliveries", "short", 4, [("", f"{P}deliveries_waiting")]),
            ("Open circuit breakers", "short", 4, [("", f"{P}breakers_open")]),
            ("Stopped by the loop guard", "short", 4, [("", f"{P}loop_guard_stopped")]),
        ],
    ),
    (
        "Events out",
        [
            (
                "Events a second",
                "cps",
                12,
                [
                    ("stored", f"rate({P}events_accepted_total[5m])"),
                    ("duplicates", f"rate({P}events_duplicate_total[5m])"),
                    ("filtered", f"rate({P}events_filtered_total[5m])"),
                    ("refused: {{reason}}", f"rate({P}events_rejected_total[5m])"),
                ],
            ),
            (
                "Time until JetStream has it",
                "s",
                6,
                [
                    ("p50", f"histogram_quantile(0.5, rate({P}publish_seconds_bucket[5m]))"),
                    ("p99", f"histogram_quantile(0.99, rate({P}publish_seconds_bucket[5m]))"),
                ],
            ),
            (
                "Spool",
                "short",
                6,
                [("waiting", f"{P}spool_events"), ("lost since start", f"{P}spool_dropped_events")],
            ),
        ],
    ),
    (
        "Events in",
        [
            ("Turns an hour, by route", "short", 8, [("{{route}}", f"increase({P}turns_total[1h])")]),
            ("Turns avoided an hour", "short", 8, [("{{route}}", f"increase({P}turns_avoided_total[1h])")]),
            ("Budget used", "short", 8, [("{{budget}}", f"{P}budget_used")]),
            (
                "Deliveries a minute, by how they ended",
                "short",
                12,
                [("{{route}} {{state}}", f"rate({P}deliveries_ended_total[5m]) * 60")],
            ),
            (
                "From the inbox to the receipt",
                "s",
                6,
                [
                    ("p50", f"histogram_quantile(0.5, rate({P}delivery_seconds_bucket[15m]))"),
                    ("p99", f"histogram_quantile(0.99, rate({P}delivery_seconds_bucket[15m]))"),
                ],
            ),
            (
                "Failed attempts a minute",
                "short",
                6,
                [("{{kind}}", f"rate({P}delivery_failures_total[5m]) * 60")],
            ),
        ],
    ),
    (
        "The sidecar itself",
        [
            ("Memory", "bytes", 12, [("resident", "process_resident_memory_bytes")]),
            ("CPU", "percentunit", 12, [("used", "rate(process_cpu_seconds_total[5m])")]),
        ],
    ),
]


def board() -> dict[str, Any]:
    """The dashboard as Grafana's JSON model (schema version 39, Grafana 10 and later)."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append(
            {"type": "row", "title": title, "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}, "id": len(panels) + 1}
        )
        y += 1
        x = 0
        for name, unit, width, queries in row:
            if x + width > 24:
                x, y = 0, y + 7
            single = len(queries) == 1 and not queries[0][0]
            panels.append(
                _panel(len(panels) + 1, name, unit, queries, {"h": 7, "w": width, "x": x, "y": y}, single=single)
            )
            x += width
        y += 7
    source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus", "hide": 0}
    return {
        "title": "openclaw-nats",
        "uid": "openclaw-nats",
        "tags": ["openclaw", "nats"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source]},
        "panels": panels,
    }


def _panel(
    number: int, title: str, unit: str, queries: list[tuple[str, str]], place: dict[str, int], *, single: bool
) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    targets = [
        {"datasource": source, "expr": query, "legendFormat": legend or title, "refId": chr(65 + at)}
        for at, (legend, query) in enumerate(queries)
    ]
    return {
        "id": number,
        "type": "stat" if single else "timeseries",
        "title": title,
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


if __name__ == "__main__":
    text = json.dumps(board(), indent=1) + "\n"
    if "--check" in sys.argv:
        sys.exit(0 if TARGET.exists() and TARGET.read_text() == text else "contrib/grafana-board.json is not current")
    TARGET.write_text(text)

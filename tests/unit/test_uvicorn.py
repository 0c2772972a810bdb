"""`api/http_protocol.py` reaches into uvicorn: the version that it was written against is the one that is installed."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openclaw_nats.api import http_protocol

ROOT = Path(__file__).resolve().parents[2]


def test_one_version_is_declared_locked_and_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = next(one for one in project["dependencies"] if one.startswith("uvicorn"))
    assert re.fullmatch(r"uvicorn==\d+\.\d+\.\d+", pinned), "look at api/http_protocol.py first"
    for lock in ("requirements.lock", "requirements-dev.lock"):
        assert f"\n{pinned} " in (ROOT / lock).read_text(), lock
    assert pinned == f"uvicorn=={version('uvicorn')}"


def test_what_is_overridden_and_called_is_there() -> None:
    ours = vars(http_protocol.LimitedHttpProtocol)
    theirs = dir(HttpToolsProtocol)
    overridden = {name for name in ours if name.startswith("on_") or name in ("data_received", "send_400_response")}
    assert overridden <= set(theirs)
    assert "_unset_keepalive_if_required" in theirs

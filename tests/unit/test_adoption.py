"""What `migrate` changes in OpenClaw's `.env`, and puts back."""

from __future__ import annotations

from pathlib import Path

import pytest

from openclaw_nats.installer.dotenv import parse_dotenv
from openclaw_nats.locations import Locations
from openclaw_nats.migration.adoption import adopt, restore
from openclaw_nats.migration.older import Older
from openclaw_nats.settings import load


@pytest.mark.parametrize(
    "line",
    [
        "NATS_PLUGIN_API_KEY=dev",
        "export NATS_PLUGIN_API_KEY=dev",
        "NATS_PLUGIN_API_KEY: dev",
        '  NATS_PLUGIN_API_KEY = "de\nv"',
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_key_that_can_not_stay_is_out_of_effect_however_it_is_written(tmp_path: Path, line: str, end: str) -> None:
    file = tmp_path / ".env"
    before = f"# mine: ü\nA=1\n{line}\nNATS_PLUGIN_API_KEY_2=3\n".replace("\n", end).encode()
    file.write_bytes(before)
    older = Older(tmp_path, tmp_path / "db", file, parse_dotenv(before.decode()))
    settings = load(tmp_path / "nats", {})
    changed = adopt(older, settings, {"comment_out": ["NATS_PLUGIN_API_KEY"]})
    assert parse_dotenv(file.read_text()) == {"A": "1", "NATS_PLUGIN_API_KEY_2": "3"}
    assert "(by openclaw-nats migrate)" in file.read_text()
    restore(older, Locations(settings.home), changed)
    assert file.read_bytes() == before

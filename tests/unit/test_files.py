"""A write that fails names its file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from openclaw_nats.service.files import write_private


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as raised:
        write_private(tmp_path / "config.toml", "text")
    assert raised.value.filename == str(tmp_path / "config.toml")
    assert list(tmp_path.iterdir()) == []

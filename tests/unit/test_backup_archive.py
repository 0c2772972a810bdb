"""Files that somebody wants us to restore: what is no backup of ours is refused, and nothing leaves the folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openclaw_nats.backup.archive import Manifest, pack, unpack
from openclaw_nats.errors import InvalidBackup, SetupError

KEY = b"a key of enough characters\n"


def head(name: str, size: int, **more: Any) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size, found.mode = size, 0o600
    for key, value in more.items():
        setattr(found, key, value)
    return found


def manifest_of(parts: dict[str, bytes], **more: Any) -> dict[str, Any]:
    return {
        "format": 2,
        "version": "0.1.0",
        "made_at": "2026-01-01T00:00:00Z",
        "home": "/home/x/.openclaw/nats",
        "gateway": "kitchen",
        "streams": {},
        "hashes": {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()},
        "sizes": {name: len(data) for name, data in parts.items()},
        **more,
    }


def build(
    members: list[tuple[tarfile.TarInfo, bytes]], *, tar_format: int = tarfile.USTAR_FORMAT, behind: bytes = b""
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue() + behind, mtime=0)


def backup(parts: dict[str, bytes], *more: tuple[tarfile.TarInfo, bytes], **fields: Any) -> bytes:
    text = json.dumps(manifest_of(parts, **fields)).encode()
    members = [(head("manifest.json", len(text)), text)]
    members += [(head(name, len(data)), data) for name, data in parts.items()]
    return build([*members, *more])


def refused(tmp_path: Path, content: bytes) -> str:
    file, folder = tmp_path / "file", tmp_path / "deep" / "folder"
    file.write_bytes(content)
    folder.mkdir(parents=True, exist_ok=True)
    outside = {path for path in tmp_path.rglob("*") if folder not in path.parents}
    with pytest.raises(InvalidBackup) as found:
        unpack(file, folder)
    assert {path for path in tmp_path.rglob("*") if folder not in path.parents} == outside
    assert all(path.is_file() and not path.is_symlink() for path in folder.rglob("*"))
    assert "\n" not in str(found.value)
    assert found.value.exit_code == 2
    for path in folder.iterdir():
        path.unlink()
    return str(found.value)


def test_what_is_packed_comes_back_for_its_owner_alone(tmp_path: Path) -> None:
    source, folder, file = tmp_path / "source", tmp_path / "folder", tmp_path / "file"
    source.mkdir()
    folder.mkdir()
    (source / "api-key").write_bytes(KEY)
    (source / "api-key").chmod(0o644)
    (source / "sidecar.db").write_bytes(os.urandom(700_000))
    pack(file, source, Manifest(home="/home/x", gateway="küche"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    old = os.umask(0)
    try:
        manifest = unpack(file, folder)
    finally:
        os.umask(old)
    assert manifest.gateway == "küche"
    assert {path.name for path in folder.iterdir()} == {"api-key", "sidecar.db"}
    for path in folder.iterdir():
        assert path.read_bytes() == (source / path.name).read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_backup_of_the_first_format_comes_back(tmp_path: Path) -> None:
    """0.1.0 wrote extended headers with times of the files, their modes, and no sizes in the manifest."""
    fields = manifest_of({"api-key": KEY}, format=1)
    del fields["sizes"], fields["gateway"]
    text = json.dumps(fields).encode()
    members = [(head("manifest.json", len(text)), text)]
    members.append((head("api-key", len(KEY), mode=0o666, mtime=time.time() + 0.25, uname="jörg"), KEY))
    (tmp_path / "file").write_bytes(build(members, tar_format=tarfile.PAX_FORMAT))
    folder = tmp_path / "folder"
    folder.mkdir()
    assert unpack(tmp_path / "file", folder).gateway == ""
    assert stat.S_IMODE((folder / "api-key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"just a text", "not a gzip file"),
        (b"\x1f\x8b", "ends too early"),
        (b"\x1f\x8bx" * 500, "can't be unpacked"),
        (gzip.compress(b"", mtime=0), "ends too early"),
        (gzip.compress(b"x" * 5000, mtime=0), "not a tar archive"),
        (gzip.compress(bytes(10_240), mtime=0), "not a manifest"),
        (backup({"api-key": KEY})[:-20], "ends too early"),
        (backup({"api-key": KEY}) + b"more", "behind its end"),
        (backup({"api-key": KEY}) + gzip.compress(b"more", mtime=0), "behind its end"),
        (backup({}, format=99), "newer openclaw-nats (0.1.0)"),
        (backup({}, format=0), "no format 0"),
        (backup({}, format="1"), "does not say its format"),
        (backup({}, other=1), "unknown fields"),
        (backup({}, home=""), "of which state directory"),
        (backup({}, home="///"), "of which state directory"),
        (backup({}, streams=[]), "manifest can't be read"),
        (backup({}, streams={"other": {"config": {}, "state": {}}}), "describes the stream 'other'"),
        (backup({"agent_events.stream": b"x"}), "stream that its manifest does not describe"),
        (
            backup({"agent_events.stream": b"x"}, streams={"agent_events": {"config": {"name": "x"}, "state": {}}}),
            "describes the stream",
        ),
        (backup({"api-key": KEY}, hashes={"api-key": "00"}), "api-key does not match its hash"),
        (backup({"api-key": KEY}, sizes={"api-key": 3}), "not have the size"),
        (backup({"api-key": KEY}, sizes={}), "the size of each part"),
        (backup({"api-key": KEY}, sizes={"api-key": -1}), "impossible sizes"),
        (backup({"api-key": b"x" * 70_000}), "not have the size"),
        (backup({"authorized_keys": KEY}), "'authorized_keys', which is unknown"),
        (backup({"../api-key": KEY}), "'../api-key', which is unknown"),
        (backup({"API-KEY": KEY}), "'API-KEY', which is unknown"),
        (backup({"api-key": KEY}, (head("api-key", 1), b"x")), "'api-key' twice"),
        (backup({"api-key": KEY}, (head("./api-key", 1), b"x")), "does not name"),
        (backup({}, (head("/etc/passwd", 1), b"x")), "does not name"),
        (backup({}, (head("new", 0), b"")), "does not name"),
        (backup({}, (head("x" * 100, 1), b"x")), "does not name"),
        (backup({}, (head("f" * 90 + "/" + "x" * 90, 1), b"x")), "in a folder"),
        (backup({}, (head("api-key", 0, type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")), "not a regular file"),
        (backup({}, (head("api-key", 0, type=tarfile.LNKTYPE, linkname="../x"), b"")), "not a regular file"),
        (backup({}, (head("api-key", 0, type=tarfile.DIRTYPE), b"")), "not a regular file"),
        (backup({}, (head("api-key", 0, type=tarfile.FIFOTYPE), b"")), "not a regular file"),
        (backup({}, (head("api-key", 0, type=tarfile.CHRTYPE, devmajor=1), b"")), "not a regular file"),
        (backup({}, (head("api-key", 0, type=tarfile.CONTTYPE), b"")), "not a regular file"),
        (backup({}, (head("api-key", 0, type=tarfile.GNUTYPE_SPARSE), b"")), "not a regular file"),
        (backup({}, (head("././@LongLink", 1, type=tarfile.GNUTYPE_LONGNAME), b"x")), "not a regular file"),
        (backup({}, (head("api-key", 0, type=tarfile.XGLTYPE), b"")), "not a regular file"),
    ],
)
def test_what_is_no_backup_is_refused_in_one_line(tmp_path: Path, content: bytes, why: str) -> None:
    assert why in refused(tmp_path, content)


@pytest.mark.parametrize(
    "record",
    [b"path=../../x", b"linkpath=/etc", b"GNU.sparse.name=x", b"hdrcharset=BINARY", b"size=abc", b"path-and-no"],
)
def test_an_extended_header_gives_no_other_name(tmp_path: Path, record: bytes) -> None:
    line = b" " + record + b"\n"
    length = len(line) + 2
    text = str(length).encode() + line
    assert len(text) == length
    extended = (head("x", len(text), type=tarfile.XHDTYPE), text)
    assert "extended header" in refused(tmp_path, backup({}, extended, (head("api-key", 1), b"x")))


def test_an_extended_header_that_says_a_length_that_is_not_its_own(tmp_path: Path) -> None:
    for text in (b"99999999999999 mtime=1\n", b"0 mtime=1\n", b"9 mtime=1\n", b"x" * 30, b"-5 mtime=1\n"):
        assert "extended header" in refused(
            tmp_path, backup({}, (head("x", len(text), type=tarfile.XHDTYPE), text), (head("api-key", 1), b"x"))
        )


def test_a_bomb_is_refused_before_it_fills_anything(tmp_path: Path) -> None:
    file, folder = tmp_path / "bomb", tmp_path / "folder"
    folder.mkdir()
    with gzip.open(file, "wb", compresslevel=9) as out:
        out.write(head("manifest.json", 4 << 30).tobuf(tarfile.USTAR_FORMAT))
        for _ in range(64):
            out.write(bytes(1 << 20))
    started = time.monotonic()
    with pytest.raises(InvalidBackup, match="manifest is too large"):
        unpack(file, folder)
    assert time.monotonic() - started < 1
    fields = manifest_of({"sidecar.db": b""}, sizes={"sidecar.db": 1 << 60})
    text = json.dumps(fields).encode()
    file.write_bytes(build([(head("manifest.json", len(text)), text)]))
    with pytest.raises(SetupError, match="the backup needs"):
        unpack(file, folder)
    assert list(folder.iterdir()) == []


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    folder = tmp_path / "folder"
    folder.mkdir()
    for path, why in (
        (tmp_path / "fifo", "not a regular file"),
        (folder, "a folder"),
        (tmp_path / "none", "does not exist"),
        (Path("/dev/zero"), "not a regular file"),
    ):
        with pytest.raises(InvalidBackup, match=why):
            unpack(path, folder)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_bytes_are_refused_or_make_no_difference(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    parts = {"api-key": KEY, "config.toml": b"[sidecar]\nport = 3104\n"}
    text = json.dumps(manifest_of(parts)).encode()
    tar = bytearray(
        gzip.decompress(
            build([(head("manifest.json", len(text)), text), *((head(n, len(d)), d) for n, d in parts.items())])
        )
    )
    for at, value in changes:
        tar[at % len(tar)] = value
    file, folder = tmp_path / "file", tmp_path / "deep" / "folder"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(bytes(tar), compresslevel=1))
    for path in folder.iterdir():
        path.unlink()
    try:
        manifest = unpack(file, folder)
    except InvalidBackup:
        return
    assert {path.name for path in folder.iterdir()} == set(manifest.hashes)
    for name in manifest.hashes:
        assert (folder / name).read_bytes() == parts[name]

"""The API key's file while the sidecar runs: what counts as another key."""

from __future__ import annotations

from pathlib import Path

from openclaw_nats.service.api_key_file import ApiKeyFile, digest_of

OLD, NEW = "o" * 20, "n" * 20


def watched(path: Path, *, fixed: bool = False) -> tuple[ApiKeyFile, list[str]]:
    found: list[str] = []
    path.write_text(OLD + "\n")
    one = ApiKeyFile(path, OLD, fixed=fixed)
    one.on_change = found.append
    return one, found


def test_another_key_is_noticed_once_and_what_is_none_changes_nothing(tmp_path: Path) -> None:
    file, found = watched(tmp_path / "api-key")
    file.look()
    for content in (b"", b"short", b"\xff\xfe" * 20, OLD.encode(), f"  {OLD}\n".encode()):
        (tmp_path / "api-key").write_bytes(content)
        file.look()
    assert found == []
    (tmp_path / "api-key").unlink()
    file.look()
    (tmp_path / "other").write_text(NEW + "\n")
    (tmp_path / "other").replace(tmp_path / "api-key")
    file.look()
    file.look()
    assert found == [NEW]


def test_a_key_of_the_environment_stays(tmp_path: Path) -> None:
    file, found = watched(tmp_path / "api-key", fixed=True)
    (tmp_path / "api-key").write_text(NEW * 2)
    file.look()
    assert found == []


def test_what_is_kept_of_a_key_says_nothing_of_it() -> None:
    kept = {digest_of(secret, key) for secret in (b"a", b"b") for key in (OLD, NEW)}
    assert len(kept) == 4
    assert not any(OLD in one or NEW in one for one in kept)

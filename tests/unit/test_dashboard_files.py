"""The dashboard's files: conditions, compressed copies, and no way out of their folder."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats.api.dashboard_files import DashboardFiles

PAGE = b"<!doctype html><title>one</title>" * 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "dist"
    (found / "assets").mkdir(parents=True)
    (found / "index.html").write_bytes(PAGE)
    (found / "assets" / "index-abc123.js").write_bytes(b"let one = 1;")
    (found / "secret.key").write_bytes(b"not ours")
    (tmp_path / "outside.html").write_bytes(b"outside")
    return found


def ask(files: DashboardFiles, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:  # the client stays, and says no more
        return await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        sent.append(message)

    asked = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "query_string": b"", "headers": asked}
    asyncio.run(files(scope, receive, send))
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, b"".join(one.get("body", b"") for one in sent[1:])


def test_a_page_is_sent_once_and_answered_304_while_it_is_the_same(folder: Path) -> None:
    files = DashboardFiles(folder)
    status, headers, body = ask(files, "/")
    assert (status, body, headers["content-type"]) == (200, PAGE, "text/html; charset=utf-8")
    assert headers["cache-control"] == "no-cache"
    for tags in (headers["etag"], f"W/{headers['etag']}", f'"other", {headers["etag"]}', "*"):
        status, again, body = ask(files, "/", if_none_match=tags)
        assert (status, body) == (304, b"")
        assert (again["etag"], again["cache-control"]) == (headers["etag"], "no-cache")
        assert "content-type" not in again
    assert ask(files, "/", if_none_match='"other"')[0] == 200


def test_another_content_of_the_same_time_and_size_is_another_etag(folder: Path) -> None:
    page = folder / "index.html"
    before = ask(DashboardFiles(folder), "/")[1]["etag"]
    moment = page.stat().st_mtime_ns
    page.write_bytes(PAGE.replace(b"one", b"two"))
    os.utime(page, ns=(moment, moment))
    status, headers, _ = ask(DashboardFiles(folder), "/", if_none_match=before)
    assert status == 200
    assert headers["etag"] != before
    assert ask(DashboardFiles(folder), "/")[1]["etag"] == headers["etag"]  # a restart changes nothing


def test_a_compressed_copy_is_another_representation(folder: Path) -> None:
    files = DashboardFiles(folder)
    _, plain, _ = ask(files, "/assets/index-abc123.js")
    status, headers, body = ask(files, "/assets/index-abc123.js", accept_encoding="gzip, br")
    assert (status, gzip.decompress(body)) == (200, b"let one = 1;")
    assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
    assert headers["etag"] != plain["etag"]
    assert "immutable" in headers["cache-control"]
    assert ask(files, "/", accept_encoding="gzip", if_none_match=plain["etag"])[0] == 200
    again = ask(files, "/assets/index-abc123.js", accept_encoding="gzip", if_none_match=headers["etag"])
    assert (again[0], again[2]) == (304, b"")


def test_head_and_what_only_reads(folder: Path) -> None:
    files = DashboardFiles(folder)
    status, headers, body = ask(files, "/", "HEAD")
    assert (status, headers["content-length"], body) == (200, str(len(PAGE)), b"")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, headers, body = ask(files, "/", method)
        assert (status, headers["allow"]) == (405, "GET, HEAD")
        assert json.loads(body)["detail"] == "This is a file."


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.html",
        "/assets/../../outside.html",
        "/..\\outside.html",
        "//etc/passwd",
        "/{folder}/../outside.html",
        "/secret.key",
        "/assets",
        "/assets/",
        "/index.html/",
        "/nothing.html",
        "/a\0b.html",
        "/" + "x" * 5000,
        "/index.html/x",
        "/\udcff",
    ],
)
def test_there_is_nothing_but_the_files(folder: Path, path: str) -> None:
    status, headers, body = ask(DashboardFiles(folder), path.replace("{folder}", str(folder)))
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert json.loads(body)["detail"] == "The dashboard has no such file."


def test_files_that_an_installer_has_linked_are_served(folder: Path, tmp_path: Path) -> None:
    (folder / "index.html").rename(tmp_path / "cached.html")
    (folder / "index.html").symlink_to(tmp_path / "cached.html")
    assert ask(DashboardFiles(folder), "/")[2] == PAGE


@pytest.mark.parametrize("folder_there", [True, False])
def test_an_installation_without_pages_says_so(tmp_path: Path, folder_there: bool) -> None:
    files = DashboardFiles(tmp_path if folder_there else None)
    status, _, body = ask(files, "/")
    assert (status, json.loads(body)["detail"]) == (404, "This installation has no dashboard.")
    assert json.loads(ask(files, "/x.js")[2])["detail"] == "The dashboard has no such file."

"""The tutorial, run from its first command to its last on a real Gateway."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.test_setup import Install

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
_BUSY = 4  # a machine with more to do takes longer than the page's reader waits
BLOCK = re.compile(r"((?:<!-- (?:expect|wait): [^\n]+ -->\n)*)```sh\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    one = Install(tmp_path_factory.mktemp("tutorial"), "2026.9.6")
    one.gateway.start()
    yield one
    one.run("uninstall", "--purge", "--yes")
    one.gateway.close()


def test_every_command_of_the_tutorial_does_what_the_tutorial_says(install: Install) -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) > 8
    ran = 0
    for marks, commands in blocks:
        expected = re.findall(r"<!-- expect: ([^\n]+) -->", marks)
        waits = re.search(r"<!-- wait: (\d+) -->", marks)
        deadline = time.monotonic() + (_BUSY * int(waits[1]) if waits else 0)
        for line in commands.splitlines():
            words = shlex.split(line)
            assert words[0] == "openclaw-nats", line
            # Ports that are surely free; everything else is run as it stands there.
            extra = install.ports if words[1] == "setup" else []
            printed = install.run(*words[1:], *extra)
            ran += 1
        for text in expected:
            while text not in printed and time.monotonic() < deadline:
                time.sleep(1)
                printed = install.run(*words[1:])
            assert text in printed, (line, printed)
    assert ran > 18
    assert install.json("routes")["routes"] == []

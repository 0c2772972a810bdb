"""Session keys against OpenClaw's own functions: what its plugin SDK makes of a key is what we make of it."""

from __future__ import annotations

import json
import random
import subprocess

import pytest

from openclaw_nats.events.session_keys import split
from tests.gateway.world import prefix

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(300)]

SCRIPT = """
import { parseAgentSessionKey } from "openclaw/plugin-sdk/routing";
import { text } from "node:stream/consumers";
const told = (key) => { const found = parseAgentSessionKey(key); return found && [found.agentId, found.rest]; };
console.log(JSON.stringify(JSON.parse(await text(process.stdin)).map(told)));
"""
KEYS = [
    "agent:Main:Work",
    "  agent:main:My Notes ",
    "agent:main:" + "Long " * 100 + "End",
    "agent:main:matrix:channel:!RoomAbC:Example.org",
    "Agent:MAIN:Matrix:Group:!AbC",
    "agent:main:matrix:channel:!RoomAbC:Example.org:Thread:$EvAbC",
    "agent:main:matrix:channel:!A:THREAD:$B:THREAD:$C",
    "agent:main:matrix:channel:İA:Thread:$B",
    "agent:main:matrix:direct:@User:Example.org",
    "agent:main:work:matrix:channel:!AbC",
    "agent:main:signal:group:AbCd+/==",
    "agent:main:Signal:Group:AbC:Thread:XyZ",
    "agent:main:work:signal:group:AbC",
    "agent:main:xsignal:group:AbC",
    "agent:main:Telegram:Group:-100ABC:Topic:7",
    "agent:Jörg:Ünïcode ÄÖ 🦀",
    "agent:ops:",
    "agent::x",
    "work",
]
PARTS = ("agent:", "Main", ":", "matrix:", "Channel:", "group:", "Signal:", ":Thread:", "!AbC", "$Ev", " ", "İ", "É")


def _made() -> list[str]:
    """Keys that nobody would write by hand, always the same."""
    dice = random.Random(12)
    return ["agent:Main:" + "".join(dice.choices(PARTS, k=dice.randint(1, 9))) for _ in range(3000)]


def test_openclaws_own_functions_fold_and_split_a_key_as_we_do() -> None:
    keys = KEYS + _made()
    openclaw = prefix("2026.9.6")
    done = subprocess.run(
        [str(openclaw.bin / "node"), "--input-type=module", "-e", SCRIPT],
        input=json.dumps(keys),
        cwd=openclaw.path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    theirs = [found and tuple(found) for found in json.loads(done.stdout)]
    wrong = {key: (ours, found) for key, found in zip(keys, theirs, strict=True) if (ours := split(key)) != found}
    assert not wrong

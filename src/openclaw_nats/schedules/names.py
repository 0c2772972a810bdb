"""Names of jobs and timers, and where their messages lie in the schedules stream.

    agent.schedules.job.<gateway>.<name>                   a cron job's document
    agent.schedules.armed.cron.<key>.<tick>.<revision>     armed: becomes the next one at its time
    agent.schedules.fired.cron.<key>.<tick>.<rest>         fired; comes into the events stream as agent.events.<rest>
    agent.schedules.skipped.cron.<key>.<tick>.<rest>       missed, and not made up for
    agent.schedules.fired.manual.<key>.<milliseconds>.<rest>
    agent.schedules.armed.timer.<key>                      a timer
    agent.schedules.fired.timer.<key>.<milliseconds>.<rest>
    agent.schedules.armed.expect.<key>                     the deadline of an expectation's episode
    agent.schedules.fired.expect.<key>.<milliseconds>.<rest>
    agent.schedules.wake.timer.<key>                       whom a timer wakes, and what with

For one tick of a job there is at most one message, armed or fired or skipped: every write is made on that condition, so
that two sidecars, or one that was killed halfway, can't fire a tick twice. `<tick>` is its time in whole seconds.

A name belongs to a Gateway: `<key>` is `<gateway>=<name>`, both escaped. Keys of 0.1.0 are names alone; their documents
lie at `agent.schedules.job.<key>`, and what is armed at `agent.schedules.tick.…`. They stay there. What is new lies
elsewhere, since a sidecar of 0.1.0 removes what is armed for jobs that it does not know.
"""

from __future__ import annotations

import hashlib
import re

from openclaw_nats.errors import InvalidSchedule
from openclaw_nats.events.subjects import AGENTS, PREFIX, token_from_name

MAX_NAME = 128
EXPECT = "expect"
JOBS = "agent.schedules.job.>"
TICKS = ("agent.schedules.armed.cron.>", "agent.schedules.tick.cron.>")
WAKES = "agent.schedules.wake.timer.*"
TIMERS = ("agent.schedules.armed.timer.*", "agent.schedules.tick.timer.*")
# Events of the Gateway's own cron have these subjects: a job of that name publishes elsewhere by default.
TAKEN = ("added", "started", "finished", "updated", "removed")
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_name(name: object) -> str:
    """Return a name if it can be one: 1 to 128 printable characters, no space at its ends."""
    if not isinstance(name, str) or not name.strip():
        raise InvalidSchedule("name must be text, and not empty")
    if len(name) > MAX_NAME:
        raise InvalidSchedule(f"name is {len(name)} characters long; the limit is {MAX_NAME}")
    if not name.isprintable():
        shown = "".join(character for character in name if character.isprintable()).strip()
        raise InvalidSchedule(f"name {ascii(name)[:80]} holds a control character", hint=f"Use {shown!r}.")
    if name != name.strip():
        raise InvalidSchedule(f"name {name!r} begins or ends with a space", hint=f"Use {name.strip()!r}.")
    return name


def key_of(name: str) -> str:
    """A name as one token of a subject: itself when it is plain, else escaped with a number that distinguishes it."""
    if _PLAIN.fullmatch(name):
        return name
    return f"{token_from_name(name)[:48]}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def key_in(gateway_id: str, name: str) -> str:
    """The key of a Gateway's job or timer."""
    return f"{key_of(gateway_id)}={key_of(name)}"


def may_be_of(gateway_id: str, key: str) -> bool:
    """Whether a key can be one of this Gateway's: it names it, or is of the time when keys named none."""
    gateway, separator, _ = key.partition("=")
    return not separator or gateway == key_of(gateway_id)


def check_place(name: str, key: str) -> None:
    """Raise InvalidSchedule for a name that does not lead to the key under which it was found."""
    if key_of(name) != key.rpartition("=")[2]:
        raise InvalidSchedule(f"it is named {name[:80]!r}, which does not lie there")


def key_of_job(subject: str) -> str:
    """The key of the job whose document lies at a subject."""
    return "=".join(subject.split(".")[3:])


def _armed_at(key: str) -> str:
    return f"agent.schedules.{'armed' if '=' in key else 'tick'}"


def is_key(text: str) -> bool:
    """Whether a text can be the key of a job or timer: one token of a subject."""
    return bool(text) and not set(text) & set(" .*>") and text.isprintable()


def default_subject(kind: str, name: str) -> str:
    """Where a job or timer publishes when it does not say: `agent.events.cron.<name>`."""
    token = token_from_name(name)
    return f"{PREFIX}{kind}.job.{token}" if kind == "cron" and token in TAKEN else f"{PREFIX}{kind}.{token}"


def own_subject(agent: str, kind: str, name: str) -> str:
    """Where an agent's job (`kind` cron) or timer publishes when it does not say: a subject of the agent's own."""
    return f"{AGENTS}{agent}.{kind}.{token_from_name(name)}"


def job_subject(key: str) -> str:
    """Where a job's document lies."""
    return f"agent.schedules.job.{key.replace('=', '.', 1)}"


def wake_subject(key: str) -> str:
    """Where it lies whom a timer wakes: not in its event, which everybody may read."""
    return f"agent.schedules.wake.timer.{key}"


def armed(key: str, tick: int, revision: int) -> str:
    """Where a tick waits."""
    return f"{_armed_at(key)}.cron.{key}.{tick}.{revision}"


def all_armed(key: str) -> str:
    """Where all ticks of a job wait."""
    return f"{_armed_at(key)}.cron.{key}.>"


def one_tick(key: str, tick: int) -> str:
    """Everything that can be about one tick."""
    return f"agent.schedules.*.cron.{key}.{tick}.>"


def fired(kind: str, key: str, at: int, subject: str) -> str:
    """Where an event comes when it fires, so that it appears on `subject` in the events stream."""
    return f"agent.schedules.fired.{kind}.{key}.{at}.{subject.removeprefix(PREFIX)}"


def all_fired(kind: str, key: str) -> str:
    """Everything of a job or timer that has fired."""
    return f"agent.schedules.fired.{kind}.{key}.>"


def all_skipped(key: str) -> str:
    """Every tick of a job that was skipped."""
    return f"agent.schedules.skipped.cron.{key}.>"


def history(key: str) -> str:
    """Everything about a job but its document."""
    return f"agent.schedules.*.*.{key}.*.>"


def skipped(key: str, tick: int) -> str:
    """Where it is noted that a tick was skipped."""
    return f"agent.schedules.skipped.cron.{key}.{tick}.note"


def timer_subject(key: str) -> str:
    """Where a timer waits."""
    return f"{_armed_at(key)}.timer.{key}"


def deadline_subject(key: str) -> str:
    """Where the deadline of an episode waits (expectations/deadlines.py)."""
    return f"agent.schedules.armed.{EXPECT}.{key}"

"""Looking through the stream: a page of events, the histogram above it, and how far the index is."""

from __future__ import annotations

from msgspec import Struct

from openclaw_nats.contract.fields import Answer, Time
from openclaw_nats.contract.views import LiveEvent


class IndexReport(Answer):
    """The index of the stream. `behind` is how many stored events are not in it yet, `oldest` when the oldest one that
    is was stored; `problem` says why it does not go on, and is empty otherwise.
    """

    events: int
    behind: int
    oldest: Time | None
    bytes: int
    problem: str


class EventPage(Answer):
    """Events, the newest first. `cursor` leads to the next ones; null when everything was looked at.

    `lookedBackTo` is the time of the oldest event that was looked at so far: a search that finds little ends there, and
    goes on with the cursor.
    """

    events: list[LiveEvent]
    cursor: str | None
    looked_back_to: Time | None
    index: IndexReport


class EventHistogram(Answer):
    """How many events there are in each step of a range, and how many of them failed. `step` is in seconds.

    `exact` is false when a text is searched for: an event that holds its parts, but not the text, counts too.
    `complete` is false when there was too much to count.
    """

    begin: Time
    end: Time
    step: float
    events: list[int]
    failed: list[int]
    exact: bool
    complete: bool


class EventNames(Answer):
    """What events can be filtered by: the names that were there last, the newest first."""

    kinds: list[str]
    agents: list[str]
    sessions: list[str]
    origins: list[str]


class ReindexRequest(Struct, forbid_unknown_fields=True):
    """The body of a request to make the index again: an empty object."""

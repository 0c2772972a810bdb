"""Feeds, calendars and mails that others wrote: whatever is in them, they are read or refused, and in time."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openclaw_nats.watchers import calendar_text, feed_text, mail_text
from openclaw_nats.watchers.read_worker import answer
from openclaw_nats.watchers.reading import Unreadable, reading
from openclaw_nats.watchers.text import text_of

NOW = 1_795_000_000.0
RSS = b"""<?xml version="1.0"?><rss version="2.0"><channel><title>News</title><item><guid>1</guid><title>One</title>
<link>https://example.org/1</link><pubDate>Fri, 27 Nov 2026 10:00:00 GMT</pubDate><category>a</category></item><item>
<title>Two &amp; more</title><description>&lt;p&gt;x&lt;/p&gt;</description></item></channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>A</title><entry><id>urn:1</id><title>One</title>
<updated>2026-11-27T10:00:00Z</updated><content type="html">&lt;b&gt;x&lt;/b&gt;</content></entry></feed>"""
ICS = b"""BEGIN:VCALENDAR\r\nVERSION:2.0\r\nX-WR-TIMEZONE:Europe/Berlin\r\nBEGIN:VTIMEZONE\r\nTZID:Mine\r
BEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0100\r\nEND:STANDARD\r\nEND:VTIMEZONE\r
BEGIN:VEVENT\r\nUID:1\r\nDTSTART;TZID=Mine:20261101T100000\r\nDTEND;TZID=Mine:20261101T110000\r
RRULE:FREQ=DAILY;COUNT=60\r\nEXDATE;TZID=Mine:20261103T100000\r\nSUMMARY:Stand-\r\n up\r\nEND:VEVENT\r
BEGIN:VEVENT\r\nUID:2\r\nDTSTART;VALUE=DATE:20261119\r\nSUMMARY:Whole day\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"""
MAIL = b"""From: =?utf-8?q?=C3=81nn?= <ann@example.org>\r\nTo: me@example.org\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r
Date: Fri, 27 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r
Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nText =C3=A9\r\n--b\r
Content-Type: application/pdf; name="a.pdf"\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r
\r\nJVBERg==\r\n--b--\r\n"""
TEXTS = {"feed": [RSS, ATOM], "calendar": [ICS], "mail": [MAIL]}
MORE: dict[str, dict[str, Any]] = {"calendar": {"since": NOW, "until": NOW + 864_000}}


def asked(kind: str, body: bytes) -> dict[str, Any]:
    """What the process for it would answer, in this one."""
    import base64

    request = {"kind": kind, "body": base64.b64encode(body).decode(), **MORE.get(kind, {})}
    found: dict[str, Any] = json.loads(answer(json.dumps(request).encode()))
    assert found.keys() in ({"found"}, {"error"})
    return found


def spoilt(body: bytes, dice: random.Random) -> bytes:
    """A text with some places changed, doubled, cut out or put elsewhere."""
    text = bytearray(body)
    for _ in range(dice.randint(1, 8)):
        at, length = dice.randrange(len(text) + 1), dice.randint(0, 40)
        piece = text[at : at + length]
        how = dice.randrange(5)
        if how == 0:
            text[at:at] = dice.randbytes(dice.randint(1, 6))
        elif how == 1:
            del text[at : at + length]
        elif how == 2:
            text[at:at] = piece * dice.randint(1, 20)
        elif how == 3:
            there = dice.randrange(len(text) + 1)
            text[there:there] = piece
        else:
            text[at:at] = dice.choice(
                [b"\r\n", b"\0", b"\xff\xfe", b"99999999999999", b"]]>", b"=?utf-8?q?", b"BEGIN:VEVENT\r\n"]
            )
    return bytes(text)


@pytest.mark.parametrize("kind", TEXTS)
@settings(max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_a_text_that_was_changed_anywhere_is_read_or_refused(kind: str, seed: int) -> None:
    dice = random.Random(seed)
    began = time.process_time()
    asked(kind, spoilt(dice.choice(TEXTS[kind]), dice))
    assert time.process_time() - began < 5


@pytest.mark.parametrize("kind", TEXTS)
@given(body=st.binary(max_size=500))
def test_any_octets_are_read_or_refused(kind: str, body: bytes) -> None:
    asked(kind, body)


def test_what_is_right_is_read_whole() -> None:
    (one, two) = feed_text.read(RSS)["entries"]
    assert one[1]["published"] == "2026-11-27T10:00:00.000Z"
    assert (two[1]["title"], two[1]["summary"]) == ("Two & more", "x")
    assert one[0] != two[0]
    mail = mail_text.read(MAIL)
    assert (mail["from"], mail["subject"], mail["text"]) == ("Ánn <ann@example.org>", "Grüße", "Text é")
    assert mail["attachments"] == [{"name": "a.pdf", "type": "application/pdf", "bytes": 4}]
    assert mail["date"] == "2026-11-27T09:00:00.000Z"


def test_times_of_a_calendar_are_where_they_belong() -> None:
    begin = 1_793_487_600.0  # 2026-10-31T23:00:00Z
    found = calendar_text.read(ICS, since=begin, until=begin + 4 * 86400)["appointments"]
    starts = [one["data"]["start"] for one in found]
    assert starts == ["2026-11-01T09:00:00.000Z", "2026-11-02T09:00:00.000Z", "2026-11-04T09:00:00.000Z"]
    assert found[0]["data"]["title"] == "Stand-up"
    (day,) = [
        one
        for one in calendar_text.read(ICS, since=1_795_000_000.0, until=1_795_300_000.0, zone="Asia/Tokyo")[
            "appointments"
        ]
        if one["data"]["allDay"]
    ]
    assert (day["data"]["start"], day["at"]) == ("2026-11-19", 1_795_014_000.0)  # midnight in Tokyo


def test_a_calendar_that_takes_long_is_read_in_several_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendar_text, "_SECONDS_OF_ALL", 1e-6)
    block = ICS[ICS.index(b"BEGIN:VEVENT") : ICS.index(b"BEGIN:VEVENT\r\nUID:2")]
    body = ICS.replace(block, b"".join(block.replace(b"UID:1", b"UID:n%d" % n) for n in range(90)))
    found: list[Any] = []
    begin, rounds = 0, 0
    while begin or not rounds:
        part = calendar_text.read(body, since=NOW, until=NOW + 86400, begin=begin)
        found += part["appointments"]
        begin, rounds = part["next"], rounds + 1
    assert rounds > 2
    assert sorted({one["data"]["uid"] for one in found}) == sorted(["2", *(f"n{n}" for n in range(90))])


def test_html_becomes_text_of_bounded_length() -> None:
    html = "<style>p{}</style><p>One&nbsp;&amp; <b>two</b></p><script>bad()</script><ul><li>a<li>b</ul>"
    assert text_of(html, 100) == "One & two\n\na\nb"
    assert len(text_of("<p>" + "x" * 10_000, 50)) <= 50
    began = time.process_time()
    text_of("<" * 200_000 + "&" * 200_000, 10_000)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("feed", b"<rss version='2.0'><channel>" + b"<a>" * 400_000),
        ("feed", b"\x00" * 5_000_000),
        (
            "mail",
            b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(5000)),
        ),
        ("mail", b"Subject: " + b"=?utf-8?q?a?= " * 100_000 + b"\r\n\r\n"),
        ("mail", b"To: " + b"<a@b>," * 200_000 + b"\r\n\r\n"),
        ("calendar", b"BEGIN:VCALENDAR\r\n" + b"BEGIN:VEVENT\r\n" * 300_000),
        ("calendar", b"BEGIN:VCALENDAR\r\n" + b"\r\n " * 1_000_000),
    ],
)
async def test_what_is_hostile_ends_its_own_process_at_most(kind: str, body: bytes) -> None:
    began = time.monotonic()
    async with reading(kind, "the text") as reader:
        try:
            await reader.read(body, **MORE.get(kind, {}))
        except Unreadable as error:
            assert "\n" not in str(error)  # noqa: PT017
    assert time.monotonic() - began < 25

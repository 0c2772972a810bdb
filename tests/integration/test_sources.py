"""The front door on a running sidecar: what a provider signs is stored once; whoever else comes learns nothing."""

from __future__ import annotations

import base64
import json
import secrets
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from openclaw_nats.contract.sources import GenericOptions, SourceOptions
from openclaw_nats.sources.schemes.catalog import SCHEMES
from openclaw_nats.sources.schemes.scheme import FORM
from tests.support.installation import Installation
from tests.support.processes import Sidecar, wait_until

ROOT = Path(__file__).parent.parent.parent
SIGNING = [kind for kind in SCHEMES if kind not in ("discord", "unsigned")]  # its key pair is test_source_schemes.py's
GENERIC = {"header": "X-Sig", "signed": "{ts}.{body}", "timestampHeader": "X-Time", "idHeader": "X-Id"}
URL = "https://bus.example.org/hook"


def a_secret(kind: str) -> str:
    made = secrets.token_bytes(24)
    return "whsec_" + base64.b64encode(made).decode() if kind == "standard" else made.hex()


class Provider:
    """Somebody who sends webhooks to a source of ours."""

    def __init__(self, sidecar: Sidecar, name: str, kind: str, **more: Any) -> None:
        self.sidecar, self.name, self.kind = sidecar, name, kind
        self.secret = a_secret(kind)
        options: dict[str, Any] = {"generic": GENERIC} if kind == "generic" else {}
        if kind == "twilio":
            options["url"] = URL
        body = {"name": name, "type": kind, "secret": self.secret, "options": options, **more}
        status, self.source = sidecar.call("POST", "/api/sources", body)
        assert status == 201, self.source
        self.path = self.source["path"]
        generic = GenericOptions(header="X-Sig", signed="{ts}.{body}", timestamp_header="X-Time", id_header="X-Id")
        self.options = SourceOptions(generic=generic if kind == "generic" else None, url=options.get("url", ""))

    def signed(
        self, body: bytes | None = None, delivery: str = "d-1", secret: str = "", ago: float = 0, **headers: str
    ) -> tuple[bytes, dict[str, str]]:
        """A request's body and headers."""
        scheme, now = SCHEMES[self.kind], time.time() - ago
        if body is None:
            body = scheme.sample.replace(b"NOW_MS", b"%d" % int(now * 1000))
        made = scheme.sign(body, secret or self.secret, self.options, now, delivery)
        return body, {"content-type": "application/json", **scheme.sample_headers, **made, **headers}

    def send(self, body: bytes | None = None, path: str = "", **more: Any) -> tuple[int, Any]:
        """Send one; status and answer."""
        return self.post(*self.signed(body, **more), path=path)

    def post(self, body: bytes, headers: dict[str, str], path: str = "", method: str = "POST") -> tuple[int, Any]:
        status, _, answer = self.sidecar.request(method, path or self.path, body, headers, key="")
        try:
            return status, json.loads(answer) if answer else None
        except ValueError:
            return status, answer

    def stored(self) -> list[dict[str, Any]]:
        """The events of this source, each with its origin."""
        answer = self.sidecar.request("GET", f"/api/events?subject={quote(self.source['subject'])}.%3E&numbered=true")
        return [json.loads(line) for line in answer[2].splitlines() if line.strip()]


@pytest.mark.parametrize("kind", SIGNING)
def test_what_a_provider_signs_is_stored_once_as_its_own(bus: Sidecar, kind: str) -> None:
    provider = Provider(bus, f"one-{kind}", kind)
    request = provider.signed()
    status, answer = provider.post(*request)
    own = SCHEMES[kind].reply is not None  # the provider wants an answer of its own kind
    assert status == (200 if own else 202), answer
    assert provider.post(*request)[0] == 200  # the same again
    (found,) = provider.stored()
    assert (found["origin"], found["tainted"]) == (f"source:{provider.name}", True)
    event = found["event"]
    assert event["id"].startswith(f"{provider.name}:")
    assert own or (event["id"], event["subject"]) == (answer["id"], answer["subject"])
    assert event["subject"].startswith(f"agent.events.webhook.{provider.name}.")
    assert event["data"]
    assert bus.metric(f'openclaw_nats_source_requests_total{{source="{provider.name}",status="202"}}') == 1
    shown = bus.get(f"/api/sources/{provider.name}")[1]
    assert (shown["accepted"], shown["repeated"], shown["refused"]) == (1, 1, {})


def test_a_body_that_is_signed_alone_is_few_topics_and_for_a_while(bus: Sidecar) -> None:
    """Shopify signs no topic: one act may be about several, and whoever has a request could name any."""
    provider = Provider(bus, "shop", "shopify")

    def send(topic: str, body: bytes) -> int:
        return provider.send(body, delivery=f"{topic}.{body[:9].hex()}", **{"x-shopify-topic": topic})[0]

    body = b'{"id": 1, "note": "paid"}'
    assert [send(topic, body) for topic in ("orders/create", "orders/paid", "orders/create")] == [202, 202, 200]
    assert [send(f"made/up{number}", body) for number in range(6)] == [202, 202, 200, 200, 200, 200]
    assert len(provider.stored()) == 4
    later = b'{"id": 2}'
    assert send("orders/create", later) == 202
    bus.kill()
    with sqlite3.connect(bus.home / "sidecar.db") as database:
        database.execute("UPDATE source_deliveries SET first_at = first_at - 7200 WHERE source = 'shop'")
    bus.start()
    assert [send("refunds/create", later), send("orders/create", later)] == [200, 200]
    assert send("refunds/create", b'{"id": 3}') == 202


def test_the_last_refusals_are_kept_whatever_else_comes(bus: Sidecar) -> None:
    provider = Provider(bus, "busy", "token")
    provider.send(secret="wrong")
    for number in range(60):
        assert provider.send(b'{"event": "x", "n": %d}' % number)[0] == 202
    shown = bus.get("/api/sources/busy")[1]["requests"]
    assert [one["status"] for one in shown] == [202] * 50 + [401]
    assert shown[-1]["reason"]
    for _ in range(60):
        provider.send(secret="wrong")
    shown = bus.get("/api/sources/busy")[1]["requests"]
    assert [one["status"] for one in shown] == [401] * 50 + [202] * 50


def test_a_sink_that_sends_no_token_is_let_in_by_its_address(house: Installation) -> None:
    made = house.run("sources", "add", "knative", "--type", "cloudevents", "--no-secret")
    assert made["secret"] == ""
    path = made["source"]["path"]
    event = {"specversion": "1.0", "id": "1", "source": "/k", "type": "done", "data": {"n": 1}}
    kind = {"Content-Type": "application/cloudevents+json"}

    def send(where: str) -> int:
        return house.sidecar.request("POST", where, json.dumps(event).encode(), kind, key="")[0]

    assert (send(path), send(path), send(path + "x")) == (202, 200, 401)
    assert house.run("sources", "test", "knative")["status"] == 202
    house.run("sources", "rotate", "knative", "--keep", "0s")
    event["id"] = "2"
    assert send(path) == 401  # from now on it needs one
    house.run("sources", "add", "gh2", "--type", "github", "--no-secret", code=2)
    house.run("sources", "remove", "knative")


def test_whoever_is_not_verified_gets_one_answer_and_learns_nothing(bus: Sidecar) -> None:
    provider, other = Provider(bus, "uni", "github"), Provider(bus, "uni2", "stripe")
    gone = Provider(bus, "uni3", "token")
    assert bus.call("DELETE", "/api/sources/uni3")[0] == 204
    body, headers = provider.signed()
    token = provider.path.rpartition("/")[2]
    tries = [
        provider.send(secret="wrong"),
        provider.post(body, {"content-type": "application/json"}),
        provider.post(body + b" ", headers),
        provider.send(path="/in/uni/" + "x" * len(token)),
        provider.send(path=f"/in/uni/{token}x"),
        provider.send(path=f"/in/nobody/{token}"),
        provider.send(path=other.path),
        provider.send(path="/in/"),
        provider.send(path="/in"),
        provider.send(path=f"{provider.path}/"),
        provider.send(path=f"{provider.path}/../../../api/routes"),
        provider.send(path="/dashboard/in/uni"),
        other.send(ago=400),
        other.send(ago=-400),
        gone.send(),
        provider.post(b"", headers, path="/in/nobody/x", method="GET"),
    ]
    assert len({json.dumps(one) for one in tries}) == 1, tries
    assert tries[0][0] == 401
    assert "API key" not in json.dumps(tries[0])
    assert not provider.stored()
    assert not other.stored()
    reasons = [one["reason"] for one in bus.get("/api/sources/uni2")[1]["requests"]]
    assert any("s old" in one for one in reasons), reasons
    assert any("s ahead" in one for one in reasons), reasons
    assert bus.get("/api/sources")[1]["strangers"] >= 7


def test_an_address_is_for_webhooks_and_nothing_else(bus: Sidecar) -> None:
    provider = Provider(bus, "only", "token")
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        status, _ = provider.post(b"", {}, method=method)
        assert status == 401, method
    assert provider.send(path=f"/dashboard{provider.path}")[0] == 202  # as the Gateway's plugin passes it on
    assert provider.send(**{"content-encoding": "gzip"})[0] == 401
    assert provider.send(body=b"x" * ((1 << 20) + 1))[0] == 413
    assert provider.send(body=b'"' + b"x" * ((1 << 20) - 2) + b'"')[0] in (202, 413)  # as large as an event may be
    status, answer = provider.send(body=b"{broken")
    assert (status, "JSON" in answer["detail"]) == (422, True)
    assert bus.get("/api/routes")[0] == 200


@pytest.mark.parametrize(
    ("body", "kind", "data", "content"),
    [
        (b"a=1&b=2&b=3&c=%C3%BC", FORM, {"a": "1", "b": ["2", "3"], "c": "ü"}, None),
        (b"payload=%7B%22action%22%3A%22opened%22%7D", FORM, {"action": "opened"}, None),
        (b"<a>1</a>", "application/xml", "<a>1</a>", "application/xml"),
        ("Grüße".encode(), "text/plain; charset=utf-8", "Grüße", "text/plain; charset=utf-8"),
        (b"[1, 2]", "application/json", [1, 2], None),
        (b"7", "application/json", 7, None),
    ],
)
def test_json_forms_and_texts_are_data_as_they_are(
    bus: Sidecar, body: bytes, kind: str, data: Any, content: str | None
) -> None:
    provider = Provider(bus, f"data-{secrets.token_hex(4)}", "github")
    assert provider.send(body=body, **{"content-type": kind, "x-github-event": "push"})[0] == 202
    (found,) = provider.stored()
    assert found["event"]["data"] == data
    assert found["event"].get("datacontenttype") == content


def test_a_repetition_is_known_by_its_id_and_by_what_was_signed(bus: Sidecar) -> None:
    provider = Provider(bus, "again", "github")
    body = json.dumps({"action": "opened", "n": secrets.token_hex(8)}).encode()
    assert provider.send(body, delivery="one")[0] == 202
    assert provider.send(body, delivery="another")[0] == 200  # its id is not signed: anybody could change it
    assert provider.send(body.replace(b"opened", b"closed"), delivery="one")[0] == 200  # sent again by hand
    assert provider.send(body.replace(b"opened", b"closed"), delivery="two")[0] == 202
    other = Provider(bus, "again2", "github")
    assert other.send(body, delivery="one")[0] == 202  # another source's ids are its own
    assert len(provider.stored()) == 2


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"event": "\\ud83d"}', "application/json", 202),
        (b'{"event": "door\\topened\\u0000"}', "application/json", 202),
        (b'{"event": "' + b"x" * 5000 + b'"}', "application/json", 202),
        (b'{"event": {"a": 1}}', "application/json", 202),
        (b"a=%ff", FORM, 422),
        (b"&".join(b"a=%d" % n for n in range(2000)), FORM, 422),
        (b"[" * 5000, "application/json", 422),
        (b'{"n": 1e400}', "application/json", 202),
        (b"", "application/json", 202),
    ],
)
def test_whatever_a_verified_sender_writes_is_an_event_or_refused_in_words(
    bus: Sidecar, body: bytes, kind: str, status: int
) -> None:
    provider = Provider(bus, f"odd-{secrets.token_hex(4)}", "token")
    found, answer = provider.send(body, **{"content-type": kind})
    assert found == status, answer
    for host in ("[", "a:b:c", "\xe9"):
        assert provider.post(b"{}", {"host": host, "x-forwarded-host": host}, path=provider.path)[0] in (400, 401)


def test_a_delivery_that_was_cut_off_keeps_its_subject_when_it_comes_again(bus: Sidecar) -> None:
    """The event was stored, and the note of that was not: the source's subject is changed meanwhile."""
    provider = Provider(bus, "cut", "github")
    request = provider.signed()
    assert provider.post(*request)[0] == 202
    with sqlite3.connect(bus.home / "sidecar.db") as db:
        noted = "SELECT min(stored) FROM source_deliveries WHERE source = 'cut'"
        wait_until(lambda: db.execute(noted).fetchone() == (1,), 10, "the note")
        db.execute("UPDATE source_deliveries SET stored = 0 WHERE source = 'cut'")
    assert bus.call("PATCH", "/api/sources/cut", {"subject": "agent.events.custom.cut"})[0] == 200
    assert provider.post(*request)[0] == 200
    assert len(provider.stored()) == 1
    assert not bus.events("?subject=agent.events.custom.cut.%3E")


def test_two_secrets_count_while_one_is_rotated_and_one_after_that(bus: Sidecar) -> None:
    provider = Provider(bus, "rot", "shopify")
    new = a_secret("shopify")
    status, shown = bus.call("POST", "/api/sources/rot/rotate", {"secret": new, "keep": 3600})
    assert (status, shown["secrets"]) == (200, 2)
    assert provider.send(b'{"n": 1}', delivery="1")[0] == 202
    assert provider.send(b'{"n": 2}', delivery="2", secret=new)[0] == 202
    newest = a_secret("shopify")
    bus.call("POST", "/api/sources/rot/rotate", {"secret": newest, "keep": 0, "address": True})
    path = bus.get("/api/sources/rot")[1]["path"]
    assert path != provider.path
    assert provider.send(b'{"n": 3}', delivery="3", secret=newest)[0] == 401  # at the old address
    assert provider.send(b'{"n": 3}', delivery="3", secret=new, path=path)[0] == 401
    assert provider.send(b'{"n": 3}', delivery="3", secret=newest, path=path)[0] == 202


def test_a_signature_without_a_time_is_known_until_its_secret_is_replaced(bus: Sidecar) -> None:
    provider = Provider(bus, "keeps", "github")
    body = b'{"action": "opened", "n": 1}'
    assert provider.send(body, delivery="one")[0] == 202
    bus.kill()
    with sqlite3.connect(bus.home / "sidecar.db") as database:  # 31 days later
        aged = "UPDATE source_deliveries SET first_at = first_at - 2678400, until = until - 2678400"
        database.execute(f"{aged} WHERE source = 'keeps'")
    bus.start()
    with sqlite3.connect(bus.home / "sidecar.db") as database:
        left = "SELECT count(*) FROM source_deliveries WHERE source = 'keeps'"
        wait_until(lambda: database.execute(left).fetchone() == (0,), 10, "the delivery is forgotten")
    assert provider.send(body, delivery="another")[0] == 200
    assert len(provider.stored()) == 1
    shown = bus.get("/api/sources/keeps")[1]["signatures"]
    assert (shown["count"], shown["most"]) == (1, 500_000)
    assert shown["since"] < time.strftime("%Y-%m-%dT%H:%M:%S")
    new = a_secret("github")
    bus.call("POST", "/api/sources/keeps/rotate", {"secret": new, "keep": 0})
    assert provider.send(body, delivery="one")[0] == 401
    assert provider.send(body, delivery="three", secret=new)[0] == 202
    assert len(provider.stored()) == 2


def test_paused_it_asks_to_come_again_and_loses_nothing(bus: Sidecar) -> None:
    provider = Provider(bus, "pau", "linear")
    assert bus.call("PATCH", "/api/sources/pau", {"paused": True})[1]["paused"] is True
    request = provider.signed()
    status, headers, _ = bus.request("POST", provider.path, *request, key="")
    assert (status, int(headers["retry-after"]) > 0) == (503, True)
    assert provider.send(secret="wrong")[0] == 401  # also while it is paused
    bus.call("PATCH", "/api/sources/pau", {"paused": False})
    assert provider.post(*request)[0] == 202


def test_questions_of_providers_are_answered_and_stored_nowhere(bus: Sidecar) -> None:
    slack = Provider(bus, "sla", "slack")
    assert slack.send(b'{"type": "url_verification", "challenge": "abc"}') == (200, {"challenge": "abc"})
    command = b"command=%2Fdo&trigger_id=t1&text=x"
    kind = {"content-type": FORM}
    assert slack.send(command, **kind) == (200, None)  # nothing that its user would be shown
    (event,) = slack.stored()
    assert event["event"]["subject"] == "agent.events.webhook.sla.command"
    twilio = Provider(bus, "twi", "twilio")
    status, headers, body = bus.request("POST", twilio.path, *twilio.signed(), key="")
    assert (status, headers["content-type"].partition(";")[0], b"<Response/>" in body) == (200, "text/xml", True)
    cloud = Provider(bus, "ce-hs", "cloudevents")
    asked = {"WebHook-Request-Origin": "eventgrid.azure.net", "WebHook-Request-Rate": "120"}
    status, headers, _ = bus.request("OPTIONS", cloud.path, None, asked, key="")
    assert (status, headers["webhook-allowed-origin"]) == (200, "eventgrid.azure.net")
    assert int(headers["webhook-allowed-rate"]) > 0
    assert bus.request("OPTIONS", "/in/ce-hs/wrong", None, asked, key="")[0] == 401


def test_cloudevents_of_the_official_sdk_come_in_each_mode_and_keep_what_they_say(bus: Sidecar) -> None:
    from cloudevents.core.bindings.http import to_binary_event, to_structured_event
    from cloudevents.core.v1.event import CloudEvent

    provider = Provider(bus, "ce", "cloudevents")
    for number, make in enumerate((to_binary_event, to_structured_event)):
        attributes = {
            "id": f"e{number}",
            "source": "/sdk",
            "type": "com.example.made",
            "specversion": "1.0",
            "agentid": "main",
        }
        message = make(CloudEvent(attributes, {"n": number}))
        body = message.body if isinstance(message.body, bytes) else message.body.encode()
        headers = {name.lower(): value for name, value in dict(message.headers).items()}
        proof = {"authorization": f"Bearer {provider.secret}"}
        assert provider.post(body, headers | proof)[0] == 202
        assert provider.post(body, headers | proof)[0] == 200
        assert provider.post(body, headers)[0] == 401
        query = f"{provider.path}?access_token={provider.secret}"
        assert provider.post(body, headers, path=query)[0] == 200
    batch = [{"specversion": "1.0", "id": f"b{n}", "source": "/sdk", "type": "t", "data": n} for n in range(3)]
    kind = {"content-type": "application/cloudevents-batch+json", "authorization": f"Bearer {provider.secret}"}
    assert provider.post(json.dumps(batch).encode(), kind)[0] == 202
    found = [one["event"] for one in provider.stored()]
    assert [one["data"] for one in found] == [{"n": 0}, {"n": 1}, 0, 1, 2]
    assert {one["source"] for one in found} == {"/sdk"}
    assert [one["subject"] for one in found[:2]] == ["agent.events.webhook.ce.com.example.made"] * 2
    assert len({one["id"] for one in found}) == 5
    # What such an event says of agents is not believed: nobody routes it as an agent's.
    assert {one["origin"] for one in provider.stored()} == {"source:ce"}


def test_secrets_go_in_and_never_come_out(bus: Sidecar) -> None:
    provider = Provider(bus, "hush", "grafana")
    file = bus.home / "sources.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    bus.call("POST", "/api/sources/hush/rotate", {"secret": "another-secret-of-hush", "keep": 60})
    provider.send()
    answers = [json.dumps(bus.get(path)[1]) for path in ("/api/sources", "/api/sources/hush", "/api/audit?limit=1000")]
    texts = [*answers, (bus.home / "logs" / "sidecar.log").read_text(), (bus.home / "sidecar.out").read_text()]
    for secret in (provider.secret, "another-secret-of-hush"):
        assert not [text for text in texts if secret in text]
        assert secret in file.read_text()
    acts = [(one["act"], one["about"]) for one in bus.get("/api/audit?limit=1000")[1]["records"]]
    assert ("sources.add", "hush") in acts
    assert ("sources.rotate", "hush") in acts


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Upper"}, "name"),
        ({"name": "../x"}, "name"),
        ({"name": ""}, "name"),
        ({"type": "nosuch"}, "type"),
        ({"secret": ""}, "secret"),
        ({"secret": "a\nb"}, "secret"),
        ({"secret": " x"}, "secret"),
        ({"secret": "x" * 600}, "secret"),
        ({"type": "standard"}, "secret"),
        ({"type": "discord"}, "secret"),
        ({"subject": "agent.events.cron.x"}, "subject"),
        ({"subject": "agent.events.message"}, "subject"),
        ({"subject": "agent.events"}, "subject"),
        ({"subject": "agent.events.custom.>"}, "subject"),
        ({"subject": "agent.events.custom." + "x" * 200}, "subject"),
        ({"type": "generic"}, "options.generic"),
        ({"options": {"generic": {"header": "x"}}}, "options.generic"),
        ({"options": {"header": "a b"}}, "options.header"),
        ({"type": "github", "options": {"header": "X-Own"}}, "options.header"),
        ({"type": "github", "options": {"timestampHeader": "X-Time"}}, "options.timestampHeader"),
        ({"options": {"timestampHeader": "X-Time"}}, "options.timestampHeader"),
        ({"options": {"url": "https://house.example/x"}}, "options.url"),
        ({"type": "unsigned", "secret": "none", "options": {"header": "X-Own"}}, "options.header"),
        ({"options": {"url": "ftp://x"}}, "options.url"),
        ({"type": "generic", "options": {"generic": {"header": "x", "signed": "{ts}"}}}, "options.generic.signed"),
        (
            {"type": "generic", "options": {"generic": {"header": "x", "signed": "{ts}.{body}"}}},
            "options.generic.signed",
        ),
        ({"options": {"generic": {"header": "x", "algorithm": "md5"}}}, "options.generic.algorithm"),
        ({"more": 1}, ""),
    ],
)
def test_what_can_not_be_a_source_is_named(bus: Sidecar, change: dict[str, Any], field: str) -> None:
    body = {"name": "wrong", "type": "token", "secret": "a-secret"} | change
    status, answer = bus.call("POST", "/api/sources", body)
    assert status in (400, 422), answer
    assert answer.get("field", "") == field or field == "", answer
    assert bus.get("/api/sources/wrong")[0] == 404


def test_everything_holds_after_a_restart_and_in_a_broken_file_nothing_does(bus: Sidecar) -> None:
    provider = Provider(bus, "kept", "github")
    request = provider.signed()
    assert provider.post(*request)[0] == 202
    bus.signal(signal.SIGTERM)
    bus.start()
    assert provider.post(*request)[0] == 200  # what came before is known
    assert provider.send(b'{"n": 2}', delivery="2")[0] == 202
    file = bus.home / "sources.json"
    good = file.read_bytes()
    for broken in (b"", b"{", b'{"sources": [{}]}', good.replace(b'"kept"', b'"KEPT"'), b"\xff"):
        bus.signal(signal.SIGTERM)
        file.write_bytes(broken)
        bus.start()
        assert provider.send(b'{"n": 3}', delivery="3")[0] == 401
        status, answer = bus.call("POST", "/api/sources", {"name": "new", "type": "token", "secret": "s3cret"})
        assert (status, "sources.json" in answer["detail"]) == (409, True), answer
        assert "sources.json" in json.dumps(bus.get("/api/health")[1]["delivery"])
        assert file.read_bytes() == broken  # it is not written over
        assert bus.get("/api/routes")[0] == 200
    bus.signal(signal.SIGTERM)
    file.write_bytes(good)
    bus.start()
    assert provider.send(b'{"n": 3}', delivery="3")[0] == 202


def test_the_commands_of_the_how_to(house: Installation, tmp_path: Path) -> None:
    """As docs/how-to/webhook.md says it, with what it shows."""
    page = (ROOT / "docs" / "how-to" / "webhook.md").read_text()
    for kind in house.run("sources", "types")["types"]:
        assert kind["watches"] or f"`{kind['type']}`" in page  # those: test_watchers.py
    made = house.run("sources", "add", "gh", "--type", "github", "--with", "issue-triage", "--wake", "main")
    assert made["route"]["pattern"] == "agent.events.webhook.gh.issues.opened"
    assert made["route"]["guard"] == "ask"
    house.run("pause")
    done = house.run("sources", "test", "gh")
    assert (done["status"], done["subject"], done["routes"]) == (202, made["route"]["pattern"], ["gh-issue-triage"])
    (waiting,) = wait_until(lambda: house.run("pending")["deliveries"], 20, "the delivery")
    assert house.run("pending", "show", str(waiting["id"]))["origin"] == "source:gh"
    assert house.run("sources", "show", "gh")["requests"][0]["status"] == 202
    assert "--secret-file" in house.run("sources", "add", "pay", "--type", "stripe", code=2)["error"]
    (tmp_path / "stripe.secret").write_text("a-secret-of-stripe\n")
    house.run("sources", "add", "pay", "--type", "stripe", "--secret-file", str(tmp_path / "stripe.secret"))
    signature = page.partition("--signature '")[2].partition("'")[0]
    assert house.run("sources", "add", "shop", "--type", "generic", "--signature", signature)["secret"]
    assert house.run("sources", "test", "shop")["status"] == 202
    kept = tmp_path / "kept.secret"
    assert house.run("sources", "rotate", "gh", "--address", "--secret-to", str(kept))["secret"] == ""
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert house.run("sources", "pause", "gh")["paused"] is True
    assert "paused" in house.run("sources", "test", "gh", code=3)["error"]
    house.run("sources", "resume", "gh")
    (tmp_path / "github.secret").write_text("g1thub-secret")
    file = tmp_path / "sources.toml"
    file.write_text(page.partition("```toml\n")[2].partition("```")[0] + 'subject = "custom.hub"\n')
    first = house.run("sources", "apply", "-f", str(file), "--dry-run")
    assert first == {"applied": False, "changes": [{"change": "change", "source": "gh", "detail": "subject"}]}
    assert house.run("sources", "apply", "-f", str(file))["applied"] is True
    assert house.run("sources", "apply", "-f", str(file))["changes"] == []
    assert house.run("sources", "test", "gh")["subject"] == "agent.events.custom.hub.issues.opened"
    assert "pay" in house.run("sources", "show", "paya", code=2)["hint"]
    assert "Did you mean github?" in house.run("sources", "add", "x", "--type", "gihub", code=2)["hint"]
    assert house.run("sources", "remove", "gh") == {"removed": "gh"}
    [made] = house.run("sources", "apply", "-f", str(file))["changes"]
    shown = house.run("sources", "show", "gh")
    assert [urlsplit(one).path for one in made["addresses"]] == [shown["path"], shown["gatewayPath"]]
    assert house.sidecar.request("POST", urlsplit(made["addresses"][0]).path, b"{}", {}, key="")[0] == 401
    assert house.run("sources", "remove", "gh") == {"removed": "gh"}
    assert [one["name"] for one in house.run("sources")["sources"]] == ["pay", "shop"]


def test_what_nothing_proves_waits_in_quarantine_and_wakes_nobody_before_it_is_released(house: Installation) -> None:
    assert "quarantined" not in house.sidecar.get("/api/health")[1]
    made = house.run("sources", "add", "cam", "--unsigned")
    path = made["source"]["path"]
    house.run("routes", "add", "all", "agent.events.>", "main")
    house.run("routes", "add", "everything", "agent.events.webhook.cam.>", "main")
    house.run("pause")
    assert house.run("quarantine")["requests"] == []

    def send(body: bytes, kind: str = "application/json") -> int:
        return house.sidecar.request("POST", path, body, {"Content-Type": kind}, key="")[0]

    assert [send(b'{"event": "motion", "n": 1}'), send(b'{"event": "motion", "n": 1}')] == [202, 200]
    assert [send(b"\xff\x00not json", "image/jpeg"), send(b"x" * ((1 << 20) + 1))] == [202, 413]
    assert house.sidecar.request("POST", path + "x", b"{}", {}, key="")[0] == 401
    found = house.run("quarantine")
    assert found["counts"] == {"cam": 2}
    assert house.run("sources")["quarantined"] == 2
    command = [sys.executable, "-m", "openclaw_nats", "status"]
    status = subprocess.run(command, env=house.environment, capture_output=True, text=True, timeout=60, check=False)
    assert "2 requests wait in quarantine" in status.stdout, status.stdout
    assert house.sidecar.get("/api/health")[1]["quarantined"] == 2
    image, motion = found["requests"]
    assert (motion["source"], motion["contentType"]) == ("cam", "application/json")
    assert json.loads(house.run("quarantine", "show", str(motion["number"]))["body"]) == {"event": "motion", "n": 1}
    time.sleep(1.5)
    seen = [one["subject"] for one in house.run("pending")["deliveries"]]
    assert [one for one in seen if not one.startswith("agent.events.bus.")] == []
    assert house.sidecar.request("GET", "/api/events?subject=agent.events.webhook.cam.%3E")[2] == b""
    done = house.run("quarantine", "release", str(motion["number"]))
    assert (done["released"], done["subjects"]) == (1, ["agent.events.webhook.cam.motion"])
    waiting = wait_until(lambda: house.run("pending", "--route", "everything")["deliveries"], 20, "the delivery")
    assert [house.run("pending", "show", str(one["id"]))["origin"] for one in waiting] == ["source:cam"]
    assert house.run("quarantine", "release", str(motion["number"]), code=2)["error"].startswith("nothing waits")
    assert house.run("quarantine", "drop", "--source", "cam")["dropped"] == 1
    assert house.run("quarantine")["requests"] == []
    assert "nobody" in house.run("quarantine", "drop", "--source", "nobody", code=2)["error"]
    assert image["number"] not in [one["number"] for one in house.run("quarantine")["requests"]]
    assert house.sidecar.get("/api/health")[1]["quarantined"] == 0
    acts = [one["act"] for one in house.run("audit")["records"]]
    assert {"quarantine.release", "quarantine.drop"} <= set(acts)

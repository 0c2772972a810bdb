"""Sources: verified ways in for webhooks. Secrets go in and never come out."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from openclaw_nats.contract.fields import Answer, Instruction, Name, Subject, Time

SourceType = Literal[
    "standard", "github", "gitlab", "stripe", "slack", "shopify", "linear", "twilio", "discord", "grafana",
    "alertmanager", "uptime-kuma", "healthchecks", "home-assistant", "n8n", "token", "cloudevents", "generic",
    "unsigned",
]  # fmt: skip
Header = Annotated[str, Meta(extra_json_schema={"pattern": r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"})]
Secret = Annotated[str, Meta(description="Never shown again", extra_json_schema={"minLength": 1, "maxLength": 512})]


class GenericOptions(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """How a sender signs that no other type describes: an HMAC in `header`, after `prefix`.

    `signed` is `body`, or a text with `{ts}` that ends with `{body}`, such as `{ts}.{body}`; the timestamp is in
    `timestampHeader`, and is refused when it is more than `tolerance` seconds from now.
    """

    header: Header
    prefix: Annotated[str, Meta(extra_json_schema={"maxLength": 64})] = ""
    algorithm: Literal["sha256", "sha1", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    signed: Annotated[str, Meta(examples=["{ts}.{body}"], extra_json_schema={"maxLength": 64})] = "body"
    timestamp_header: str = ""
    timestamp_format: Literal["seconds", "milliseconds", "rfc3339"] = "seconds"
    tolerance: Annotated[float, Meta(ge=1, le=86400)] = 300.0
    id_header: str = ""
    event_header: str = ""


class SourceOptions(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What only some types need. `header` is where the token of a type without a signature is (else Authorization);
    `timestampHeader` is Grafana's; `url` is the address as the provider has it, which Twilio signs.
    """

    header: str = ""
    timestamp_header: str = ""
    url: Annotated[str, Meta(extra_json_schema={"maxLength": 1024})] = ""
    generic: GenericOptions | None = None


class QuarantineRequest(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Which requests: one by its `number`, or all of a `source`."""

    number: Annotated[int, Meta(ge=0)] = 0
    source: str = ""


class Quarantined(Answer, kw_only=True):
    """A request that nothing proves. In a list, `body` is its beginning."""

    number: int
    source: str
    at: Time
    bytes: int
    content_type: str
    peer: str
    body: str


class Quarantines(Answer):
    """The newest first; `counts` is how many wait, by source."""

    requests: list[Quarantined]
    counts: dict[str, int]


class QuarantineDone(Answer):
    """How many requests were released (with the subjects of their events), or dropped."""

    released: int
    dropped: int
    subjects: list[str]


class SourceRequest(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A new source. `subject` is what its events' subjects begin with: else `agent.events.webhook.<name>`."""

    name: Name
    type: SourceType
    secret: Secret
    subject: Subject | UnsetType = UNSET
    options: SourceOptions | UnsetType = UNSET


class SourceChange(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What is changed of a source; the rest stays."""

    paused: bool | UnsetType = UNSET
    subject: Subject | UnsetType = UNSET
    options: SourceOptions | UnsetType = UNSET


class RotateRequest(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A new secret. The one before counts for `keep` seconds more, so that the provider can be changed meanwhile."""

    secret: Secret
    keep: Annotated[float, Meta(ge=0, le=30 * 86400)] = 86400.0
    address: bool = False


class SourceLog(Answer, kw_only=True, omit_defaults=True):
    """One request that came, without its body."""

    at: Time
    status: int
    reason: str = ""
    event: str = ""
    delivery: str = ""
    bytes: int = 0
    peer: str = ""


class Source(Answer, kw_only=True, omit_defaults=True):
    """A source. `path` is its address below the sidecar's own, `gatewayPath` below the Gateway's. The counts are of
    this process. `secrets` is how many count now: two while one is rotated.
    """

    name: str
    type: SourceType
    subject: str
    path: str
    gateway_path: str
    paste: str
    made: Time
    paused: bool = False
    secrets: int = 1
    options: SourceOptions
    accepted: int = 0
    repeated: int = 0
    refused: dict[str, int]
    last: Time | UnsetType = UNSET
    requests: list[SourceLog] | UnsetType = UNSET


class Sources(Answer):
    """All sources. `strangers` counts requests to addresses that no source has, `quarantined` those that wait to be
    released; null when NATS can't be asked.
    """

    sources: list[Source]
    strangers: int
    quarantined: int | None


class SourceTested(Answer):
    """What became of a signed sample that the sidecar has sent to itself."""

    status: int
    subject: str
    id: str
    duplicate: bool
    routes: list[str]


class SourceRecipe(Answer, kw_only=True):
    """A route that is ready for a type of source: `pattern` is behind the source's subject."""

    name: str
    about: str
    pattern: str
    when: str = ""
    instruction: Instruction


class SourceKind(Answer, kw_only=True):
    """A type of source: where its address is to be pasted, whether its secret is ours to choose, whether it has to know
    its own address (`options.url`), and its recipes.
    """

    type: SourceType
    paste: str
    makes_secret: bool
    needs_url: bool
    recipes: list[SourceRecipe]


class SourceKinds(Answer):
    """All types."""

    types: list[SourceKind]


class Accepted(Answer, omit_defaults=True):
    """The answer at the door: 202 for an event that was stored, 200 for a repetition."""

    id: str
    subject: str
    duplicate: bool = False

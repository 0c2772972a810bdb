"""Sources: verified ways in for webhooks, and watchers of what sends nothing. Secrets go in and never come out."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from openclaw_nats.contract.fields import Answer, Duration, Instruction, Name, Subject, Time

SourceType = Literal[
    "standard", "github", "gitlab", "stripe", "slack", "shopify", "linear", "twilio", "discord", "grafana",
    "alertmanager", "uptime-kuma", "healthchecks", "home-assistant", "n8n", "token", "cloudevents", "generic",
    "unsigned", "files", "http", "command", "feed", "calendar", "mail",
]  # fmt: skip
Header = Annotated[str, Meta(extra_json_schema={"pattern": r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"})]
Secret = Annotated[str, Meta(description="Never shown again", extra_json_schema={"maxLength": 512})]
Address = Annotated[str, Meta(examples=["https://example.org/feed"], extra_json_schema={"maxLength": 1024})]
Path = Annotated[str, Meta(description="Absolute, on the sidecar's machine", extra_json_schema={"maxLength": 1024})]
FromBeginning = Annotated[bool, Meta(description="What is there at the first look is an event, too")]


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


class FilesOptions(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A folder. `pattern` (`*.pdf`) is of a file's name, or of its path in the folder when it has a `/`. A change
    counts when the file has stayed as it is for `settle`. Each `every` the folder is looked through, whatever is said.
    """

    path: Path
    pattern: Annotated[str, Meta(examples=["*.pdf"], extra_json_schema={"maxLength": 256})] = ""
    recursive: bool = False
    settle: Duration = "2s"
    every: Duration = "1m"
    from_beginning: FromBeginning = False


class HttpOptions(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """An address that is asked for each `every`. With `jsonPath` (`$.items[0].name`) only that value counts."""

    url: Address
    json_path: Annotated[str, Meta(examples=["$.state.level"], extra_json_schema={"maxLength": 256})] = ""
    every: Duration = "5m"
    from_beginning: FromBeginning = False


class CommandOptions(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A program and its arguments: no shell reads them. It is run again `every` after its end."""

    command: Annotated[list[str], Meta(examples=[["/usr/bin/journalctl", "-f"]])]
    every: Duration = "1m"


class FeedOptions(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """An RSS or Atom feed."""

    url: Address
    every: Duration = "15m"
    from_beginning: FromBeginning = False


class CalendarOptions(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """An ICS calendar, at an address or in a file: an event `before` each appointment."""

    url: Address = ""
    path: Path = ""
    before: Duration = "15m"
    every: Duration = "15m"


class MailOptions(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A mailbox at an IMAP server; the password is the source's secret. `none` is for a server on this machine only.
    A server that has no IDLE is asked each `every`.
    """

    host: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 253})]
    user: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 256})]
    port: Annotated[int, Meta(ge=1, le=65535)] = 993
    tls: Literal["imaps", "starttls", "none"] = "imaps"
    mailbox: Annotated[str, Meta(extra_json_schema={"maxLength": 256})] = "INBOX"
    mark_read: bool = False
    every: Duration = "5m"
    from_beginning: FromBeginning = False


class SourceOptions(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What only some types need. `header` is where the token of a type without a signature is (else Authorization);
    `timestampHeader` is Grafana's; `url` is the address as the provider has it, which Twilio signs. A source that
    watches has the field that is called like its type.
    """

    header: str = ""
    timestamp_header: str = ""
    url: Annotated[str, Meta(extra_json_schema={"maxLength": 1024})] = ""
    generic: GenericOptions | None = None
    files: FilesOptions | None = None
    http: HttpOptions | None = None
    command: CommandOptions | None = None
    feed: FeedOptions | None = None
    calendar: CalendarOptions | None = None
    mail: MailOptions | None = None


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
    """A new source. `subject` is what its events' subjects begin with: else `agent.events.webhook.<name>`, or
    `agent.events.watch.<name>` for one that watches. Those may have a `secret` where they sign in somewhere, `mail` has
    to; all others need one.
    """

    name: Name
    type: SourceType
    secret: Secret = ""
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


class Watching(Answer, kw_only=True, omit_defaults=True):
    """How a watcher does: `failing` with its reason, since when, and when it is tried again. One that is `running` has
    a reason when it does not see all of it.
    """

    state: Literal["starting", "running", "failing", "paused"]
    reason: str = ""
    since: Time | UnsetType = UNSET
    next_try: Time | UnsetType = UNSET


class RememberedSignatures(Answer, kw_only=True, omit_defaults=True):
    """Signatures without a time of their own, which verify until the secret is replaced: `count` are remembered, the
    oldest since `since`. Above `most` the oldest go first.
    """

    count: int
    most: int
    since: Time | UnsetType = UNSET


class Source(Answer, kw_only=True, omit_defaults=True):
    """A source. `path` is its address below the sidecar's own, `gatewayPath` below the Gateway's; both are empty for
    one that watches, which has `watching`. The counts are of this process. `secrets` is how many count now: two while
    one is rotated.
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
    watching: Watching | UnsetType = UNSET
    requests: list[SourceLog] | UnsetType = UNSET
    signatures: RememberedSignatures | UnsetType = UNSET


class Sources(Answer):
    """All sources. `strangers` counts requests to addresses that no source has, `quarantined` those that wait to be
    released; null when NATS can't be asked.
    """

    sources: list[Source]
    strangers: int
    quarantined: int | None


class SourceTested(Answer, omit_defaults=True):
    """What became of a signed sample that the sidecar has sent to itself; or what a watcher `sees` now, in words, which
    is stored nowhere. `routes` are those that take such an event.
    """

    status: int
    subject: str
    id: str
    duplicate: bool
    routes: list[str]
    sees: str = ""


class SourceRecipe(Answer, kw_only=True):
    """A route that is ready for a type of source: `pattern` is behind the source's subject."""

    name: str
    about: str
    pattern: str
    when: str = ""
    instruction: Instruction


class SourceKind(Answer, kw_only=True):
    """A type of source: where its address is to be pasted, whether its secret is ours to choose, whether it has to know
    its own address (`options.url`), and its recipes. One that `watches` has no address, and `missing` says what has to
    be installed for it.
    """

    type: SourceType
    paste: str
    makes_secret: bool
    needs_url: bool
    recipes: list[SourceRecipe]
    watches: bool = False
    missing: str = ""


class SourceKinds(Answer):
    """All types."""

    types: list[SourceKind]


class Accepted(Answer, omit_defaults=True):
    """The answer at the door: 202 for an event that was stored, 200 for a repetition."""

    id: str
    subject: str
    duplicate: bool = False

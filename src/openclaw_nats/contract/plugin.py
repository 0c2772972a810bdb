"""What the plugin and the sidecar say to each other."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from openclaw_nats.contract.fields import Answer, Json
from openclaw_nats.contract.routes import Guard, Tools
from openclaw_nats.contract.tool_results import ToolResult
from openclaw_nats.events.agents import Agents


class RunResult(Struct, rename="camel"):
    """What the plugin says of a run, or of an answer to OpenClaw's own prompt.

    `status`: queued (a wake-up that waits for its turn), accepted, ok, error, refused, or timeout (it did not end); of
    an answer ok (it counts), late (another one was first) or refused (the Gateway did not take it).
    `uptime`, with `refused`: how long the Gateway's process has run, in seconds.
    """

    instance: str
    key: str
    status: str
    run_id: str = ""
    error: str = ""
    reply: str = ""
    uptime: float | None = None


class Grant(Struct, rename="camel", frozen=True):
    """What the operator has approved: one call of `tool` in `session`, with the arguments that have this digest.

    `key` is what the plugin claims for good before the call runs, `until` (milliseconds) when it is over.
    """

    key: str
    tool: str
    digest: str
    session: str
    until: int


class RunPolicy(Struct, rename="camel", frozen=True, omit_defaults=True):
    """What the run of a dispatch may do: `tools` and `guard` are its route's, `tainted` says that they count.

    `grant` is what was approved beyond them, for this turn alone.
    """

    tools: Tools
    guard: Guard
    tainted: bool
    route: str
    dispatch: str
    grant: Grant | None = None


class SpoolReport(Struct, rename="camel"):
    """The spool: waiting events and bytes, age in seconds of the oldest, events dropped and rejected since start."""

    events: int = 0
    bytes: int = 0
    oldest_seconds: float = 0.0
    dropped: int = 0
    rejected: int = 0


class GuardReport(Struct, rename="camel"):
    """What the guard can do on this Gateway: whether a turn is known by its `run` or only by its `session`, and whether
    OpenClaw asks the operator itself.
    """

    turns_by: str
    asks: bool


class PluginReport(Struct, rename="camel"):
    """One report. `problems` are sentences for the operator, such as a permission that hooks lack; `notes` are what
    this Gateway can't give; `dashboard` is the path below which the Gateway serves the dashboard.
    """

    plugin_version: str
    gateway_version: str = ""
    gateway_id: str = ""
    pid: int = 0
    started_at: str = ""
    conversation_access: bool | None = None
    events: int = 0
    handler_errors: int = 0
    last_error: str = ""
    dashboard: str = ""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    guard: GuardReport | None = None
    agents: Agents = Agents()
    spool: SpoolReport = field(default_factory=SpoolReport)


class CallerFields(Struct, rename="camel"):
    """The agent's run that calls a tool, as the plugin reports it.

    `hops` and `cause` say which delivery has led to it (the loop guard's), `traceparent` whose trace it is in.
    `tainted` says whether something from outside has led to the run; a plugin that does not say is taken for yes.
    """

    agent_id: Annotated[str, Meta(extra_json_schema={"pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"})] = "main"
    session_key: str = ""
    session_id: str = ""
    hops: Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": 1000})] = 0
    cause: str = ""
    traceparent: str = ""
    tainted: bool | None = None


class ToolCall(Struct):
    """A call of an agent's tool: who calls, and with which parameters."""

    caller: CallerFields
    parameters: Json = None


class ToolAnswer(Answer, omit_defaults=True):
    """What a tool gives back: `result` is ours, `outside` what others wrote, which the agent gets marked as such."""

    result: Annotated[ToolResult, Meta(extra_json_schema={"description": "a shape of its own for each tool"})]
    outside: Json = None


class Probe(Answer):
    """The number that the plugin's test event will carry."""

    probe: str


class Proof(Answer):
    """That the sidecar knows the API key (peer_proof.py)."""

    nonce: str
    address: str
    proof: str

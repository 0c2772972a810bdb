"""The text of a dispatch: the default list of events, a route's template, or JSON for webhooks and subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from openclaw_nats.errors import Poison
from openclaw_nats.events import json_text
from openclaw_nats.inbound.groups import EVENT_TEXT
from openclaw_nats.inbound.render_process import RenderProcesses, TooLong
from openclaw_nats.inbound.route import Route
from openclaw_nats.inbound.template_check import check_template

Document = Mapping[str, object]
MAX_SINGLE_FAILURES = 5
_CUT = "… [cut]"

_encode = msgspec.json.Encoder().encode


def with_payload(document: Document, payload: Mapping[str, object] | None) -> dict[str, object]:
    """The event with the route's payload merged into its data; data that is no object becomes `value`."""
    found = dict(document)
    if payload:
        data = _data_of(found)
        data = json_text.shown(data) if isinstance(data, msgspec.Raw) and bytes(data).startswith(b"{") else data
        found.pop("data_base64", None)  # an event has either
        base = data if isinstance(data, dict) else ({} if data is None else {"value": data})
        found["data"] = {**base, **payload}
    return found


def default_text(route: str, documents: Sequence[Document]) -> str:
    """A compact list of the events: subject, time, data."""
    if len(documents) == 1:
        return f'Event on route "{route}":\n{_line(documents[0])}'
    first, last = documents[0].get("time", ""), documents[-1].get("time", "")
    lines = [f'{len(documents)} events on route "{route}", {first} to {last}:']
    lines += [f"{number}. {_line(document)}" for number, document in enumerate(documents, 1)]
    return "\n".join(lines)


def _data_of(document: Document) -> object:
    """The event's data; octets are `{"base64": …}`."""
    if "data" not in document and "data_base64" in document:
        return {"base64": document["data_base64"]}
    return document.get("data")


def _line(document: Document) -> str:
    head = f"{document['subject']} {document.get('time', '')}".rstrip()
    data = _data_of(document)
    if data is None:
        return head
    text = data if isinstance(data, str) else _encode(data).decode()
    if len(text) > EVENT_TEXT:
        text = f"{text[:EVENT_TEXT]}… [cut; all {len(text)} characters are in event {document['id']}]"
    return f"{head} {text}"


class Renderer:
    """Renders dispatches; templates run in processes of their own (render_process.py)."""

    def __init__(self, processes: RenderProcesses, max_text: int) -> None:
        self._processes = processes
        self._max_text = max_text

    async def render(self, route: Route, documents: Sequence[Document], said: str = "") -> str:
        """The text for an agent, with what is `said` in front, or the body for a webhook or subject.

        Raise Poison, or TooLong if fewer may fit.
        """
        merged = [with_payload(document, route.document.payload) for document in documents]
        template = route.document.template
        if template is not None:
            for one in merged:
                if any(isinstance(value, msgspec.Raw) for value in one.values()):
                    raise Poison(json_text.OUT_OF_RANGE)
            text = await self._from_template(route, template, merged)
        elif route.target.is_turn:
            text = default_text(route.name, merged)
        else:
            return _encode(merged[0] if not route.policy.batch_size else merged).decode()
        text = said + text if route.target.is_turn else text
        encoded = text.encode()
        if len(encoded) > self._max_text:
            if len(documents) > 1:
                raise TooLong
            return encoded[: self._max_text - len(_CUT.encode())].decode("utf-8", "ignore") + _CUT
        return text

    async def _from_template(self, route: Route, template: str, merged: Sequence[Document]) -> str:
        try:
            groups = [merged] if check_template(template) else [[one] for one in merged]
            variables = [self._variables(route, group, len(merged)) for group in groups]
            return await self._processes.render(route.id, template, variables, self._max_text)
        except TooLong:
            if len(merged) > 1:
                raise
            raise Poison(f"the template's text is longer than {self._max_text} bytes") from None

    async def sort_out(self, route: Route, documents: Sequence[Document]) -> dict[int, str]:
        """After a digest could not be rendered: the places of the events that can't be rendered alone, and why."""
        bad: dict[int, str] = {}
        in_a_row = 0
        for place, document in enumerate(documents):
            if in_a_row >= MAX_SINGLE_FAILURES:
                return {index: next(iter(bad.values())) for index in range(len(documents))}
            try:
                await self.render(route, [document])
                in_a_row = 0
            except Poison as error:
                bad[place] = str(error)
                in_a_row += 1
        return bad

    @staticmethod
    def _variables(route: Route, merged: Sequence[Document], count: int) -> dict[str, object]:
        first = merged[0]
        return {
            "event": first,
            "events": list(merged),
            "data": _data_of(first),
            "subject": first["subject"],
            "count": count,
            "route": route.name,
        }

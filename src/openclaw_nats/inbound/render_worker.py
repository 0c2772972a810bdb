"""The process that runs templates: no environment, little memory, limited time. One JSON line in, one out.

    python -I -m openclaw_nats.inbound.render_worker

A request is `{"template", "variables" (a list of sets), "limit"}`, an answer `{"text"}` or `{"error"}`. A template that
runs for longer than CPU_SECONDS is interrupted; one that hangs in a single long operation is killed by the parent.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from functools import lru_cache
from typing import Protocol

from jinja2 import ChainableUndefined, Template, Undefined, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.sandbox import ImmutableSandboxedEnvironment

from openclaw_nats.events.json_text import whole_text
from openclaw_nats.sandbox.child import MEMORY_BYTES, serve

CPU_SECONDS = 0.5
_DATA = (dict, list, str, int, float, tuple)
_LISTS = (tuple, set, frozenset, Iterator, KeysView, ValuesView, ItemsView, range)


class OutOfTime(Exception):
    """The template ran for too long."""


class OutOfRoom(Exception):
    """The template wrote too much."""


def _show(value: object) -> object:
    """Objects, lists and what filters make of them are shown as JSON; nothing, and what is no data, as nothing."""
    if isinstance(value, (str, Undefined)) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    if isinstance(value, _LISTS):
        value = list(value)
    return to_json(value) if isinstance(value, (dict, list, bool)) else ""


def to_json(value: object, indent: int | None = None) -> str:
    """The filter `tojson`: a field that is missing is null, as it is in JSON."""
    lines = None if indent is None else min(8, max(0, int(indent)))
    return json.dumps(value, ensure_ascii=False, default=_plain, indent=lines)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, _LISTS) else None


class _Called(Protocol):
    def __call__(self, *arguments: object, **named: object) -> object: ...


class Method(ChainableUndefined):
    """A method of a value, such as `data.items`: a field that is missing for everything but a call."""

    __slots__ = ("_method",)

    def __init__(self, method: _Called, obj: object, name: str) -> None:
        super().__init__(obj=obj, name=name)
        self._method = method

    def __call__(self, *arguments: object, **named: object) -> object:  # type: ignore[override]
        return self._method(*arguments, **named)


class Generator(CodeGenerator):
    """Writes the code of templates; `a ~ b` joins what is shown of both."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        """See CodeGenerator."""
        self.write("str_join(map(environment.finalize, (")
        for one in node.nodes:
            self.visit(one, frame)
            self.write(", ")
        self.write(")))")


class Environment(ImmutableSandboxedEnvironment):
    """The sandbox: no attribute that leads out of it, arithmetic that is worked out at run time only."""

    code_generator_class = Generator

    def getattr(self, obj: object, attribute: str) -> object:
        """A field of an object goes before a method of that name: `data.items` is what the event has there."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return _without_address(super().getattr(obj, attribute), obj, attribute)

    def getitem(self, obj: object, argument: object) -> object:
        """A field, an item, or a method as `getattr` gives it."""
        return _without_address(super().getitem(obj, argument), obj, str(argument))

    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "%", "**"])


def _without_address(found: object, obj: object, name: str) -> object:
    if callable(found) and not isinstance(found, Undefined) and isinstance(obj, _DATA):
        return Method(found, obj, name)
    return found


def make_environment() -> Environment:
    """The environment of every template."""
    environment = Environment(
        undefined=ChainableUndefined, finalize=_show, keep_trailing_newline=False, optimized=False
    )
    environment.globals.clear()
    environment.globals["range"] = lambda *numbers: range(*numbers)[:10_000]
    environment.filters["tojson"] = to_json
    environment.filters["string"] = lambda value: value if isinstance(value, str) else str(_show(value))
    return environment


@lru_cache(maxsize=256)
def compiled(source: str) -> Template:
    """A template, compiled once."""
    return ENVIRONMENT.from_string(source)


def render(source: str, sets: list[dict[str, object]], limit: int) -> str:
    """The texts of a template for each set of variables, at most `limit` bytes of UTF-8; raises whatever goes wrong."""
    with _time_limit():
        parts: list[str] = []
        size = 0
        for number, variables in enumerate(sets):
            for part in itertools.chain(["\n\n"] if number else [], compiled(source).generate(**variables)):
                size += len(part.encode("utf-8", "surrogatepass"))
                if size > limit:
                    raise OutOfRoom
                parts.append(part)
    return "".join(parts)


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise OutOfTime

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def answer(line: bytes) -> dict[str, str]:
    """The answer to one request."""
    request = json.loads(line)
    try:
        return {"text": render(request["template"], request["variables"], request["limit"])}
    except OutOfTime:
        return {"error": f"the template took longer than {CPU_SECONDS:g} s"}
    except OutOfRoom:
        return {"error": "room"}
    except MemoryError:
        return {"error": f"the template needed more than {MEMORY_BYTES >> 20} MiB"}
    except RecursionError:
        return {"error": "the template recurses without end"}
    except Exception as error:  # whatever a template does wrong is one line for its author
        return {"error": f"{type(error).__name__}: {str(error)[:300]}"}


def encoded_answer(line: bytes) -> bytes:
    """The answer as JSON. Half a character that a template wrote (`"\\ud800"`) becomes U+FFFD."""
    return json.dumps({name: whole_text(text) for name, text in answer(line).items()}).encode()


ENVIRONMENT = make_environment()


def main() -> None:
    """Answer requests until the input ends. A template that overruns is interrupted; what can't be is killed later."""
    serve(encoded_answer, 2 * CPU_SECONDS + 1)


if __name__ == "__main__":
    main()

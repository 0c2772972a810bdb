"""Conditions on an event: CEL expressions (https://cel.dev), and the upstream tool's filters, which become CEL.

An expression sees `event` (all attributes), and for short `data`, `subject`, `type`, `source`, `id`, `time`,
`priority`, `hops`, `agentid`, `sessionkey`. An attribute that an event lacks is empty text, and so are those about the
Gateway in an event that does not come from there. `origin` is who said it (events/origin.py).
"""

from __future__ import annotations

import json
import re
import sys
import time
import types
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from openclaw_nats.errors import InvalidRoute, Poison
from openclaw_nats.events import cel_functions, cel_text, json_text

# Loading the package also loads its command line (prompt-toolkit, typer: 160 ms and 20 MB), which nothing here uses.
sys.modules.setdefault("cel.cli", types.ModuleType("cel.cli"))

import cel  # noqa: E402

MAX_LENGTH = 2000
MAX_FILTER = 20_000  # characters of the expression that a filter becomes: 0.3 s to compile
PATTERN_SECONDS = 0.5  # processor time
CHEAP = 512 * 1024  # bytes of a document, times the weight of an expression: some milliseconds
ATTRIBUTES = ("id", "source", "type", "subject", "time", "gatewayid", "agentid", "sessionkey", "sessionid", "runid")
# What only the Gateway, its agents and the operator can know: in an event from outside it counts for nothing.
CLAIMS = ("gatewayid", "agentid", "sessionkey", "sessionid", "runid")
VARIABLES = frozenset({"event", "data", "priority", "hops", "origin", *ATTRIBUTES})
FUNCTIONS = frozenset(
    "size contains startsWith endsWith matches int uint double string bool bytes type dyn timestamp duration "
    "getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds "
    "getMilliseconds".split()
)
OPERATORS = ("eq", "neq", "gt", "gte", "lt", "lte", "in", "nin", "contains", "exists")
_TYPE_NAMES = frozenset("int uint double string bool bytes list map null_type type".split())
_MACRO = re.compile(r"(?:\.|\b)(all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
_POSITION = re.compile(r"<input>:(\d+):(\d+): (.*)")
_MATCHES = cel.compile("text.matches(pattern)")
_COMPARE = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Expression:
    """One compiled CEL expression; `evaluate` returns its value."""

    def __init__(self, source: object, field: str) -> None:
        self.source = _checked(source, field)
        try:
            written = cel.compile(self.source)
        except ValueError as error:
            raise InvalidRoute(f"{field}: {_position(str(error))}", hint=_hint()) from None
        bare = cel_text.blanked(self.source)
        self._check_names(written, bare, field)
        self._check_patterns(bare, field)
        self._program = cel.compile(cel_functions.renamed(self.source, bare))
        self.costly_patterns = cel_text.costly_patterns(self.source, bare)
        slow = cel_text.may_loop(self.source) or self.costly_patterns
        self._weight = None if slow else 1 + len(self.source) // 40 + bare.count("+") ** 2

    def is_cheap(self, size: int) -> bool:
        """Whether it may be worked out in the event loop, for a document of `size` bytes.

        A macro goes through lists as often as its author likes; `+` copies what it joins; some patterns take long to
        compile.
        """
        return self._weight is not None and self._weight * size <= CHEAP

    def evaluate(self, context: Context) -> Any:
        """The value for one event's context (`context_of`); raise Poison that says what failed."""
        scope = context.scope
        try:
            return self._program.execute(scope)
        except KeyError as error:
            raise Poison(f"{self.source!r}: the event has no field {error}; test for it with has()") from None
        except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError) as error:
            raise Poison(f"{self.source!r}: {_reason(str(error))}") from None

    def _check_names(self, program: Any, bare: str, field: str) -> None:
        bound = {match[2] for match in _MACRO.finditer(bare)}
        if cel_text.has_nested_loop(bare):
            raise InvalidRoute(
                f"{field}: one of all, exists, exists_one, map, filter lies inside another",
                hint="Its cost would grow with the square of the event's size; test one list at a time.",
            )
        for name in sorted(set(program.variables()) - VARIABLES - _TYPE_NAMES - bound):
            raise InvalidRoute(f"{field}: {_where(bare, name)}there is no variable {name!r}", hint=_hint())
        for name in sorted(set(program.functions()) - FUNCTIONS):
            if name[0] not in "_@!-":
                raise InvalidRoute(
                    f"{field}: {_where(bare, name)}there is no function {name!r}",
                    hint="Functions: " + ", ".join(sorted(FUNCTIONS)) + ".",
                )

    def _check_patterns(self, bare: str, field: str) -> None:
        """A regular expression that is written out has to be one, and all of them ready in PATTERN_SECONDS."""
        began = time.thread_time()
        for literal in cel_text.patterns(self.source, bare):
            try:
                cel.compile(f"''.matches({literal})").execute({})
            except (ValueError, RuntimeError) as error:
                why = str(error).split("error: ")[-1].split(". Check")[0].strip()
                raise InvalidRoute(f"{field}: {literal[:80]} is not a regular expression: {why[:200]}") from None
            if time.thread_time() - began > PATTERN_SECONDS:
                raise InvalidRoute(
                    f"{field}: its regular expressions take too long to prepare",
                    hint="Write fewer, with smaller repetitions: \\w{20} copies a large table 20 times.",
                )


class Condition:
    """An expression that says yes or no."""

    def __init__(self, source: object, field: str = "when") -> None:
        self._expression = Expression(source, field)
        self.source = self._expression.source

    def holds(self, context: Context) -> bool:
        """Whether the event passes; raise Poison when the expression fails on it or its value is not a boolean."""
        value = self._expression.evaluate(context)
        if not isinstance(value, bool):
            raise Poison(f"{self.source!r} is {type(value).__name__} {str(value)[:80]!r}, not true or false")
        return value

    @property
    def costly_patterns(self) -> int:
        """How many of its regular expressions may take long to compile."""
        return self._expression.costly_patterns

    def is_cheap(self, size: int) -> bool:
        """See Expression.is_cheap."""
        return self._expression.is_cheap(size)


@lru_cache(maxsize=4096)
def _parsed(source: str, field: str) -> Condition:
    return Condition(source, field)


def condition_of(source: object, field: str = "when") -> Condition:
    """A condition, compiled once for equal texts."""
    return _parsed(_checked(source, field), field)


class Context(dict[str, Any]):
    """What an expression sees of one event. What the interpreter makes of it costs some microseconds a value: once."""

    _scope: Any = None

    @property
    def scope(self) -> Any:
        """The interpreter's form; raise Poison for an integer that not even a double holds."""
        if self._scope is None:
            try:
                self._scope = _scope(self)
            except Poison as error:
                self._scope = error
        if isinstance(self._scope, Poison):
            raise Poison(str(self._scope))
        return self._scope


def context_of(document: Mapping[str, Any], origin: str = "outside", *, believed: bool = True) -> Context:
    """What an expression sees of a CloudEvents document; see Decoded for `believed`."""
    context = Context({name: document.get(name, "") for name in ATTRIBUTES})
    if not believed:
        context |= dict.fromkeys(CLAIMS, "")
    context["origin"] = origin
    context["priority"] = document.get("priority", 5)
    context["hops"] = document.get("hops", 0)
    context["data"] = document.get("data")
    context["event"] = dict(document)
    return context


def _scope(context: Mapping[str, Any]) -> Any:
    """The interpreter's variables and our functions; raise Poison for an integer that not even a double holds."""
    try:
        scope = cel.Context(dict(context))
    except (ValueError, OverflowError):  # an integer beyond 64 bits, which JSON has and CEL has not
        try:
            scope = cel.Context(_with_doubles(dict(context)))
        except (ValueError, OverflowError):
            raise Poison(json_text.OUT_OF_RANGE) from None
    for name, function in _FUNCTIONS.items():
        scope.add_function(name, function)
    return scope


def _with_doubles(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_doubles(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_doubles(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 63:
        return float(value)
    return value


def _matches(text: str, pattern: str) -> bool:
    return bool(_MATCHES.execute({"text": text, "pattern": pattern}))


def _reason(message: str) -> str:
    """What the interpreter says, without what is about its Python side."""
    found = re.sub(r"Python function call failed: \w+: ", "", message).split(". ")[0][:300]
    return re.sub(r"^Function '(\w+?)_?' error: ", r"\1(): ", found)


def filter_to_cel(rules: object, field: str = "filter") -> str:
    """The CEL expression that means the same as an upstream filter; raise InvalidRoute with the place of a mistake.

    A field is a path into `data`: names and, for lists, indexes, joined by dots. A field that is missing or of another
    type fails every test but `neq`, `nin` and `exists: false`.
    """
    if not isinstance(rules, dict) or set(rules) - {"logic", "conditions"} or "conditions" not in rules:
        raise InvalidRoute(f'{field} must be {{"logic": "and" or "or", "conditions": […]}}')
    logic = rules.get("logic", "and")
    if logic not in ("and", "or"):
        raise InvalidRoute(f'{field}.logic must be "and" or "or", not {str(logic)[:40]!r}')
    conditions = rules["conditions"]
    if not isinstance(conditions, list) or not 1 <= len(conditions) <= 50:
        raise InvalidRoute(f"{field}.conditions must be a list of 1 to 50 conditions")
    parts: list[str] = []
    for index, one in enumerate(conditions):
        parts.append(f"({_condition_to_cel(one, f'{field}.conditions[{index}]')})")
        if sum(map(len, parts)) > MAX_FILTER:
            raise InvalidRoute(
                f"{field}.conditions[{index}] is too much: as an expression they have over {MAX_FILTER} characters",
                hint="Write fewer values, or shorter paths.",
            )
    return (" && " if logic == "and" else " || ").join(parts)


def _condition_to_cel(condition: object, where: str) -> str:
    if not isinstance(condition, dict) or set(condition) - {"field", "op", "value"} or "field" not in condition:
        raise InvalidRoute(f'{where} must be {{"field", "op", "value"}}')
    op, value = condition.get("op"), condition.get("value")
    if op not in OPERATORS:
        raise InvalidRoute(f"{where}.op must be one of {', '.join(OPERATORS)}, not {str(op)[:40]!r}")
    if "value" not in condition and op != "exists":
        raise InvalidRoute(f"{where}.value is missing")
    there, found = _path(condition["field"], f"{where}.field")
    if op == "exists":
        return there if value is not False else f"!({there})"
    if op in ("eq", "neq"):
        test = f"{there} && {found} == {_literal(value, where)}"
        return test if op == "eq" else f"!({test})"
    if op in ("in", "nin"):
        if not isinstance(value, list):
            raise InvalidRoute(f"{where}.value must be a list for {op}")
        test = f"{there} && {found} in {_literal(value, where)}"
        return test if op == "in" else f"!({test})"
    if op == "contains":
        test = f"type({found}) == list && {_literal(value, where)} in {found}"
        if isinstance(value, str):
            test += f" || type({found}) == string && {found}.contains({_literal(value, where)})"
        return f"{there} && ({test})"
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise InvalidRoute(f"{where}.value must be a number or text for {op}")
    kind = (
        f"type({found}) == string" if isinstance(value, str) else f"(type({found}) == int || type({found}) == double)"
    )
    return f"{there} && {kind} && {found} {_COMPARE[op]} {_literal(value, where)}"


def _path(field: object, where: str) -> tuple[str, str]:
    """(an expression that the field is there, the expression of its value)."""
    if not isinstance(field, str) or not field or len(field) > 200 or "" in field.split("."):
        raise InvalidRoute(f"{where} must be a path such as door.state or items.0.name")
    found, tests = "data", []
    for part in field.split("."):
        if part.isascii() and part.isdigit() and len(part) < 6:
            tests += [f"type({found}) == list", f"size({found}) > {int(part)}"]
            found += f"[{int(part)}]"
        else:
            name = _literal(part, where)
            tests += [f"type({found}) == map", f"{name} in {found}"]
            found += f"[{name}]"
    return " && ".join(tests), found


def _literal(value: object, where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 63:
        try:
            value = float(value)
        except OverflowError:
            raise InvalidRoute(f"{where}.value can't be used: the number is too large") from None
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        value = int(value)
    if isinstance(value, list):
        return "[" + ", ".join(_literal(item, where) for item in value) + "]"
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{_literal(str(key), where)}: {_literal(item, where)}" for key, item in value.items())
            + "}"
        )
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, TypeError):
        raise InvalidRoute(f"{where}.value can't be used: it is not a finite number or valid Unicode") from None
    return text


def _checked(source: object, field: str) -> str:
    if not isinstance(source, str) or not source.strip():
        raise InvalidRoute(f"{field} must be a CEL expression, as text")
    if len(source) > MAX_LENGTH and field != "filter":
        raise InvalidRoute(f"{field} is {len(source)} characters long; the limit is {MAX_LENGTH}")
    if source.count("(") + source.count("[") > 200 and field != "filter":
        raise InvalidRoute(f"{field} is nested too deeply")
    return source


def _position(message: str) -> str:
    match = _POSITION.search(message)
    if not match:
        return message.split("\n")[0][:200]
    what = re.sub(r", expecting \{.*| expecting \{.*", "", match[3])
    return f"line {match[1]}, column {match[2]}: {what[:200]}"


def _where(bare: str, name: str) -> str:
    match = re.search(rf"\b{re.escape(name)}\b", bare)
    if not match:
        return ""
    line = bare.count("\n", 0, match.start()) + 1
    return f"line {line}, column {match.start() - (bare.rfind(chr(10), 0, match.start()) + 1) + 1}: "


def _hint() -> str:
    return "Variables: " + ", ".join(sorted(VARIABLES)) + ". Example: data.state == 'open' && priority >= 5"


_FUNCTIONS = cel_functions.functions(_matches)

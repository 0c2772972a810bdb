"""Whether a template can be compiled; rendering is done elsewhere (rendering.py), in a process of its own."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from openclaw_nats.errors import InvalidRoute

if TYPE_CHECKING:
    from jinja2 import nodes

FILTERS = frozenset(
    "abs attr batch capitalize count d default dictsort e escape first float groupby int items join last "
    "length list lower map max min reject rejectattr replace reverse round select selectattr slice sort string "
    "striptags sum title tojson trim truncate unique upper urlencode wordcount".split()
)
TESTS = frozenset(
    "boolean defined divisibleby eq equalto even false float ge greaterthan gt in integer iterable le "
    "lessthan lower lt mapping ne none number odd sameas sequence string true undefined upper".split()
)


@lru_cache(maxsize=512)
def check_template(source: str) -> bool:
    """Whether the template goes through all `events` itself; one that does not is rendered for each event.

    Raises InvalidRoute with the line of the mistake when `source` is not a template that may be used.
    """
    from jinja2 import TemplateError, TemplateSyntaxError
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment()
    try:
        tree = environment.parse(source)  # parsing only: compiling would work out "x" * 10**10 right here
    except TemplateSyntaxError as error:
        raise InvalidRoute(f"template: line {error.lineno}: {error.message}") from None
    except (TemplateError, RecursionError, ValueError, OverflowError) as error:
        raise InvalidRoute(f"template: {error}") from None
    try:
        return _checked(tree)
    except RecursionError:
        raise InvalidRoute("template: an expression in it is too long") from None


def _checked(tree: nodes.Template) -> bool:
    from jinja2 import nodes

    for node in tree.find_all((nodes.Import, nodes.FromImport, nodes.Include, nodes.Extends)):
        raise InvalidRoute(f"template: line {node.lineno}: it can't use other templates")
    for kind, what, allowed in ((nodes.Filter, "filter", FILTERS), (nodes.Test, "test", TESTS)):
        for found in tree.find_all(kind):
            if found.name not in allowed:
                raise InvalidRoute(
                    f"template: line {found.lineno}: the {what} {found.name!r} can't be used here",
                    hint=f"There are: {', '.join(sorted(allowed))}.",
                )
    return any(name.name == "events" for name in tree.find_all(nodes.Name))

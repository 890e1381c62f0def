"""Render Liquid templates within limits; only the rendering process does this.

A template reaches no files, no other templates and no objects but its own values. ``rendering_budget.py`` counts the
work while a template runs; the limits of the process are the last bound.
"""

import decimal
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from liquid import BoundTemplate, Environment, Node, RenderContext
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import (
    BlockNestingError,
    ContextDepthError,
    LiquidError,
    LocalNamespaceLimitError,
    OutputStreamLimitError,
)
from liquid.expression import Expression

from actions import rendering_comparison
from actions.blank import LINE_BREAK, on_one_line
from actions.rendering_budget import BoundedStop, BudgetContext
from actions.rendering_filter import prepared
from actions.rendering_limit import DEPTH, MEMORY_BYTES, OUTPUT_BYTES, VARIABLE_BYTES
from actions.rendering_source import work_of
from actions.rendering_value import ARITHMETIC, liquid_value

PROBLEM_CHARACTERS: Final = 300
KEPT_TEMPLATES: Final = 64

_LIMITS: Final[Mapping[type[Exception], str]] = {
    BlockNestingError: f"nesting limit of {DEPTH} passed",
    ContextDepthError: f"nesting limit of {DEPTH} passed",
    LocalNamespaceLimitError: f"variable limit of {VARIABLE_BYTES:,} bytes passed",
    MemoryError: f"memory limit of {MEMORY_BYTES:,} bytes passed",
    OutputStreamLimitError: f"output limit of {OUTPUT_BYTES:,} bytes passed",
    RecursionError: "expressions are nested too deep",
}


class RenderingFailed(Exception):
    """A template cannot be rendered; the message names the source, and the limit or the mistake."""


class Engine:
    """Renders texts as plain text or as HTML; in HTML every value is escaped."""

    def __init__(self) -> None:
        rendering_comparison.install()
        self._text = _Environment(autoescape=False)
        self._html = _Environment(autoescape=True)
        self._parsed = lru_cache(maxsize=KEPT_TEMPLATES)(self._parse)

    @property
    def filters(self) -> Collection[str]:
        """The names of all filters."""
        return self._text.filters.keys()

    def render(self, request: Mapping[str, Any]) -> dict[str, str]:
        """Return every source of a request rendered with its values.

        The source named ``html`` is HTML. Line breaks that values bring into the one named ``subject`` become blanks:
        it is rendered again with values that have none, so what is left is the template's own. Raises RenderingFailed.
        """
        values: dict[str, Any] = {}
        for names, value in zip(request["names"], request["values"], strict=True):
            values.update(dict.fromkeys(names, liquid_value(value)))
        now = values.get("now")
        if isinstance(now, datetime):
            values.setdefault("today", now.date())
        with decimal.localcontext(ARITHMETIC):
            texts = {name: self._render_one(name, source, values) for name, source in request["sources"].items()}
            if LINE_BREAK.search(texts.get("subject", "").strip()):
                texts["subject"] = self._one_line(request["sources"]["subject"], values)
        return texts

    def _one_line(self, source: str, values: Mapping[str, Any]) -> str:
        """Return a subject rendered without the line breaks that do not stand in its ``source``."""
        text = self._render_one("subject", source, on_one_line(values))
        # If the source has no line break, values brought all of them: in keys, or encoded, for a filter to decode.
        return text if LINE_BREAK.search(source.strip()) else str(on_one_line(text))

    def _render_one(self, name: str, source: str, values: Mapping[str, Any]) -> str:
        # Liquid and its filters raise many kinds of errors; each is a mistake in this template.
        try:
            return self._parsed(source, name == "html").render(values)
        except Exception as error:
            raise RenderingFailed(f"{name}: {problem_of(error)}") from error

    def _parse(self, source: str, is_html: bool) -> BoundTemplate:
        work = work_of(source)
        template = (self._html if is_html else self._text).from_string(source)
        assert isinstance(template, _Template)
        template.work = work
        for expression in _expressions(template):
            if isinstance(expression, RangeLiteral):
                expression.stop = BoundedStop(expression.start, expression.stop)
        return template


class _Template(BoundTemplate):
    context_class = BudgetContext

    def __init__(self, env: Environment, nodes: list[Node], **options: Any) -> None:
        super().__init__(env, nodes, **options)
        self.work = 0


class _Environment(Environment):
    block_nesting_limit = DEPTH
    context_depth_limit = DEPTH
    local_namespace_limit = VARIABLE_BYTES
    output_stream_limit = OUTPUT_BYTES
    template_class = _Template

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        # A template cannot include others, and no value is trusted to be HTML.
        for tag in ("include", "render"):
            del self.tags[tag]
        del self.filters["safe"]
        self.filters = prepared(self.filters)


def problem_of(error: Exception) -> str:
    """Return the problem on one line, cut, with its line in the template.

    The excerpt of the template that Liquid adds is left out: it may hold anything.
    """
    problem = _LIMITS.get(type(error))
    if problem is None and isinstance(error, LiquidError):
        problem = str(error.message)
    if problem is None:
        problem = f"{type(error).__name__} while rendering: {error}" if str(error) else type(error).__name__
    shown = "".join(each if each.isprintable() else " " for each in problem[:PROBLEM_CHARACTERS])
    place = error.context() if isinstance(error, LiquidError) else None
    return f"{shown} in line {place[0]}" if place else shown


def _expressions(template: BoundTemplate) -> Iterator[Expression]:
    """Yield every expression of a template, those inside of others too."""
    context = RenderContext(template)
    nodes = list(template.nodes)
    while nodes:
        node = nodes.pop()
        nodes.extend(node.children(context))
        expressions = list(node.expressions())
        while expressions:
            expression = expressions.pop()
            expressions.extend(expression.children())
            yield expression

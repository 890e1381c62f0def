"""Renders the Liquid templates that users write, safely: nothing escapes, and nothing runs for ever.

Rendering happens in a thread, so that even a template at its limits does not hold up the event loop.
"""

import asyncio
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from liquid import BoundTemplate, Environment, Node, RenderContext
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import (
    BlockNestingError,
    ContextDepthError,
    LiquidError,
    LiquidInterrupt,
    LocalNamespaceLimitError,
    OutputStreamLimitError,
)
from liquid.expression import Expression

from actions.rendering_budget import BoundedStop, BudgetContext
from actions.rendering_source import work_of
from config.error import PermanentActionError

OUTPUT_BYTES: Final = 200_000
VARIABLE_BYTES: Final = 200_000
DEPTH: Final = 20

_LIMITS: Final[Mapping[type[LiquidError], str]] = {
    BlockNestingError: f"nesting limit of {DEPTH} passed",
    ContextDepthError: f"nesting limit of {DEPTH} passed",
    LocalNamespaceLimitError: f"variable limit of {VARIABLE_BYTES:,} bytes passed",
    OutputStreamLimitError: f"output limit of {OUTPUT_BYTES:,} bytes passed",
}

# What Liquid lets through besides its own errors, when filters meet values they were not written for.
_FAULTS: Final = (LiquidInterrupt, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class Renderer:
    """Renders texts as plain text or as HTML; in HTML every value is escaped."""

    def __init__(self) -> None:
        self._text = _Environment(autoescape=False)
        self._html = _Environment(autoescape=True)
        self._parsed = lru_cache(maxsize=64)(self._parse)

    async def render(self, sources: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
        """Return every source rendered with ``values``, under its name; the source named ``html`` is HTML.

        Raises PermanentActionError, naming the source and the limit or the mistake.
        """
        return await asyncio.to_thread(self._render, sources, values)

    def _render(self, sources: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
        return {name: self._render_one(name, source, values) for name, source in sources.items()}

    def _render_one(self, name: str, source: str, values: Mapping[str, Any]) -> str:
        try:
            return self._parsed(source, name == "html").render(values)
        except LiquidError as error:
            raise PermanentActionError(f"{name}: {_problem(error)}") from error
        except _FAULTS as error:
            raise PermanentActionError(f"{name}: {type(error).__name__} while rendering") from error

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
        # Templates stand alone: there is nothing to include, and no value is ever trusted to be HTML.
        for tag in ("include", "render"):
            del self.tags[tag]
        del self.filters["safe"]


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


def _problem(error: LiquidError) -> str:
    """Return what is wrong and in which line; without the excerpt that Liquid adds, which may hold anything."""
    problem = _LIMITS.get(type(error)) or str(error.message)
    place = error.context()
    return f"{problem} in line {place[0]}" if place else problem

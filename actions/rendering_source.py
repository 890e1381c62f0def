"""Check the source of a Liquid template before Liquid reads it, in one pass.

Liquid's lexer consists of regular expressions that take quadratic time for some texts, without a pause. So the lengths
that matter to them are limited here first.
"""

import re
from collections.abc import Iterator
from typing import Final

from liquid.exceptions import LiquidSyntaxError, ResourceLimitError

from actions.rendering_budget import TAG_WORK

SOURCE_CHARACTERS: Final = 100_000
TAGS: Final = 2_500
TAG_CHARACTERS: Final = 2_000
BLANKS: Final = 100  # in a row, inside a tag

_BLANKS: Final = re.compile(rf"\s{{{BLANKS + 1}}}")
_VERBATIM: Final = {
    name: re.compile(rf"\{{%-?\s{{0,{BLANKS}}}end{name}\s{{0,{BLANKS}}}-?%\}}") for name in ("raw", "doc")
}


def work_of(source: str) -> int:
    """Return the work of rendering every tag of ``source`` once, in the units of the rendering budget.

    Raises ResourceLimitError, naming the limit, and LiquidSyntaxError for a tag without an end.
    """
    if len(source) > SOURCE_CHARACTERS:
        raise ResourceLimitError(f"source limit of {SOURCE_CHARACTERS:,} characters passed", token=None)
    work = 0
    for number, tag in enumerate(_tags(source), start=1):
        if number > TAGS:
            raise ResourceLimitError(f"source limit of {TAGS:,} tags passed", token=None)
        if len(tag) > TAG_CHARACTERS:
            raise ResourceLimitError(f"tag limit of {TAG_CHARACTERS:,} characters passed", token=None)
        if _BLANKS.search(tag):
            raise ResourceLimitError(f"limit of {BLANKS} blanks in a row passed in a tag", token=None)
        work += TAG_WORK + len(tag)
    return work


def _tags(source: str) -> Iterator[str]:
    """Yield the inside of every ``{{ }}`` and ``{% %}``, as Liquid's lexer cuts it."""
    at = source.find("{")
    while at >= 0:
        end = {"{": "}}", "%": "%}"}.get(source[at + 1 : at + 2])
        if end is None:
            at = source.find("{", at + 1)
            continue
        stop = source.find(end, at + 2)
        if stop < 0:
            raise LiquidSyntaxError(f"expected '{end}', found the end of the template", token=None)
        tag = source[at + 2 : stop]
        yield tag
        at = source.find("{", _after_verbatim(source, tag, stop + 2) if end == "%}" else stop + 2)


def _after_verbatim(source: str, tag: str, at: int) -> int:
    """Return where the verbatim block that ``tag`` opens ends, or ``at`` if it opens none."""
    name = tag.removeprefix("-").removesuffix("-").strip()
    if name not in _VERBATIM:
        return at
    end = _VERBATIM[name].search(source, at)
    if end is None:
        raise LiquidSyntaxError(f"expected 'end{name}', found the end of the template", token=None)
    return end.end()

"""Limit the work of one judgement, by counting steps where the work is done (promise 8).

Every judgement ends, whatever the document holds and the condition asks: at the limit it is given up. Work of constant
cost, such as reading one field of one document, is not counted.
"""

from typing import Final

from config.error import PermanentActionError

MOST_STEPS: Final = 200_000  # of one judgement; a step takes about 0.1 µs, never much more
MOST_STEPS_EXPLAINED: Final = 50_000  # to explain the verdict of a judgement


class TooCostly(PermanentActionError):
    """A judgement was given up at its limit of ``limit`` steps; ``path`` leads to the condition, "" if to none."""

    def __init__(self, limit: int, path: str = "") -> None:
        super().__init__(limit, path)
        self.limit = limit
        self.path = path

    @property
    def detail(self) -> dict[str, str]:
        """The stored form: ``{condition, limit}``."""
        return {"condition": self.path, "limit": f"{self.limit:,} steps"}

    def __str__(self) -> str:
        return f"too_costly: {self.path or 'the entity'} takes more than the {self.limit:,} steps of one judgement"


class Budget:
    """The steps that one judgement may still take."""

    __slots__ = ("left", "limit")

    def __init__(self, limit: int = MOST_STEPS) -> None:
        self.limit = limit
        self.left = limit

    def spend(self, steps: int) -> None:
        """Count ``steps`` that are about to be taken; raise TooCostly if that is more than are left."""
        if steps > self.left:
            raise TooCostly(self.limit)
        self.left -= steps

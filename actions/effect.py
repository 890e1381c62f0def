"""Tell how far the effect of one attempt has come; the action keeps this up to date while it works.

The outside runner reads it when it cuts an action off, at the deadline or because the daemon stops. Before the effect
began, nothing has happened. Once its end is known, that is the outcome. Only in between is the outcome unknown.
"""

from dataclasses import dataclass

from actions.outcome import Outcome


@dataclass(slots=True)
class Effect:
    """``has_begun``: the effect may have taken place. ``outcome``: how it ended, None until that is known."""

    has_begun: bool = False
    outcome: Outcome | None = None

    def begin(self) -> None:
        """Note that from now on the effect may take place."""
        self.has_begun = True

    def settle(self, outcome: Outcome) -> None:
        """Note how the attempt ends, whether or not the rest of its work succeeds."""
        self.outcome = outcome

"""How far the effect of one attempt has come, told by its action while it works.

Whoever cuts an action off, at its deadline or because the daemon stops, asks here what that means: before the effect
began nothing has happened; once its end is known, that is the outcome; only in between nobody can know.
"""

from dataclasses import dataclass

from actions.outcome import Outcome


@dataclass(slots=True)
class Effect:
    """``has_begun`` from the moment on in which nobody can know; ``outcome`` once the end is known all the same."""

    has_begun: bool = False
    outcome: Outcome | None = None

    def begin(self) -> None:
        """Say that from now on the effect may take place."""
        self.has_begun = True

    def settle(self, outcome: Outcome) -> None:
        """Say how the attempt ends, whatever becomes of what is left to do."""
        self.outcome = outcome

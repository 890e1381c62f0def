"""The periods of polls and the sizes of their pages, as shipped.

No promise depends on them, so they are no settings; code that constructs a daemon may choose others.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two polls, unless a comment says otherwise."""

    queue_s: float = 2.0  # the loader's; at common moments up to 3.0, well within the time it loads ahead
    poll_s: float = 0.15  # likewise, while the reader is elsewhere and not heard, or lanes have fallen behind
    hand_edits_s: float = 3.0
    inspection_s: float = 5.0
    inspected: int = 200  # executions that are read at one inspection: about 3 ms of processor time
    incomplete_s: float = 10.0  # how long an edit may be incomplete
    upkeep_s: float = 30.0
    idle_save_s: float = 10.0  # between two positions of a stream in which nothing happens
    halt_s: tuple[float, float] = (5.0, 60.0)  # first and longest pause after what a person has to decide
    sweep_page: int = 900  # entities; with an enrollment for each, less than the 2,000 writes of a transaction


AS_SHIPPED: Final = Pace()

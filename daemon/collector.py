"""Configure Python's garbage collector for a process that makes and drops a million objects a second."""

import gc


def calm_collector() -> None:
    """Let the collector run seldom, and skip the objects that exist so far.

    Events, jobs and units are freed by reference counts; collections over the others took a third of the time of a
    burst. But no single collection may take long either: one over 250,000 young objects takes about 30 ms.
    """
    gc.freeze()
    gc.set_threshold(50_000, 5, 200)

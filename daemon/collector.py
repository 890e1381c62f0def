"""Python's collector of cyclic garbage, as a process wants it that makes and drops a million objects a second."""

import gc


def calm_collector() -> None:
    """Let the collector run seldom, and not over what was loaded so far.

    Events, jobs and units are freed by reference counts; looking through the living ones again and again took a
    third of the time of a burst. But no single look may take long either: of 10,000 workflows that are saved at once
    nearly all objects stay, and those of two rounds, 100,000, are looked through in about 40 ms. A round is larger than
    what a transaction of 500 changes makes: else each would be looked through while it is in use.
    """
    gc.freeze()
    gc.set_threshold(50_000, 0, 500)

"""Compute which lanes a replica should own, from the lanes held now: about lanes ÷ replicas each."""

from collections.abc import Collection, Mapping, Sequence


def lanes_to_claim(free: Sequence[str], held: int, lanes: int, others: Collection[int]) -> list[str]:
    """Return which of the ``free`` lanes a replica that holds ``held`` should claim: up to its share, rounded up.

    ``others`` tells how many lanes each of the other live replicas holds. The lanes that they need for their share,
    rounded down, are left to them: otherwise two replicas that release a lane for a third would take it from each
    other.
    """
    replicas = len(others) + 1
    least, most = lanes // replicas, -(-lanes // replicas)
    needed = max(least - held, 0)
    left = max(len(free) - needed - sum(max(least - count, 0) for count in others), 0)
    return list(free[: needed + min(left, max(most - max(held, least), 0))])


def lanes_to_release(held: Sequence[str], lanes: int, replicas: int, holders: Mapping[str, int]) -> list[str]:
    """Return which of the ``held`` lanes to give up, so that others reach at least their share, rounded down.

    ``holders`` maps every live replica to the number of lanes it holds. Nothing is released while no other replica
    lacks lanes: lanes do not move without need.
    """
    least = lanes // max(replicas, 1)
    most = -(-lanes // max(replicas, 1))
    if len(held) <= least:
        return []
    short = sum(max(least - count, 0) for count in holders.values())
    surplus = max(len(held) - most, min(short, len(held) - least))
    return list(held[len(held) - surplus :]) if surplus > 0 else []

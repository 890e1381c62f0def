"""The daemon as it ships, but no execution ends in the transaction that makes it: what ending there is worth."""

from daemon.cli import main
from daemon.stream.entrant import Entrant
from daemon.stream.immediate import Immediate


def _may_not_end(immediate: Immediate, entrant: Entrant) -> bool:
    return False


if __name__ == "__main__":
    setattr(Immediate, "may_end", _may_not_end)  # noqa: B010
    main()

"""What actions need besides their entity: wired once, by the daemon."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Services:
    """The services of this process; what is None is not configured, and the actions that need it say so."""

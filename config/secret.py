"""Mark a setting whose value no message, log line or screen may show, not even in part."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Secret:
    """Stands in the annotation of a secret setting; ``config.settings_problem`` shows nothing of such a value."""

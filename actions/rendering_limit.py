"""The limits of one rendering, in one place because the daemon and its rendering process both apply them."""

from typing import Final

OUTPUT_BYTES: Final = 200_000  # of one rendered text
VARIABLE_BYTES: Final = 200_000  # of all variables that a template assigns
DEPTH: Final = 20  # of blocks in blocks

SOURCE_CHARACTERS: Final = 100_000
VALUE_SIZE: Final = 200_000  # characters of a text, or of all texts of a list together
LIST_LENGTH: Final = 20_000
ALL_VALUES: Final = 25_000  # values that one rendering is given, whether its templates name them or not
ALL_CHARACTERS: Final = 1_000_000  # characters of these

PROCESSOR_S: Final = 1.0  # processor time of one rendering, all its texts together
MEMORY_BYTES: Final = 24_000_000  # that one rendering may add to its process
SPARE_BYTES: Final = 6_000_000  # a process that has grown by more is replaced after its rendering
ANSWER_BYTES: Final = 1_000_000


def value_limit() -> str:
    """Return the message for a text, or the texts of a list, beyond ``VALUE_SIZE``."""
    return f"value limit of {VALUE_SIZE:,} characters passed"


def list_limit() -> str:
    """Return the message for a list beyond ``LIST_LENGTH``."""
    return f"list limit of {LIST_LENGTH:,} entries passed"


def entity_limit() -> str:
    """Return the message for values of an entity that exceed the limits of a rendering."""
    return f"entity limit of {ALL_VALUES:,} values and {ALL_CHARACTERS:,} characters passed"

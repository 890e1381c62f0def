"""The workflows that come with the product: documents in ``presets/``, each with an ``_id`` that never changes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from bson import ObjectId

# The database remembers the ids that were installed: a changed id would bring back a preset that an admin deleted.
_IDS: Final = {
    "auto_qualify": ObjectId("7265666c6578000000000001"),
    "stale_deals": ObjectId("7265666c6578000000000002"),
    "deal_won": ObjectId("7265666c6578000000000003"),
}


@dataclass(frozen=True, slots=True)
class Preset:
    """A workflow that comes with the product: its fixed ``id`` and its document, which has no ``_id``."""

    id: ObjectId
    document: Mapping[str, Any]


def load_presets() -> tuple[Preset, ...]:
    """Return the presets, in the order in which they are listed to people."""
    directory = files("config") / "presets"
    return tuple(
        Preset(preset_id, json.loads((directory / f"{name}.json").read_text("utf-8")))
        for name, preset_id in _IDS.items()
    )

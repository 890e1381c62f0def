"""What is measured: the leads that a CRM inserts, and the workflow that they set off."""

import random
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bson import ObjectId

WORKFLOW_ID: Final = ObjectId("bec000000000000000000001")
MATCHING: Final = "website_form"
NEW_VALUE: Final = "contacted"  # what update_field writes


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of load: every ``one_in``-th lead matches, its only step runs after ``delay_s`` seconds."""

    action: str = "create_task"
    one_in: int = 1
    delay_s: float = 0.0

    def matching(self, leads: int) -> int:
        """Return how many of ``leads`` leads match."""
        return leads // self.one_in

    def to_json(self) -> dict[str, Any]:
        """Return the form in which child processes are given it."""
        return asdict(self)


def workflow_document(workload: Workload) -> dict[str, Any]:
    """Return the workflow as an admin would write it."""
    action: dict[str, Any] = {"type": workload.action}
    if workload.action == "update_field":
        action |= {"field": "stage", "value": NEW_VALUE}
    if workload.delay_s:
        action["delay"] = workload.delay_s
    return {
        "_id": WORKFLOW_ID,
        "name": "Look at new leads",
        "trigger": {"type": "entity_created", "entity_type": "lead"},
        "conditions": [{"field": "source", "operator": "equals", "value": MATCHING}],
        "actions": [action],
        "status": "active",
    }


def lead_documents(count: int, one_in: int) -> list[dict[str, Any]]:
    """Return leads as a CRM stores them, about 400 bytes each; the last of every ``one_in`` matches."""
    dice = random.Random(count)
    return [_lead(number, dice, is_matching=number % one_in == one_in - 1) for number in range(count)]


def _lead(number: int, dice: random.Random, *, is_matching: bool) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "name": f"Lead {number}",
        "email": f"lead.{number}@example.com",
        "phone": f"+351 9{dice.randrange(10**8):08d}",
        "company": {"name": f"Company {dice.randrange(5000)}", "size": dice.choice(["1-10", "11-50", "51-200"])},
        "source": MATCHING if is_matching else "import",
        "stage": "new",
        "tags": dice.sample(["spring", "fair", "partner", "newsletter", "webinar"], 2),
        "budget": dice.randrange(100, 100_000),
        "notes": "Asked for an offer and wants to be called back in the afternoon. " * 2,
        "owner_id": ObjectId(),
        "created_at": datetime.now(UTC),
    }

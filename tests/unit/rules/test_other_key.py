"""Which keys of a workflow document are mistakes, and which are somebody else's."""

import pytest

from rules.other_key import MOST_KEYS, OWN_KEYS, meant, other_keys

FOREIGN = [
    "__v",
    "_class",
    "createdAt",
    "updatedAt",
    "created_at",
    "updated_by",
    "version",
    "tags",
    "owner",
    "tenantId",
    "notes",
    "options",
    "sections",
]


@pytest.mark.parametrize(
    ("key", "known"),
    [
        *(("trigers", "trigger"), ("Trigger", "trigger"), ("triger", "trigger"), ("Conditions", "conditions")),
        *(("condition", "conditions"), ("action", "actions"), ("acitons", "actions"), ("nmae", "name")),
        *(("NAME", "name"), ("names", "name"), ("enrolment", "enrollment"), ("enroll", "enrollment")),
        *(
            ("Status", "status"),
            ("staus", "status"),
            ("trigger.type", "trigger"),
            ("status ", "status"),
            ("desc", "description"),
        ),
    ],
)
def test_a_key_near_a_known_one_is_a_mistake(key: str, known: str) -> None:
    assert meant(key) == known
    assert other_keys({key: 1}) == []


def test_other_keys_are_somebody_elses() -> None:
    document = dict.fromkeys((*FOREIGN, "executionCount", "name", "_id", "status", *OWN_KEYS, "x" * 10_000))
    assert other_keys(document) == [*FOREIGN, "executionCount", "x" * 10_000]


def test_what_no_document_can_hold_and_what_is_too_much_is_nobodys() -> None:
    assert other_keys({"$set": 1, "a\0b": 1, 5: 1}) == []
    assert other_keys({f"k{number}": 1 for number in range(MOST_KEYS + 1)}) == []

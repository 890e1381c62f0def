"""How an edit changes the state of a workflow at one position of the stream."""

from typing import Any

import pytest

from rules.head import Head, Transition, edited
from rules.workflow import Status
from tests.support.bench import TASK, created, workflow_document
from tests.support.change import parsed

GOOD = workflow_document(created(), _id="w")


def after(*documents: dict[str, Any] | None) -> Head:
    """Return the head after these edits, one after the other; an edit that changes nothing keeps it."""
    head: Head | None = None
    for document in documents:
        head = edited(head, "w", document, parsed) or head
    assert head is not None
    return head


def test_the_first_document_is_version_one_and_active() -> None:
    head = after(GOOD)
    assert (head.version, head.status, head.is_invalid, head.transition) == (1, Status.ACTIVE, False, None)


def test_what_the_daemon_writes_makes_no_version() -> None:
    first = after(GOOD)
    echo = {**GOOD, "observed": {"state": "active"}, "execution_count": 5, "last_executed_at": None}
    assert edited(first, "w", echo, parsed) is None


def test_a_key_that_defines_nothing_makes_no_version_however_often_it_changes() -> None:
    first = after({**GOOD, "__v": 0, "updatedAt": 1})
    assert first.workflow is not None
    assert edited(first, "w", {**GOOD, "__v": 1, "updatedAt": 2, "tags": ["a"]}, parsed) is None
    assert edited(after(GOOD), "w", {**GOOD, "__v": 1}, parsed) is None


def test_an_edit_makes_a_version_and_takes_effect() -> None:
    head = after(GOOD, {**GOOD, "name": "New"})
    assert (head.version, head.workflow.name if head.workflow else None) == (2, "New")


def test_an_edit_from_one_to_true_is_an_edit() -> None:
    one, true = ({**GOOD, "conditions": [{"field": "a", "operator": "equals", "value": v}]} for v in (1, True))
    head = after(one, true)
    assert head.definition is not None
    assert head.definition["conditions"][0]["value"] is True


def test_an_invalid_edit_leaves_the_last_good_version() -> None:
    head = after(GOOD, {**GOOD, "name": "New", "actions": []})
    assert head.workflow is not None
    assert (head.version, head.workflow.version, head.workflow.name) == (2, 2, "On the bench")
    assert head.error is not None
    assert head.error.path == "actions"


def test_an_invalid_document_has_no_version_to_run() -> None:
    head = after({**GOOD, "actions": []})
    assert (head.workflow, head.definition, head.is_invalid) == (None, None, True)


def test_a_document_mended_to_what_it_was_is_no_longer_invalid() -> None:
    head = after(GOOD, {**GOOD, "actions": []}, GOOD)
    assert (head.version, head.is_invalid) == (3, False)


def test_a_valid_status_takes_effect_in_an_invalid_document() -> None:
    head = after(GOOD, {**GOOD, "actions": [], "status": "paused"})
    assert (head.status, head.transition, head.is_invalid) == (Status.PAUSED, Transition.HOLD, True)


def test_an_invalid_status_refuses_the_whole_document() -> None:
    assert after({**GOOD, "status": "on"}).workflow is None
    head = after({**GOOD, "status": "paused"}, {**GOOD, "status": "on", "name": "New"})
    assert (head.status, head.transition) == (Status.PAUSED, None)
    assert head.workflow is not None
    assert head.workflow.name == "On the bench"


@pytest.mark.parametrize(
    ("before", "now", "transition"),
    [
        ("active", "paused", Transition.HOLD),
        ("paused", "active", Transition.RELEASE),
        ("paused", "draining", Transition.RELEASE),
        ("active", "draining", None),
        ("draining", "active", None),
        ("active", "stopped", Transition.CANCEL),
        ("paused", "stopped", Transition.CANCEL),
        ("stopped", "active", None),
        ("draining", "paused", Transition.HOLD),
    ],
)
def test_a_switch_does_to_what_waits_what_it_should(before: str, now: str, transition: Transition | None) -> None:
    assert after({**GOOD, "status": before}, {**GOOD, "status": now}).transition is transition


def test_deleting_is_stopping() -> None:
    head = after(GOOD, None)
    assert (head.version, head.status, head.transition, head.is_deleted) == (
        2,
        Status.STOPPED,
        Transition.CANCEL,
        True,
    )
    assert edited(head, "w", None, parsed) is None


def test_a_document_inserted_again_under_its_id_begins_with_the_next_version() -> None:
    head = after(GOOD, None, GOOD)
    assert (head.version, head.status, head.is_deleted, head.transition) == (3, Status.ACTIVE, False, None)
    assert head.workflow is not None


def test_a_deleted_workflow_leaves_no_good_version_behind() -> None:
    assert after(GOOD, None, {**GOOD, "actions": []}).workflow is None


def test_what_was_stopped_stays_stopped_through_later_edits() -> None:
    stopped = after(GOOD, {**GOOD, "status": "stopped"}).at(7)
    again = edited(stopped, "w", {**GOOD, "actions": [TASK, TASK]}, parsed)
    assert again is not None
    assert (again.at(9).stopped_seq, again.at(9).at_seq) == (7, 9)

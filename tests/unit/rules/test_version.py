"""How an edit changes the state of a workflow at one position of the stream."""

from typing import Any

import pytest

from rules.version import Switch, Version, edited
from rules.workflow import WorkflowStatus
from tests.support.bench import TASK, created, workflow_document
from tests.support.change import parsed

GOOD = workflow_document(created(), _id="w")


def after(*documents: dict[str, Any] | None) -> Version:
    """Return the version after these edits, one after the other; an edit that changes nothing keeps it."""
    version: Version | None = None
    for document in documents:
        version = edited(version, "w", document, parsed) or version
    assert version is not None
    return version


def test_the_first_document_is_version_one_and_active() -> None:
    version = after(GOOD)
    assert (version.number, version.status, version.is_invalid, version.switch) == (
        1,
        WorkflowStatus.ACTIVE,
        False,
        None,
    )


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
    version = after(GOOD, {**GOOD, "name": "New"})
    assert (version.number, version.workflow.name if version.workflow else None) == (2, "New")


def test_an_edit_from_one_to_true_is_an_edit() -> None:
    one, true = ({**GOOD, "conditions": [{"field": "a", "operator": "equals", "value": v}]} for v in (1, True))
    version = after(one, true)
    assert version.definition is not None
    assert version.definition["conditions"][0]["value"] is True


def test_an_invalid_edit_leaves_the_last_good_version() -> None:
    version = after(GOOD, {**GOOD, "name": "New", "actions": []})
    assert version.workflow is not None
    assert (version.number, version.workflow.version, version.workflow.name) == (2, 2, "On the bench")
    assert version.error is not None
    assert version.error.path == "actions"


def test_an_invalid_document_has_no_version_to_run() -> None:
    version = after({**GOOD, "actions": []})
    assert (version.workflow, version.definition, version.is_invalid) == (None, None, True)


def test_a_document_mended_to_what_it_was_is_no_longer_invalid() -> None:
    version = after(GOOD, {**GOOD, "actions": []}, GOOD)
    assert (version.number, version.is_invalid) == (3, False)


def test_a_valid_status_takes_effect_in_an_invalid_document() -> None:
    version = after(GOOD, {**GOOD, "actions": [], "status": "paused"})
    assert (version.status, version.switch, version.is_invalid) == (WorkflowStatus.PAUSED, Switch.HOLD, True)


def test_an_invalid_status_refuses_the_whole_document() -> None:
    assert after({**GOOD, "status": "on"}).workflow is None
    version = after({**GOOD, "status": "paused"}, {**GOOD, "status": "on", "name": "New"})
    assert (version.status, version.switch) == (WorkflowStatus.PAUSED, None)
    assert version.workflow is not None
    assert version.workflow.name == "On the bench"


@pytest.mark.parametrize(
    ("before", "now", "switch"),
    [
        ("active", "paused", Switch.HOLD),
        ("paused", "active", Switch.RELEASE),
        ("paused", "draining", Switch.RELEASE),
        ("active", "draining", None),
        ("draining", "active", None),
        ("active", "stopped", Switch.CANCEL),
        ("paused", "stopped", Switch.CANCEL),
        ("stopped", "active", None),
        ("draining", "paused", Switch.HOLD),
    ],
)
def test_a_switch_does_to_what_waits_what_it_should(before: str, now: str, switch: Switch | None) -> None:
    assert after({**GOOD, "status": before}, {**GOOD, "status": now}).switch is switch


def test_deleting_is_stopping() -> None:
    version = after(GOOD, None)
    assert (version.number, version.status, version.switch, version.is_deleted) == (
        2,
        WorkflowStatus.STOPPED,
        Switch.CANCEL,
        True,
    )
    assert edited(version, "w", None, parsed) is None


def test_a_document_inserted_again_under_its_id_begins_with_the_next_version() -> None:
    version = after(GOOD, None, GOOD)
    assert (version.number, version.status, version.is_deleted, version.switch) == (
        3,
        WorkflowStatus.ACTIVE,
        False,
        None,
    )
    assert version.workflow is not None


def test_a_deleted_workflow_leaves_no_good_version_behind() -> None:
    assert after(GOOD, None, {**GOOD, "actions": []}).workflow is None


def test_what_was_stopped_stays_stopped_through_later_edits() -> None:
    stopped = after(GOOD, {**GOOD, "status": "stopped"}).at(7)
    again = edited(stopped, "w", {**GOOD, "actions": [TASK, TASK]}, parsed)
    assert again is not None
    assert (again.at(9).stopped_seq, again.at(9).at_seq) == (7, 9)

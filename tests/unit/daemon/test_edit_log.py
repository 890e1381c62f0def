"""What the log says of edits of workflows: each at once, with what is needed to find it."""

from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from daemon.versions.edit_log import log_edits
from rules.version import Version, edited
from tests.support.bench import created, workflow_document
from tests.support.change import parsed

GOOD = workflow_document(created(), _id="w")
NAMED = {"workflow_id": "w", "workflow_name": GOOD["name"]}


@pytest.fixture
def lines() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    said: list[tuple[str, dict[str, Any]]] = []
    sink = logger.add(
        lambda message: said.append((message.record["extra"]["event"], message.record["extra"]["fields"]))
    )
    yield said
    logger.remove(sink)


def log(*documents: dict[str, Any] | None) -> None:
    """Log the last of these edits only."""
    before: Version | None = None
    for document in documents[:-1]:
        before = edited(before, "w", document, parsed) or before
    version = edited(before, "w", documents[-1], parsed)
    assert version is not None
    log_edits([(before, version)])


def test_a_new_version_is_told(lines: list[Any]) -> None:
    log(GOOD)
    log(GOOD, {**GOOD, "description": "New"})
    assert lines == [
        ("workflow.accepted", {**NAMED, "version": 1, "status": "active"}),
        ("workflow.accepted", {**NAMED, "version": 2, "status": "active"}),
    ]


def test_an_invalid_edit_is_told_with_its_error(lines: list[Any]) -> None:
    log(GOOD, {**GOOD, "actions": []})
    log({"name": 7})
    (_, told), (event, first) = lines
    assert (told["version"], told["workflow_name"], told["error"].path) == (2, GOOD["name"], "actions")
    assert (event, first["workflow_name"], first["version"]) == ("workflow.invalid", None, 1)


def test_a_switch_alone_is_told_as_one(lines: list[Any]) -> None:
    log(GOOD, {**GOOD, "status": "paused"})
    assert lines == [("workflow.status_changed", {**NAMED, "status": "paused", "previous": "active"})]


def test_a_switch_in_an_edit_that_is_refused_or_taken_is_told_too(lines: list[Any]) -> None:
    log(GOOD, {**GOOD, "status": "paused", "actions": []})
    log(GOOD, {**GOOD, "status": "paused", "description": "New"})
    assert [event for event, _ in lines] == [
        "workflow.invalid",
        "workflow.status_changed",
        "workflow.accepted",
        "workflow.status_changed",
    ]


def test_what_is_mended_to_what_it_was_is_in_force_again(lines: list[Any]) -> None:
    log(GOOD, {**GOOD, "actions": []}, GOOD)
    assert [event for event, _ in lines] == ["workflow.accepted"]


def test_a_deletion_is_told(lines: list[Any]) -> None:
    log(GOOD, None)
    assert lines == [("workflow.deleted", NAMED)]

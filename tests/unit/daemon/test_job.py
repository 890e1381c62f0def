"""Reading execution documents: what the daemon wrote, and what it cannot have written."""

from typing import Any

import pytest
from bson import ObjectId

from daemon.executions.job import PROJECTION, CorruptExecution, job_from
from rules.cause import Cause
from tests.support.jobs import NOW, execution_of


def test_a_queued_execution_is_read() -> None:
    document = execution_of(cause={"depth": 1, "chain": ["a"], "execution_id": None}, attempt=2)
    job = job_from(document)
    assert (job.execution_id, job.step, job.attempt, job.due_at) == (document["_id"], 0, 2, NOW)
    assert job.cause == Cause(1, ("a",))


def test_a_job_is_known_by_execution_step_and_attempt() -> None:
    document = execution_of(step=1, attempt=2)
    assert job_from(document).key == (document["_id"], "1", 2)


def test_log_lines_name_a_job_by_execution_workflow_and_entity() -> None:
    names = job_from(execution_of()).names
    assert list(names) == ["execution_id", "workflow_id", "entity_type", "entity_id"]


@pytest.mark.parametrize("entity_id", ["text", 5, 5.5, ObjectId(), NOW, b"bytes", {"a": 1}, True])
def test_an_entity_id_may_have_any_type(entity_id: Any) -> None:
    job = job_from(execution_of(triggered_by_entity_id=entity_id))
    assert job.entity_id == entity_id
    hash(job.entity_key)


def test_equal_ids_of_different_types_are_different_entities() -> None:
    keys = {job_from(execution_of(triggered_by_entity_id=each)).entity_key for each in (1, 1.0, True, "1")}
    assert len(keys) == 4


def test_a_running_execution_is_read_only_where_it_is_asked_for() -> None:
    document = execution_of(status="running", epoch=1)
    assert job_from(document, is_running=True).status == "running"
    with pytest.raises(CorruptExecution, match="status"):
        job_from(document)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cause": 7}, "cause: expected an object, found 7"),
        ({"cause": {"depth": 0}}, "chain: expected a value, found nothing"),
        ({"status": "odd"}, "status: expected one of pending, .*; found 'odd'"),
        ({"at": True}, "at: expected a node, found true"),
        ({"trigger": None}, "trigger: expected an object, found null"),
        ({"started_at": []}, "started_at: expected a date or null, found an empty list"),
    ],
)
def test_what_is_corrupt_is_told_without_words_of_python(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(CorruptExecution, match=f"^{words}"):
        job_from(execution_of(**changes))


@pytest.mark.parametrize("epoch", [None, "1", float("nan"), -1])
def test_a_running_execution_without_an_epoch_that_somebody_can_have_had_is_corrupt(epoch: Any) -> None:
    with pytest.raises(CorruptExecution, match="epoch"):
        job_from(execution_of(status="running", epoch=epoch), is_running=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"step": -1},
        {"step": True},
        {"step": 1.5},
        {"attempt": "1"},
        {"attempt": -1},
        {"seq": None},
        {"lane": "a"},
        {"crashes": -1},
        {"postponed": "later"},
        {"postponed": {"since": "today", "times": 1}},
        {"postponed": {"since": NOW, "times": "x"}},
        {"failed_steps": []},
        {"workflow_version": 0.5},
        {"due_at": "now"},
        {"triggered_at": 5},
        {"status": "flying"},
        {"status": ["pending"]},
        {"status": "completed"},
        {"cause": None},
        {"cause": {"depth": 1}},
        {"cause": "x"},
        {"cause": {"depth": -1, "chain": []}},
        {"cause": {"depth": 0, "chain": "w"}},
        {"_id": "text"},
        {"status": {"is": "pending"}},
        {"workflow_id": {"$gt": 1}},
        {"workflow_id": "w" * 100_000},
        {"workflow_name": 5},
        {"trigger": "created"},
        {"triggered_by_entity_type": ["lead"]},
        {"started_at": "today"},
        {"entity": "Ada"},
        {"at": 5},
        {"at": "0.cases"},
        {"ran": [{}]},
        {"ran": "x"},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_a_document_that_the_daemon_cannot_have_written_is_corrupt(changes: dict[str, Any]) -> None:
    with pytest.raises(CorruptExecution):
        job_from(execution_of(**changes))


@pytest.mark.parametrize(
    "name", sorted({*PROJECTION} & {*execution_of()} - {"at", "started_at", "completed_at", "epoch"})
)
def test_a_document_without_one_of_its_fields_is_corrupt(name: str) -> None:
    document = execution_of()
    del document[name]
    with pytest.raises(CorruptExecution):
        job_from(document)

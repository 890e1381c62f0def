"""Ids made from execution and step."""

from bson import ObjectId

from actions.document_id import document_id
from tests.unit.actions.factory import EXECUTION_ID


def test_same_execution_and_step_make_the_same_id() -> None:
    assert document_id(EXECUTION_ID, 1) == document_id(ObjectId(str(EXECUTION_ID)), 1)


def test_every_step_of_every_execution_has_its_own_id() -> None:
    executions = [EXECUTION_ID, ObjectId("69a54d900123456789abcdee"), ObjectId("69a54d910123456789abcdef")]

    ids = {document_id(execution, step) for execution in executions for step in range(100)}

    assert len(ids) == 300


def test_id_carries_the_time_of_the_execution() -> None:
    assert document_id(EXECUTION_ID, 3).generation_time == EXECUTION_ID.generation_time

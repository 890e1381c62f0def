"""Ids made from execution and node."""

from bson import ObjectId

from actions.document_id import document_id
from tests.unit.actions.factory import EXECUTION_ID


def test_same_execution_and_step_make_the_same_id() -> None:
    assert document_id(EXECUTION_ID, "1") == document_id(ObjectId(str(EXECUTION_ID)), "1")


def test_every_step_of_every_execution_has_its_own_id() -> None:
    executions = [EXECUTION_ID, ObjectId("69a54d900123456789abcdee"), ObjectId("69a54d910123456789abcdef")]

    nodes = [*map(str, range(50)), *(f"{step}.cases.0.{each}" for step in range(5) for each in range(10))]

    ids = {document_id(execution, node) for execution in executions for node in nodes}

    assert len(ids) == 300


def test_what_a_step_of_the_workflow_itself_inserts_has_the_id_it_had_before_steps_were_nodes() -> None:
    assert document_id(EXECUTION_ID, "0") == ObjectId("69a54d907d1ee364a9c7e57e")
    assert document_id(EXECUTION_ID, "7") == ObjectId("69a54d90a4bac46e7ea85e34")


def test_id_carries_the_time_of_the_execution() -> None:
    assert document_id(EXECUTION_ID, "3").generation_time == EXECUTION_ID.generation_time

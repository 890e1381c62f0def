"""How a command is read from a request."""

from typing import Any

import pytest
from bson import ObjectId

from daemon.executions.command import CommandRefused, command_from

AN_ID = ObjectId("65f000000000000000000001")


@pytest.mark.parametrize(
    ("request_document", "why"),
    [
        ({"execution_id": AN_ID, "do": "retri"}, "did you mean 'retry'"),
        ({"execution_id": AN_ID}, "do: expected one of retry, cancel, resolve; found null"),
        ({"execution_id": {"$ne": None}, "do": "retry"}, "execution_id: expected the id"),
        ({"execution_id": AN_ID, "do": "resolve", "as": "uncertain"}, "as: expected success or failed"),
        ({"execution_id": AN_ID, "do": "resolve", "as": "success", "step": -1}, "step: expected the number"),
        ({"execution_id": AN_ID, "do": "resolve", "as": "success", "step": True}, "step: expected the number"),
        ({"execution_id": AN_ID, "do": "resolve", "as": "success", "step": "1.x"}, "step: expected the number"),
        ({"execution_id": AN_ID, "do": "retry", "stepp": 1}, "did you mean 'step'"),
        ({"execution_id": AN_ID, "do": ["retry"]}, "do: expected one of"),
    ],
)
def test_a_request_that_is_no_command_is_refused_with_what_was_expected(
    request_document: dict[str, Any], why: str
) -> None:
    with pytest.raises(CommandRefused, match=why):
        command_from(request_document)


def test_an_id_may_be_given_as_text() -> None:
    assert command_from({"execution_id": str(AN_ID), "do": "retry"}).execution_id == AN_ID


@pytest.mark.parametrize(("step", "node"), [(2, "2"), ("2", "2"), ("1.cases.0.3", "1.cases.0.3")])
def test_a_step_may_be_named_by_its_number_or_its_node(step: Any, node: str) -> None:
    command = command_from({"execution_id": AN_ID, "do": "resolve", "as": "success", "step": step})
    assert command.node == node

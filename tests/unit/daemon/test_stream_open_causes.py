"""Causes hold for the changes of their own transaction, and for no others."""

from typing import Any

import bson
import pytest

from daemon.stream.open_causes import NO_CAUSES, OpenCauses
from rules.cause import OUTSIDE, Cause

OURS, THEIRS = (b"s" * 16, 1), (b"s" * 16, 2)
RECORD = {"entity_type": "lead", "entity_id": {"a": 1}, "execution_id": "e", "depth": 2, "chain": ["v", "w"]}
OPEN = NO_CAUSES.with_records(OURS, [RECORD])


def test_a_change_in_the_same_transaction_has_the_cause() -> None:
    assert OPEN.within(OURS).cause_of("lead", {"a": 1}) == Cause(2, ("v", "w"), "e")


@pytest.mark.parametrize("transaction", [THEIRS, (b"t" * 16, 1), None])
def test_a_change_in_another_transaction_or_in_none_was_caused_outside(transaction: Any) -> None:
    assert OPEN.within(transaction).cause_of("lead", {"a": 1}) is OUTSIDE


def test_another_entity_in_the_transaction_was_caused_outside() -> None:
    assert OPEN.cause_of("lead", {"a": 2}) is OUTSIDE
    assert OPEN.cause_of("deal", {"a": 1}) is OUTSIDE


def test_several_records_of_one_transaction_add_up() -> None:
    both = OPEN.with_records(OURS, [{**RECORD, "entity_id": 2}])
    assert both.cause_of("lead", 2) == both.cause_of("lead", {"a": 1})


def test_open_causes_survive_the_checkpoint() -> None:
    stored = bson.decode(bson.encode(OPEN.to_document()))
    again = OpenCauses.from_document(stored)
    assert again.within(OURS).cause_of("lead", {"a": 1}) == Cause(2, ("v", "w"), "e")


@pytest.mark.parametrize("records", [None, 5, {}, [5], [{}], [{**RECORD, "depth": "2"}], [{**RECORD, "chain": None}]])
def test_what_is_no_cause_is_left_out(records: Any) -> None:
    assert NO_CAUSES.with_records(OURS, records).cause_of("lead", {"a": 1}) is OUTSIDE


def test_a_record_outside_of_a_transaction_causes_nothing() -> None:
    assert NO_CAUSES.with_records(None, [RECORD]) is NO_CAUSES

"""Updates of execution documents that apply moves."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from daemon.executions.move import Move, State
from daemon.executions.ran import Record, ran_after
from daemon.executions.status import QUEUED
from rules.program import Program
from rules.tree import number_of

_RETRIES_KEPT: Final = 50
_OF_ONE_NODE: Final = {"last_error": "", "crashes": "", "postponed": ""}
_HELD: Final = ("held_due_at", "held_status")
_OF_AN_END: Final = ("counted_as", "reason", "last_error", "postponed")


def update_of(program: Program | None, state: State, move: Move, passed: Sequence[Record] = ()) -> dict[str, Any]:
    """Return the update that brings a document from ``state`` to where ``move`` leads.

    ``passed``: records of nodes that were passed in memory before. ``step`` and ``redo`` are written for replicas of
    the version before: the number of the workflow's own step that the node is or lies in, and where a retry goes on.
    """
    fields: dict[str, Any] = {
        "status": move.status,
        "at": move.node,
        "step": number_of(move.node),
        "attempt": move.attempt,
    }
    update: dict[str, Any] = {"$set": fields}
    unset = {} if move.due_at is not None else {"due_at": ""}
    records = (*passed, *move.records) if passed else move.records
    if records:
        _add_records(update, records)
        unset |= _OF_ONE_NODE
        if state.ran and program is not None and program.is_linear:
            fields["redo"] = _redo(program, state, move.node, records)
    if move.due_at is not None:
        fields["due_at"] = move.due_at
    if move.failed_steps or state.failed_steps:
        fields["failed_steps"] = move.failed_steps
    if move.ended is not None:
        _add_end(fields, unset, move)
    if not move.records:
        _add_wait(update, unset, move)
    if unset:
        update["$unset"] = unset
    return update


def command_update(program: Program | None, state: State, move: Move, now: datetime) -> dict[str, Any]:
    """Return the update for a command of a person, which may queue an ended execution again."""
    update = update_of(program, state, move)
    fields, unset = update["$set"], update.setdefault("$unset", {})
    unset |= dict.fromkeys(_HELD, "")
    if move.status in QUEUED:
        fields["completed_at"] = None
        unset |= dict.fromkeys(_OF_AN_END, "")
        if program is not None and program.is_linear and state.ran:
            fields["redo"] = _redo(program, state, move.node, ())
    if move.repeated:
        repeated = [{**each, "retried_at": now} for each in move.repeated]
        update["$push"] = {"retried": {"$each": repeated, "$slice": -_RETRIES_KEPT}}
    if move.resolved is not None:
        place, outcome = move.resolved
        fields |= {f"actions_executed.{place}.status": outcome, f"actions_executed.{place}.resolved_at": now}
    if move.counted_as is None:
        unset["counted_as"] = ""
    return update


def marking_update(state: State, move: Move, now: datetime) -> dict[str, Any]:
    """Return the update that ends an execution whose document is corrupt."""
    update = command_update(None, state, move, now)
    for name in ("at", "step", "attempt"):
        del update["$set"][name]
    return update


def _add_records(update: dict[str, Any], records: Sequence[Record]) -> None:
    appended = [record.document for record in records if record.place is None]
    for record in records:
        if record.place is not None:
            update["$set"][f"actions_executed.{record.place}"] = record.document
    if appended:
        update["$push"] = {"actions_executed": appended[0] if len(appended) == 1 else {"$each": appended}}


def _add_wait(update: dict[str, Any], unset: dict[str, str], move: Move) -> None:
    """Add what is known of a node that has not ended."""
    told = {"crashes": move.crashes, "last_error": move.error, "postponed": move.postponed}
    for name, value in told.items():
        if value:
            update["$set"][name] = value
            unset.pop(name, None)
    if move.is_refund:
        update["$inc"] = {"refunds": 1}


def _add_end(fields: dict[str, Any], unset: dict[str, str], move: Move) -> None:
    if move.counted_as is not None:
        fields["counted_as"] = move.counted_as
    if move.reason:
        fields["reason"] = move.reason
        unset |= dict.fromkeys(_HELD, "")
    if move.ended_at is not None:
        fields["completed_at"] = move.ended_at


def _redo(program: Program, state: State, node: str, records: Sequence[Record]) -> list[int]:
    """Return the steps of a linear execution that run after ``node``: those to be repeated, then the first new one."""
    ran = ran_after(state.ran, records)
    if node not in ran:
        return []
    later = range(number_of(node) + 1, len(program.nodes))
    repeated = [number for number in later if str(number) in ran and not ran[str(number)].is_over]
    return [*repeated, next((number for number in later if str(number) not in ran), len(program.nodes))]

"""What must hold after any fault (FAILURES.md, I1 to I8), asked of one database that has come to rest.

``violations`` returns a sentence for every breach, so that a run shows all of them at once. What the documents no
longer tell (attempts and checkpoints that went back) is read from the change stream, from ``since`` on; what the
replicas did and said meanwhile (I7, I8) is told by witnesses: the replicas themselves, and a prober.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final, Protocol

from bson import Timestamp
from pymongo.asynchronous.database import AsyncDatabase

from actions.document_id import document_id
from rules.identity import bson_bytes
from tests.support.entity_writes import lost_entity_writes
from tests.support.past import Past, past_since

Database = AsyncDatabase[dict[str, Any]]
Document = Mapping[str, Any]
Pair = tuple[Any, Any]  # workflow id, entity id

ENDED: Final = ("completed", "failed", "cancelled")
INSERTING: Final = {"create_task": "tasks", "send_notification": "notifications"}
ENTITY_WRITING: Final = ("update_field", "qualify_lead", "enrich_lead")


class Witness(Protocol):
    """Saw what no document tells."""

    def breaches(self) -> list[str]:
        """Return a sentence for every breach that was seen."""


@dataclass(frozen=True)
class Expected:
    """What a test knows: how many executions each pair must have, and what outside deliveries were received.

    ``deliveries`` holds ``<execution id>:<node>`` once for every time it arrived. ``at_most_once`` tells that none
    of them may have arrived twice.
    """

    executions: Mapping[Pair, int] | None = None
    deliveries: Iterable[str] = ()
    at_most_once: bool = False
    unfinished: int = 0  # executions that may still wait
    clock_slack: timedelta = timedelta(milliseconds=100)  # between the clocks of two replicas, on a busy machine
    witnesses: Sequence[Witness] = ()


@dataclass
class _State:
    executions: list[dict[str, Any]]
    expected: Expected
    past: Past
    delayed: set[bytes]
    found: list[str] = field(default_factory=list)

    def breach(self, invariant: str, what: str) -> None:
        self.found.append(f"{invariant}: {what}")

    def is_delayed(self, execution: Document) -> bool:
        """Whether the first step of an execution waits."""
        return bson_bytes([execution["workflow_id"], execution["workflow_version"]]) in self.delayed


async def violations(database: Database, since: Timestamp | None = None, expected: Expected | None = None) -> list[str]:
    """Return every breach. ``since``: the operation time from which the change stream is read, None to leave it."""
    past = await past_since(database, since) if since is not None else Past()
    executions = await database.workflow_executions.find().to_list()
    state = _State(executions, expected or Expected(), past, await _delayed(database))
    _expected_executions(state)
    _ended(state)
    _steps(state)
    _order(state)
    await _inserted(state, database)
    await _entity_writes(state, database)
    if since is not None:
        state.found += await lost_entity_writes(database, since)
    await _counters(state, database)
    _deliveries(state)
    state.found += past.breaches
    state.found += [breach for witness in state.expected.witnesses for breach in witness.breaches()]
    return state.found


async def _delayed(database: Database) -> set[bytes]:
    """Return the versions of workflows whose first step has a delay."""
    wanted = {"workflow_id": 1, "version": 1, "definition.actions.delay": 1}
    return {
        bson_bytes([version["workflow_id"], version["version"]])
        async for version in database.workflow_versions.find({"definition.actions": {"$type": "object"}}, wanted)
        if version["definition"]["actions"][0].get("delay")
    }


def _expected_executions(state: _State) -> None:
    """I1: every expected (workflow, change) has exactly one execution."""
    seqs = Counter(execution["seq"] for execution in state.executions)
    for seq in [seq for seq, count in seqs.items() if count > 1]:
        state.breach("I1", f"{seqs[seq]} executions are numbered {seq}")
    if state.expected.executions is None:
        return
    found = Counter(
        (bson_bytes(execution["workflow_id"]), bson_bytes(execution["triggered_by_entity_id"]))
        for execution in state.executions
    )
    wanted = {(bson_bytes(pair[0]), bson_bytes(pair[1])): (pair, n) for pair, n in state.expected.executions.items()}
    for key, (pair, count) in wanted.items():
        if found[key] != count:
            state.breach("I1", f"workflow {pair[0]}, entity {pair[1]}: {found[key]} executions, expected {count}")
    surplus = sum(count for key, count in found.items() if key not in wanted)
    if surplus:
        state.breach("I1", f"{surplus} executions that nobody expected")


def _ended(state: _State) -> None:
    """I2: nothing stays running; and what has come to rest has ended."""
    for execution in state.executions:
        if execution["status"] == "running":
            state.breach("I2", f"{_name(execution)} is still running")
    unfinished = [execution for execution in state.executions if execution["status"] not in ENDED]
    if len(unfinished) > state.expected.unfinished:
        state.breach("I2", f"{len(unfinished)} have not ended, for example {_name(unfinished[0])}")
    for execution in state.executions:
        if execution["status"] in ENDED and "due_at" in execution:
            state.breach("I2", f"{_name(execution)} has ended and is still queued")


def _steps(state: _State) -> None:
    """I3: one record for every step that was left behind, and each took at least one attempt."""
    for execution in state.executions:
        records = execution["actions_executed"]
        nodes = [record.get("node", str(place)) for place, record in enumerate(records)]
        is_linear = all(node.isdecimal() for node in nodes) and not execution.get("reason")
        if len(set(nodes)) != len(nodes) or (is_linear and len(records) != execution["step"]):
            state.breach("I3", f"{_name(execution)} is at step {execution['step']} with the records of {nodes}")
        if any(record["attempts"] < 1 for record in records):
            state.breach("I3", f"{_name(execution)} has a record without an attempt")


def _order(state: _State) -> None:
    """Promise 3: steps of one entity never overlap, and immediate first steps start in commit order."""
    by_entity: defaultdict[bytes, list[Document]] = defaultdict(list)
    for execution in state.executions:
        by_entity[bson_bytes(execution["triggered_by_entity_id"])].append(execution)
    for executions in by_entity.values():
        spans = sorted(
            (record["started_at"], record["executed_at"])
            for each in executions
            for record in each["actions_executed"]
            if not _has_died(record)  # it ended with its owner, and was recorded at the takeover
        )
        for (_, end), (start, _) in pairwise(spans):
            if start + state.expected.clock_slack < end:
                state.breach("order", f"entity {executions[0]['triggered_by_entity_id']}: two steps at once at {start}")
        first = [
            (each["seq"], each["actions_executed"][0]["started_at"])
            for each in sorted(executions, key=lambda each: int(each["seq"]))
            if each["actions_executed"] and each["actions_executed"][0]["attempts"] == 1 and not state.is_delayed(each)
        ]
        for (seq, before), (later_seq, after) in pairwise(first):
            if after + state.expected.clock_slack < before:
                early = (before - after).total_seconds()
                state.breach("order", f"execution {later_seq} started {early} s before {seq} of the same entity")


async def _inserted(state: _State, database: Database) -> None:
    """I4: a task and a notification for every step that says so, and no other."""
    for action_type, collection in INSERTING.items():
        wanted = {
            document_id(execution["_id"], record["node"])
            for execution in state.executions
            for record in execution["actions_executed"]
            if record["action_type"] == action_type and record["status"] == "success"
        }
        found = {document["_id"] async for document in database[collection].find({}, {"_id": 1})}
        if wanted - found:
            state.breach("I4", f"{len(wanted - found)} {collection} are missing")
        if found - wanted:
            state.breach("I4", f"{len(found - wanted)} {collection} that no step tells of")


async def _entity_writes(state: _State, database: Database) -> None:
    """I4: one cause for every step that wrote its entity."""
    causes: Counter[Any] = Counter()
    async for record in database.workflow_effects.find():
        causes.update(cause["execution_id"] for cause in record["causes"])
    for execution in state.executions:
        done = sum(
            record["action_type"] in ENTITY_WRITING and record["status"] == "success"
            for record in execution["actions_executed"]
        )
        if causes[execution["_id"]] > done:
            state.breach("I4", f"{_name(execution)} wrote its entity {causes[execution['_id']]} times, {done} recorded")


async def _counters(state: _State, database: Database) -> None:
    """I4: the counters say what the history says."""
    wanted: Counter[tuple[bytes, str]] = Counter()
    for execution in state.executions:
        if execution["status"] in ENDED:
            key = bson_bytes(execution["workflow_id"])
            wanted[key, "execution_count"] += 1
            wanted[key, "success_count"] += execution["status"] == "completed"
            wanted[key, "failure_count"] += execution["status"] == "failed"
    found: Counter[tuple[bytes, str]] = Counter()
    async for counter in database.workflow_state.find({"kind": "counter"}):
        for name in ("execution_count", "success_count", "failure_count"):
            found[bson_bytes(counter["workflow_id"]), name] += counter.get(name, 0)  # a correction moves some only
    for workflow, name in wanted.keys() | found.keys():
        told, counted = wanted[workflow, name], found[workflow, name]
        if told != counted:
            state.breach("I4", f"{name} of workflow {workflow.hex()} is {counted}, the history says {told}")


def _deliveries(state: _State) -> None:
    """I5: a delivery came twice only where an attempt crashed or was ambiguous."""
    attempts = {
        f"{execution['_id']}:{record['node']}": record["attempts"]
        for execution in state.executions
        for record in execution["actions_executed"]
    }
    for key, times in Counter(state.expected.deliveries).items():
        allowed = 1 if state.expected.at_most_once else attempts.get(key, 0)
        if times > allowed:
            state.breach("I5", f"{key} was delivered {times} times, allowed {allowed}")


def _has_died(record: Document) -> bool:
    return record["status"] == "uncertain" or record.get("error") == "crashed"


def _name(execution: Document) -> str:
    return f"execution {execution['_id']} ({execution['status']}, step {execution['step']})"

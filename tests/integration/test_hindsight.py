"""Why did it not fire back then: judged again by what was in force, and unknown where nobody can know."""

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import OperationFailure

from daemon.admin.administration import Administration, administration_of
from daemon.admin.change_history import ChangeHistory
from daemon.versions.parsing import parser_for
from rules.change import Change, Kind
from tests.support.bench import Bench, created, updated
from tests.support.settings import settings_for

WON = [{"field": "status", "operator": "equals", "value": "won"}]
LOST = [{"field": "status", "operator": "equals", "value": "lost"}]
HOUR = timedelta(hours=1)


@pytest.fixture
def bench(alone: Bench) -> Bench:
    return alone


def administration(bench: Bench) -> Administration:
    settings = settings_for("mongodb://unused", bench.database.name)
    return administration_of(bench.database, settings, parser_for(settings), lambda: datetime.now(UTC))


async def explained(bench: Bench, workflow: Any, entity_id: Any, at: datetime) -> dict[str, Any]:
    told = await administration(bench).explainer.explain(str(workflow), str(entity_id), at=at)
    told["passed"] = {check["check"]: check["passed"] for check in told["checks"]}
    told["says"] = {check["check"]: check["says"] for check in told["checks"]}
    return told


async def lost_deal(bench: Bench) -> tuple[Any, datetime]:
    """Return a deal whose status changed to lost, and when."""
    deal_id = (await bench.deals.insert_one({"status": "new"})).inserted_id
    await bench.deals.update_one({"_id": deal_id}, {"$set": {"status": "lost"}})
    await bench.taken_in()
    return deal_id, datetime.now(UTC)


async def has_lived_since(bench: Bench, workflow: Any, since: datetime) -> None:
    """Let a version be older than it is."""
    await bench.observed(workflow, state="active")
    versions = bench.database["workflow_versions"]
    await versions.update_many({"workflow_id": workflow}, {"$set": {"since": since}})


def tells(monkeypatch: pytest.MonkeyPatch, *changes: Change, error: Exception | None = None) -> None:
    """Let the server's history be these changes, or let it be lost."""

    async def told(*_: object) -> AsyncGenerator[tuple[Sequence[Change], int]]:
        if error is not None:
            raise error
        yield changes, 0

    monkeypatch.setattr(ChangeHistory, "changes", told)


async def test_a_past_change_is_judged_by_the_version_of_its_time(bench: Bench) -> None:
    workflow = await bench.add(updated("status", entity_type="deal"), conditions=WON)
    deal_id, at = await lost_deal(bench)
    await bench.workflows.update_one({"_id": workflow}, {"$set": {"conditions": LOST}})
    await bench.observed(workflow, state="active", version=2)
    told = await explained(bench, workflow, deal_id, at)
    assert (told["would_run"], told["passed"]["trigger"], told["passed"]["conditions"]) == (False, True, False)
    (condition,) = told["conditions"]
    assert (condition["expected"], condition["actual"], condition["met"]) == ("won", "lost", False)
    assert "version 1" in told["says"]["version"]
    assert "status equals 'won', found 'lost'" in told["summary"]
    assert told["decisions"][0]["reason"] == "condition_not_met"


async def test_what_was_paused_then_is_told_so_although_it_is_active_now(bench: Bench) -> None:
    workflow = await bench.add(updated("status", entity_type="deal"), status="paused")
    deal_id, at = await lost_deal(bench)
    await bench.workflows.update_one({"_id": workflow}, {"$set": {"status": "active"}})
    await bench.observed(workflow, state="active")
    told = await explained(bench, workflow, deal_id, at)
    assert (told["would_run"], told["passed"]["status"]) == (False, False)
    assert "paused" in told["summary"]


async def test_what_ran_then_is_told_with_its_execution(bench: Bench) -> None:
    workflow = await bench.add(updated("status", entity_type="deal"), enrollment="once")
    deal_id, _ = await lost_deal(bench)
    (run,) = await bench.ended(workflow, 1)
    told = await explained(bench, workflow, deal_id, run["triggered_at"])
    assert set(told["passed"].values()) == {True}
    assert (told["would_run"], [each["id"] for each in told["executions"]]) == (True, [run["_id"]])


async def test_an_entity_that_is_gone_by_now_is_explained_from_what_was_recorded(bench: Bench) -> None:
    workflow = await bench.add(updated("status", entity_type="deal"), conditions=WON)
    deal_id, at = await lost_deal(bench)
    await bench.deals.delete_one({"_id": deal_id})
    told = await explained(bench, workflow, deal_id, at)
    assert (told["would_run"], told["passed"]["conditions"]) == (False, False)


async def test_where_nothing_changed_nothing_could_start(bench: Bench) -> None:
    workflow = await bench.add(updated("status", entity_type="deal"))
    deal_id, at = await lost_deal(bench)
    await has_lived_since(bench, workflow, at - HOUR)
    told = await explained(bench, workflow, deal_id, at - timedelta(minutes=1))
    assert (told["would_run"], told["passed"]["trigger"]) == (False, False)
    assert "no change of this deal was made" in told["summary"]


async def test_before_its_first_version_nothing_is_known_of_a_workflow(bench: Bench) -> None:
    workflow = await bench.add(created("deal"))
    deal_id, at = await lost_deal(bench)
    told = await explained(bench, workflow, deal_id, at - HOUR)
    assert (told["would_run"], told["passed"]) == (None, {"version": None})


async def test_what_the_server_has_forgotten_is_unknown_and_not_guessed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = await bench.add(updated("status", entity_type="deal"), conditions=LOST)
    deal_id, at = await lost_deal(bench)
    await has_lived_since(bench, workflow, at - 2 * HOUR)
    tells(monkeypatch, error=OperationFailure("it fell off the oplog", 286))
    told = await explained(bench, workflow, deal_id, at - HOUR)
    assert (told["would_run"], told["passed"]["trigger"], told["passed"]["conditions"]) == (None, None, None)
    assert "no longer has the changes of that time" in told["summary"]


@pytest.mark.parametrize(("then", "met"), [({"status": "lost"}, True), ({"status": "new"}, False), (None, False)])
async def test_a_schedule_is_judged_on_the_entity_as_it_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, then: dict[str, Any] | None, met: bool
) -> None:
    trigger = {"type": "scheduled", "entity_type": "deal", "schedule": "0 9 * * *"}
    workflow = await bench.add(trigger, conditions=LOST)
    deal_id = (await bench.deals.insert_one({"status": "won"})).inserted_id
    fired_at = (datetime.now(UTC) - timedelta(days=1)).replace(hour=9, minute=0, second=0, microsecond=0)
    await has_lived_since(bench, workflow, fired_at - HOUR)
    kind = Kind.UPDATED if then is not None else Kind.CREATED
    later = Change("deal", deal_id, kind, frozenset({"status"}), then, {"status": "won"}, fired_at + HOUR, "", (0, 0))
    tells(monkeypatch, later)
    told = await explained(bench, workflow, deal_id, fired_at)
    assert (told["passed"]["trigger"], told["passed"]["conditions"]) == (True, met)
    assert (await explained(bench, workflow, deal_id, fired_at + HOUR))["passed"]["trigger"] is False


async def test_a_later_enrollment_did_not_stand_in_the_way(bench: Bench) -> None:
    workflow = await bench.add(updated("status", entity_type="deal"), enrollment="once")
    deal_id, at = await lost_deal(bench)
    await bench.ended(workflow, 1)
    await has_lived_since(bench, workflow, at - HOUR)
    before = await explained(bench, workflow, deal_id, at - timedelta(minutes=1))
    after = await explained(bench, workflow, deal_id, at + timedelta(minutes=1))
    assert (before["passed"]["enrollment"], after["passed"]["enrollment"]) == (True, False)


async def test_an_id_of_nothing_leaves_nothing_to_tell(bench: Bench) -> None:
    workflow = await bench.add(created("deal"))
    await bench.observed(workflow, state="active")
    told = await explained(bench, workflow, ObjectId(), datetime.now(UTC))
    assert (told["would_run"], told["executions"], told["decisions"]) == (False, [], [])

"""Why did it not fire, and what would have: explained and played back from a running daemon's own records."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.admin.administration import Administration, administration_of
from daemon.admin.problem import Conflict
from daemon.versions.parsing import parser_for
from tests.support.bench import Bench, created, updated
from tests.support.settings import settings_for

WON = [{"field": "status", "operator": "equals", "value": "won"}]


def administration(bench: Bench) -> Administration:
    settings = settings_for("mongodb://unused", bench.database.name)
    return administration_of(bench.database, settings, parser_for(settings), lambda: datetime.now(UTC))


async def deal(bench: Bench, **fields: Any) -> Any:
    return (await bench.deals.insert_one(fields)).inserted_id


def passed(told: dict[str, Any]) -> dict[str, Any]:
    return {check["check"]: check["passed"] for check in told["checks"]}


async def test_a_condition_that_is_not_met_is_shown_with_expected_and_actual(bench: Bench) -> None:
    workflow = await bench.add(updated("status", entity_type="deal"), conditions=WON)
    deal_id = await deal(bench, status="new")
    await bench.deals.update_one({"_id": deal_id}, {"$set": {"status": "lost"}})
    await bench.taken_in()
    told = await administration(bench).explainer.explain(str(workflow), str(deal_id))
    assert told["would_run"] is False
    assert told["conditions"] == [
        {
            "path": "conditions[0]",
            "field": "status",
            "operator": "equals",
            "expected": "won",
            "met": False,
            "actual": "lost",
        }
    ]
    assert told["decisions"][0]["reason"] == "condition_not_met"
    assert "did not run" in told["summary"]
    assert "status equals 'won', found 'lost'" in told["summary"]


async def test_what_may_not_be_is_told_as_such(bench: Bench) -> None:
    spared = {"field": "owner", "operator": "equals", "value": "bot"}
    workflow = await bench.add(created("deal"), conditions=[{"none": [spared, *WON]}])
    deal_id = await deal(bench, status="won")
    told = await administration(bench).explainer.explain(str(workflow), str(deal_id))
    assert "conditions are not met: none of status equals 'won', found 'won'." in told["summary"]


async def test_a_run_is_told_with_its_execution(bench: Bench) -> None:
    workflow = await bench.add(created("deal"))
    deal_id = await deal(bench)
    (run,) = await bench.ended(workflow, 1)
    told = await administration(bench).explainer.explain(str(workflow), str(deal_id))
    assert [each["id"] for each in told["executions"]] == [run["_id"]]
    assert (told["would_run"], "ran for it at" in told["summary"]) == (True, True)


async def test_a_run_that_was_postponed_is_told_with_why(bench: Bench) -> None:
    workflow = await bench.add(created("deal"), actions=[{"type": "create_task", "delay": "1h"}])
    deal_id = await deal(bench)
    (run,) = await bench.runs(workflow)
    postponed = {"reason": "the line is full", "until": run["due_at"], "since": run["triggered_at"], "times": 1}
    await bench.executions.update_one({"_id": run["_id"]}, {"$set": {"postponed": postponed}})
    told = await administration(bench).explainer.explain(str(workflow), str(deal_id))
    assert told["executions"][0]["postponed"] == postponed


async def test_a_paused_workflow_and_an_enrolled_entity_stand_in_the_way(bench: Bench) -> None:
    workflow = await bench.add(created("deal"), enrollment="once")
    deal_id = await deal(bench)
    await bench.ended(workflow, 1)
    await bench.workflows.update_one({"_id": workflow}, {"$set": {"status": "paused"}})
    told = await administration(bench).explainer.explain(str(workflow), str(deal_id))
    assert (passed(told)["status"], passed(told)["enrollment"]) == (False, False)


@pytest.mark.tampers
async def test_executions_that_people_have_broken_are_passed_over(bench: Bench) -> None:
    workflow = await bench.add(created("deal"))
    deal_id = await deal(bench)
    await bench.ended(workflow, 1)
    broken: list[dict[str, Any]] = [{"triggered_at": "then", "triggered_by_entity_type": "deal"}, {"status": 5}]
    for each in broken:
        await bench.executions.insert_one({"workflow_id": workflow, "triggered_by_entity_id": deal_id, **each})
    told = await administration(bench).explainer.explain(str(workflow), str(deal_id))
    assert len(told["executions"]) == 1


async def test_a_past_moment_is_told_from_what_was_recorded_then(bench: Bench) -> None:
    workflow = await bench.add(updated("status", entity_type="deal"), conditions=WON)
    deal_id = await deal(bench, status="new")
    await bench.deals.update_one({"_id": deal_id}, {"$set": {"status": "lost"}})
    (decision,) = await bench.decisions(deal_id)
    explainer = administration(bench).explainer
    then = await explainer.explain(str(workflow), str(deal_id), at=decision["at"])
    before = await explainer.explain(str(workflow), str(deal_id), at=decision["at"] - timedelta(minutes=1))
    assert (len(then["decisions"]), len(before["decisions"])) == (1, 0)


async def test_nothing_is_explained_for_what_does_not_exist(bench: Bench) -> None:
    workflow = await bench.add(created("deal"))
    with pytest.raises(Conflict, match="deal 5"):
        await administration(bench).explainer.explain(str(workflow), "5")
    with pytest.raises(Conflict, match="did you mean 'deal'"):
        await administration(bench).explainer.explain(str(workflow), "5", "deel")


async def test_a_backtest_replays_the_changes_that_the_server_still_has(bench: Bench) -> None:
    first, second = await deal(bench, status="new"), await deal(bench, status="new")
    for deal_id, status in ((first, "won"), (second, "lost"), (first, "lost"), (first, "won")):
        await bench.deals.update_one({"_id": deal_id}, {"$set": {"status": status}})
    workflow = await bench.add(updated("status", entity_type="deal"), conditions=WON, status="paused")
    progress: list[float] = []
    told = await administration(bench).backtester.run(str(workflow), 0.01, progress.append)
    assert (told["would_fire"], told["refused"]) == (2, {"condition_not_met": 2})
    assert [each["entity_id"] for each in told["entities"]] == [first, first]
    assert told["ran"] == 0
    assert progress


async def test_a_backtest_goes_on_over_documents_and_changes_of_any_size(bench: Bench) -> None:
    large = {"texts": ["x" * 100] * 90_000}  # both images of a change are over 16 MB
    deal_id, other = await deal(bench, status="new", **large), await deal(bench, status="won")
    await bench.deals.update_one({"_id": deal_id}, {"$set": {"status": "won"}})
    made = await bench.add(created("deal"), conditions=WON, status="paused")
    asking = [{"field": "texts", "operator": "contains", "value": "x"}]
    costly = await bench.add(created("deal"), conditions=asking, status="paused")
    changed = await bench.add(updated("status", entity_type="deal"), conditions=WON, status="paused")
    run = administration(bench).backtester.run
    assert [each["entity_id"] for each in (await run(str(made), 1))["entities"]] == [deal_id, other]
    assert (await run(str(costly), 1))["refused"] == {"too_costly": 1, "condition_not_met": 1}
    assert [each["entity_id"] for each in (await run(str(changed), 0.01))["entities"]] == [deal_id]


async def test_a_backtest_keeps_to_enrollment(bench: Bench) -> None:
    deal_id = await deal(bench, status="new")
    for status in ("won", "lost", "won"):
        await bench.deals.update_one({"_id": deal_id}, {"$set": {"status": status}})
    workflow = await bench.add(updated("status", entity_type="deal"), conditions=WON, enrollment="once")
    told = await administration(bench).backtester.run(str(workflow), 0.01)
    assert (told["would_fire"], told["refused"]["already_enrolled"]) == (1, 1)


async def test_a_backtest_of_creations_looks_at_the_entities_that_exist(bench: Bench) -> None:
    await deal(bench, status="won")
    await deal(bench, status="new")
    await deal(bench, _id="imported", status="won", created_at=datetime.now(UTC) - timedelta(days=30))
    workflow = await bench.add(created("deal"), conditions=WON)
    backtester = administration(bench).backtester
    assert (await backtester.run(str(workflow), 7))["would_fire"] == 1
    assert (await backtester.run(str(workflow), 60))["would_fire"] == 2


async def test_a_backtest_of_a_schedule_fires_at_every_time(bench: Bench) -> None:
    stale = {"last_activity_at": datetime.now(UTC) - timedelta(days=9)}
    await deal(bench, **stale)
    condition = {"field": "last_activity_days_ago", "operator": "greater_than", "value": 7}
    trigger = {"type": "scheduled", "entity_type": "deal", "schedule": "0 9 * * *"}
    workflow = await bench.add(trigger, conditions=[condition], status="paused")
    told = await administration(bench).backtester.run(str(workflow), 5)
    assert 1 <= told["would_fire"] <= 2


async def test_what_only_people_start_has_no_past(bench: Bench) -> None:
    workflow = await bench.add({"type": "manual"})
    with pytest.raises(Conflict, match="manual"):
        await administration(bench).backtester.run(str(workflow), 7)


async def test_a_run_by_hand_is_answered_by_the_daemon(bench: Bench) -> None:
    workflow = await bench.add({"type": "manual", "entity_type": "deal"})
    deal_id = await deal(bench)
    await bench.taken_in()
    answer = await administration(bench).runs.run(str(workflow), str(deal_id))
    (run,) = await bench.ended(workflow, 1)
    assert (answer["status"], answer["execution_id"]) == ("accepted", run["_id"])

"""Beside what is costliest to judge or to read, the loop goes on and everybody else is served (promise 8)."""

from typing import Any, Final

from bson import Decimal128

from tests.integration.test_schedules import HOUR, move_back, scheduled, summary
from tests.support.bench import TASK, Bench, created, updated, workflow_document
from tests.support.watchdog import least_stall

STALL_S: Final = 0.05  # of the loop's own processor time


def condition(operator: str, value: Any, field: str = "a") -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


COSTLY: Final = [condition("matches", "[^z]{999}z")]
TEXT: Final = "é" * 30_000


def nested(depth: int) -> list[Any]:
    array: list[Any] = [1]
    for _ in range(depth):
        array = [{"0": array}]
    return array


async def test_the_costliest_judgements_hold_up_nobody_and_are_told(shared: Bench) -> None:
    asked = [
        COSTLY,
        [condition("matches", r"(?:(?:(?:[^\x00]?){10}){10}){10}z")],
        [{"none": [condition("equals", -n) for n in range(1, 101)]}],
        [{"none": [condition("equals", -1, "a" + ".0" * n) for n in range(30, 99)]}],
    ]
    workflows = [await shared.add(created(), conditions=each) for each in asked]
    cheap = await shared.add(created(), conditions=[condition("equals", True, "is_mine")])
    values = [TEXT, TEXT, list(range(100_000)), nested(44)]
    count = 0

    async def insert() -> None:
        nonlocal count
        count += 1
        for value in values:
            await shared.leads.insert_one({"a": value, "is_mine": True})
        await shared.taken_in()

    assert await least_stall(insert, STALL_S) < STALL_S
    assert len(await shared.runs(cheap)) == count * len(values)
    for workflow in workflows:
        refused = [each for each in await shared.refusals(workflow) if each["reason"] == "too_costly"]
        assert refused
        assert refused[0]["detail"]["limit"] == "200,000 steps"
        assert refused[0]["detail"]["condition"].startswith("conditions[0]")


async def test_a_step_whose_conditions_are_too_costly_fails_and_says_so(shared: Bench) -> None:
    workflow = await shared.add(created(), actions=[{**TASK, "conditions": COSTLY}, TASK])
    await shared.leads.insert_one({"a": TEXT})
    (run,) = await shared.ended(workflow, 1)
    first, second = run["actions_executed"]
    assert (first["status"], second["status"]) == ("failed", "success")
    assert first["error"].startswith("too_costly: actions[0].conditions[0] takes more than the 200,000 steps")


async def test_a_sweep_refuses_what_is_too_costly_and_goes_on(shared: Bench) -> None:
    workflow = await shared.add(scheduled(), conditions=[{"none": [condition("matches", "[^z]{999}z", "swept")]}])
    await shared.leads.insert_many([{"_id": "heavy", "swept": TEXT}, {"_id": "light", "swept": "short"}])
    await shared.taken_in()
    await move_back(shared, workflow, 2 * HOUR)
    found = await summary(shared, workflow)
    assert found["refused"] == {"too_costly": 1}
    assert "light" in await shared.ran_for(workflow)
    (entry,) = await shared.refusals(workflow)
    assert entry["detail"]["condition"] == "conditions[0].none[0]"


async def test_patterns_that_are_large_are_refused_without_holding_up_anybody(shared: Bench) -> None:
    patterns = [condition("matches", rf"{n}\pL{{50}}") for n in range(1_000)]
    steps = [{**TASK, "conditions": [each]} for each in patterns[:100]]

    async def save() -> None:
        for more in ({"conditions": patterns}, {"actions": steps}):
            document = workflow_document(created(), **more)
            await shared.workflows.insert_one(document)
            found = await shared.observed(document["_id"], state="invalid")
            assert "at most 10,000 instructions" in found["error"]

    assert await least_stall(save, STALL_S) < STALL_S


async def test_one_amount_is_let_in_once_however_it_is_spelled(shared: Bench) -> None:
    workflow = await shared.add(updated("amount"), enrollment={"once_per": "amount"})
    stored = {"workflow_id": workflow, "entity_type": "lead", "entity_id": "ana"}
    earlier = {**stored, "key": {"field": "amount", "value": Decimal128("7.50")}}  # as versions before stored it
    await shared.database["workflow_enrollments"].insert_one({"_id": earlier, "execution_id": "e"})
    await shared.leads.insert_one({"_id": "ana"})
    for amount in (Decimal128("10.50"), Decimal128("10.5"), 10.5, None, 100, Decimal128("100"), 100.0, 7.5, 10.5):
        await shared.leads.update_one({"_id": "ana"}, {"$set": {"amount": amount}})
    assert len(await shared.runs(workflow)) == 3  # 10.5, null, 100
    reasons = [each["reason"] for each in await shared.refusals(workflow)]
    assert reasons == ["already_enrolled"] * 2  # 7.5, which an earlier version has let in, and 10.5 again


async def test_a_workflow_on_a_view_or_time_series_is_invalid_and_runs_by_a_schedule(shared: Bench) -> None:
    await shared.deals.drop()
    await shared.database.create_collection("deals", viewOn="leads", pipeline=[])
    for trigger in (created("deal"), updated("a", entity_type="deal")):
        found = await shared.observed(await shared.add(trigger), state="invalid")
        assert found["error"].startswith(
            "trigger.entity_type: expected a type whose changes MongoDB tells, found 'deal'"
        )
        assert "a view" in found["error"]
    await shared.observed(await shared.add({**scheduled(), "entity_type": "deal"}), state="active")

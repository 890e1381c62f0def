"""The index finds every workflow that a change could start, and few others."""

import timeit

from rules.matching import Matcher
from tests.support.bench import created, deleted, updated
from tests.support.change import a_creation, a_deletion, a_workflow, an_update


def a_matcher(*workflows: object) -> Matcher:
    matcher = Matcher()
    for workflow in workflows:
        matcher.put(workflow)  # type: ignore[arg-type]
    return matcher


def test_workflows_are_found_by_entity_type_and_kind() -> None:
    on_created, on_deleted = a_workflow(created()), a_workflow(deleted())
    of_deals = a_workflow(created("deal"))
    matcher = a_matcher(on_created, on_deleted, of_deals)
    assert matcher.candidates(a_creation({"_id": 1})) == [on_created]
    assert matcher.candidates(a_deletion(None)) == [on_deleted]


def test_an_update_finds_those_that_look_at_what_it_touched_and_at_any_field() -> None:
    on_a, on_b, on_any = a_workflow(updated("a.x")), a_workflow(updated("b")), a_workflow(updated())
    found = a_matcher(on_a, on_b, on_any).candidates(an_update(None, {}, {"a.y"}))
    assert found == [on_a, on_any]


def test_a_replace_finds_all_that_look_at_updates() -> None:
    workflows = [a_workflow(updated("a")), a_workflow(updated("b", "c")), a_workflow(updated())]
    assert a_matcher(*workflows).candidates(an_update(None, {}, None)) == workflows


def test_a_workflow_put_again_takes_the_place_of_the_old_one() -> None:
    old = a_workflow(updated("a"))
    new = a_workflow(updated("b"), _id=old.id)
    matcher = a_matcher(old, new)
    assert matcher.candidates(an_update(None, {}, {"a"})) == []
    assert matcher.candidates(an_update(None, {}, {"b"})) == [new]


def test_a_workflow_taken_out_is_found_no_more() -> None:
    workflow = a_workflow(updated("a", "b"))
    matcher = a_matcher(workflow)
    matcher.remove(workflow.id)
    matcher.remove(workflow.id)
    assert matcher.candidates(an_update(None, {}, None)) == []


def test_one_that_was_taken_out_leaves_others_of_its_field() -> None:
    one, other = a_workflow(updated("a")), a_workflow(updated("a"))
    matcher = a_matcher(one, other)
    matcher.remove(one.id)
    assert matcher.candidates(an_update(None, {}, {"a"})) == [other]


def test_scheduled_and_manual_workflows_follow_no_change() -> None:
    manual = a_workflow({"type": "manual", "entity_type": "lead"})
    scheduled = a_workflow({"type": "scheduled", "entity_type": "lead", "schedule": "0 9 * * *"})
    matcher = a_matcher(manual, scheduled)
    assert matcher.candidates(a_creation({})) == []


def test_the_order_of_candidates_does_not_depend_on_the_order_they_came_in() -> None:
    workflows = [a_workflow(created(), _id=each) for each in ("b", 1, "a", {"x": 1})]
    forwards, backwards = a_matcher(*workflows), a_matcher(*reversed(workflows))
    assert forwards.candidates(a_creation({})) == backwards.candidates(a_creation({}))


def test_a_replace_with_both_images_finds_those_that_look_at_what_differs() -> None:
    on_a, on_b, on_any = a_workflow(updated("a.x")), a_workflow(updated("b")), a_workflow(updated())
    change = an_update({"a": {"x": 1}, "b": 1}, {"a": {"x": 2}, "b": 1}, None)
    assert a_matcher(on_a, on_b, on_any).candidates(change) == [on_a, on_any]


def test_the_cost_does_not_grow_with_the_workflows_that_cannot_match() -> None:
    few, many = (a_matcher(*(a_workflow(updated(f"field{n}")) for n in range(size))) for size in (100, 10_000))
    changes = [an_update(None, {}, {"field7"}), an_update({"field7": 1}, {"field7": 2}, None)]

    def cost(matcher: Matcher) -> float:
        return min(timeit.repeat(lambda: [matcher.candidates(change) for change in changes], number=200, repeat=7))

    assert cost(many) < 5 * cost(few)

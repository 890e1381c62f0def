"""Who should own which lanes."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.lease.share import lanes_to_claim, lanes_to_release


def test_a_single_replica_claims_every_free_lane() -> None:
    assert lanes_to_claim(["a", "b", "c"], held=0, lanes=3, others=[]) == ["a", "b", "c"]


def test_a_replica_claims_no_more_than_its_share_rounded_up() -> None:
    assert lanes_to_claim(["a", "b", "c"], held=1, lanes=5, others=[2]) == ["a", "b"]


def test_what_others_are_short_of_is_left_to_them() -> None:
    assert lanes_to_claim(["a"], held=10, lanes=32, others=[11, 0]) == []
    assert lanes_to_claim(["a"], held=10, lanes=32, others=[11, 10]) == ["a"]


def test_what_a_replica_gave_up_is_claimed_at_the_first_look_of_the_others() -> None:
    free = [f"lane-{number}" for number in range(8)]
    assert len(lanes_to_claim(free, held=8, lanes=32, others=[8, 8])) == 3
    assert len(lanes_to_claim(free[3:], held=8, lanes=32, others=[11, 8])) == 3
    assert len(lanes_to_claim(free[6:], held=8, lanes=32, others=[11, 11])) == 2


def test_nothing_is_released_while_nobody_is_short_of_lanes() -> None:
    assert lanes_to_release(["a", "b"], 3, 2, {"here": 2, "there": 1}) == []


def test_half_is_released_for_a_replica_that_has_just_come() -> None:
    held = [f"lane-{number:02}" for number in range(32)]
    assert lanes_to_release(held, 32, 2, {"here": 32, "there": 0}) == held[16:]


@given(st.integers(1, 64), st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_claiming_and_releasing_end_in_even_shares_wherever_they_begin(lanes: int, start: list[int]) -> None:
    free = [f"lane-{number}" for number in range(lanes)]
    held = [[free.pop() for _ in range(min(count, len(free)))] for count in start]
    for _ in range(3 * len(held) + 3):
        for number, mine in enumerate(held):
            others = [len(each) for other, each in enumerate(held) if other != number]
            mine += (claimed := lanes_to_claim(free, len(mine), lanes, others))
            free = [lane for lane in free if lane not in claimed]
            counts = {str(other): len(each) for other, each in enumerate(held)}
            released = lanes_to_release(mine, lanes, len(held), counts)
            mine[:] = [lane for lane in mine if lane not in released]
            free += released
    assert not free
    assert max(map(len, held)) - min(map(len, held)) <= 1

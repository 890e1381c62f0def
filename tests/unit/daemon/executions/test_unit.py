"""What a unit knows of the state of its execution."""

from datetime import timedelta

from daemon.executions.unit import is_in_state
from tests.support.jobs import NOW


def test_a_stored_state_is_known_again_though_mongodb_keeps_whole_milliseconds() -> None:
    exact = NOW + timedelta(microseconds=1_999)
    stored = NOW + timedelta(milliseconds=1)
    state = {"due_at": exact, "postponed": {"since": exact, "times": 1}}
    assert is_in_state({"due_at": stored, "postponed": {"since": stored, "times": 1}}, state)

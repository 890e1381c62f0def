"""When a node is due."""

from datetime import UTC, datetime, timedelta

from rules.due import first_due, next_due, retry_due

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=3)
HOUR = timedelta(hours=1)


def test_the_first_delay_counts_from_the_trigger() -> None:
    assert first_due(HOUR, BEFORE, NOW, 1.0) == BEFORE + HOUR


def test_a_first_node_without_a_delay_is_due_now_however_old_its_trigger() -> None:
    assert first_due(timedelta(), BEFORE, NOW, 1.0) == NOW


def test_a_later_delay_counts_from_the_end_of_the_node_before() -> None:
    assert next_due(HOUR, NOW, 1.0) == NOW + HOUR


def test_a_retry_waits_from_the_end_of_the_attempt() -> None:
    assert retry_due(HOUR, NOW, 1.0) == NOW + HOUR


def test_every_wait_is_divided_in_a_demonstration() -> None:
    waits = (first_due(HOUR, NOW, NOW, 60), next_due(HOUR, NOW, 60), retry_due(HOUR, NOW, 60))
    assert set(waits) == {NOW + timedelta(minutes=1)}

"""Schedules fire by the local clock of their zone, also where summer time takes an hour away or gives it twice."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.error import WorkflowError
from rules.schedule import Schedule, parse_schedule, parse_timezone

BERLIN = "Europe/Berlin"
EXPRESSIONS = ("*/7 * * * *", "30 2 * * *", "15,45 2 * * 0", "* 9 * 1 *", "@monthly", "0 0 29 2 *")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fires(expression: str, timezone: str, after: str, count: int) -> list[str]:
    """Return the next fire times after an instant in UTC, in the zone's own time."""
    schedule = parse_schedule(expression, timezone)
    instant, found = at(after), []
    for _ in range(count):
        instant = schedule.next_after(instant)
        found.append(f"{instant.astimezone(ZoneInfo(timezone)):%m-%d %H:%M %z}")
    return found


def test_the_next_run_is_after_the_instant_never_at_it() -> None:
    schedule = parse_schedule("0 9 * * *", "UTC")
    assert schedule.next_after(at("2026-03-01T08:59:59.999")) == at("2026-03-01T09:00:00")
    assert schedule.next_after(at("2026-03-01T09:00:00")) == at("2026-03-02T09:00:00")


def test_runs_follow_the_local_clock_of_the_zone_and_are_told_in_utc() -> None:
    schedule = parse_schedule("0 9 * * *", BERLIN)
    assert schedule.next_after(at("2026-01-10T00:00:00")) == at("2026-01-10T08:00:00")
    assert schedule.next_after(at("2026-07-10T00:00:00")) == at("2026-07-10T07:00:00")
    assert schedule.next_after(at("2026-07-10T00:00:00")).tzinfo is UTC


def test_a_run_in_the_gap_fires_once_at_its_end() -> None:
    assert fires("30 2 * * *", BERLIN, "2026-03-28T12:00", 2) == ["03-29 03:00 +0200", "03-30 02:30 +0200"]
    assert fires("15,45 2 * * *", BERLIN, "2026-03-28T12:00", 2) == ["03-29 03:00 +0200", "03-30 02:15 +0200"]


def test_a_run_in_the_overlap_fires_once_the_first_time() -> None:
    assert fires("30 2 * * *", BERLIN, "2026-10-24T12:00", 2) == ["10-25 02:30 +0200", "10-26 02:30 +0100"]


def test_a_start_within_the_second_hour_of_the_overlap_does_not_fire_the_first_again() -> None:
    # 01:10 UTC is 02:10 in Berlin for the second time; 02:30 has been.
    assert fires("30 2 * * *", BERLIN, "2026-10-25T01:10", 1) == ["10-26 02:30 +0100"]


def test_an_hourly_run_goes_by_real_time_through_the_overlap() -> None:
    expected = ["10-25 02:00 +0200", "10-25 02:00 +0100", "10-25 03:00 +0100"]
    assert fires("@hourly", BERLIN, "2026-10-24T23:30", 3) == expected


def test_a_run_at_a_midnight_that_does_not_exist_fires_when_the_day_begins() -> None:
    assert fires("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00", 2) == ["04-24 01:00 +0300", "04-25 00:00 +0300"]


@pytest.mark.parametrize(
    ("shorthand", "fields"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ],
)
def test_a_shorthand_fires_as_its_five_fields_do(shorthand: str, fields: str) -> None:
    assert fires(shorthand, BERLIN, "2026-03-01T00:00", 30) == fires(fields, BERLIN, "2026-03-01T00:00", 30)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("@reboot", "found '@reboot': the daemon fires by the clock only"),
        ("@dayly", r"found '@dayly' \(did you mean '@daily'\?\)"),
        ("* * * *", "found 4 fields in"),
        ("0 * * * * *", "found 6 fields in"),
        ("", "found 0 fields in ''"),
        ("60 * * * *", "Bad minute"),
        ("²² * * * *", "Bad minute"),
        ("9" * 5000, "found '999"),
        (None, "found null"),
        (900, "found 900"),
        ("0 0 30 2 *", "found '0 0 30 2 \\*'"),
        ("0 0 */31 2 MON#5", "found .*, which never does"),
    ],
)
def test_a_wrong_or_never_firing_expression_is_refused(expression: object, message: str) -> None:
    with pytest.raises(WorkflowError, match=message) as refused:
        parse_schedule(expression, "UTC")
    assert refused.value.path == "trigger.schedule"


def test_a_leap_day_schedule_is_accepted_and_waits_for_its_year() -> None:
    assert fires("0 0 29 2 *", "UTC", "2026-01-01T00:00", 1) == ["02-29 00:00 +0000"]


@pytest.mark.parametrize(
    "zone",
    [
        None,
        3,
        "",
        "Europe",
        "europe/berlin",
        "../etc/passwd",
        "/etc/localtime",
        "localtime",
        "a\0b",
        "x" * 5000,
        "\ud800",
    ],
)
def test_what_names_no_time_zone_is_refused(zone: object) -> None:
    with pytest.raises(WorkflowError, match="expected a time zone such as") as refused:
        parse_timezone(zone, "trigger.timezone")
    assert refused.value.path == "trigger.timezone"


def test_a_misspelt_time_zone_names_the_nearest() -> None:
    with pytest.raises(WorkflowError, match=r"did you mean 'Europe/Lisbon'\?"):
        parse_timezone("Europe/Lisbonne", "trigger.timezone")


def test_there_is_no_latest_run_where_none_fired() -> None:
    schedule = parse_schedule("0 9 * * *", "UTC")
    assert schedule.latest_between(at("2026-03-01T09:00"), at("2026-03-02T08:59:59")) is None
    assert schedule.latest_between(at("2026-03-02T09:00"), at("2026-03-01T09:00")) is None


def test_the_latest_run_may_be_at_the_end_but_not_at_the_beginning() -> None:
    schedule = parse_schedule("0 9 * * *", "UTC")
    assert schedule.latest_between(at("2026-03-01T09:00"), at("2026-03-02T09:00")) == at("2026-03-02T09:00")


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(EXPRESSIONS),
    st.sampled_from(["UTC", BERLIN]),
    st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.timedeltas(timedelta(), timedelta(days=3)),
)
def test_the_latest_run_is_the_last_that_counting_finds(
    expression: str, timezone: str, until: datetime, back: timedelta
) -> None:
    schedule = Schedule(expression, timezone)
    counted, instant = None, until - back
    while (instant := schedule.next_after(instant)) <= until:
        counted = instant
    assert schedule.latest_between(until - back, until) == counted


def test_a_year_of_downtime_is_looked_back_on_without_counting_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    next_after = Schedule.next_after

    def counting(schedule: Schedule, instant: datetime) -> datetime:
        nonlocal asked
        asked += 1
        return next_after(schedule, instant)

    monkeypatch.setattr(Schedule, "next_after", counting)
    latest = Schedule("* * * 1 *", "UTC").latest_between(at("2025-01-01T00:00"), at("2025-12-31T00:00"))
    assert latest == at("2025-01-31T23:59")
    assert asked < 80

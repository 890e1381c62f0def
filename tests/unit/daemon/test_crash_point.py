"""Crash points: named, counted, and absent unless asked for."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.error import ConfigError
from daemon.crash_point import CRASH_AT, VARIABLE, Armed, CrashPoint, armed_by

ROOT = Path(__file__).parents[3]


def test_nothing_is_armed_without_the_variable() -> None:
    assert (CRASH_AT, armed_by(None), armed_by("")) == (None, None, None)


def test_a_count_lets_the_point_be_passed_before() -> None:
    armed = armed_by("intake.after_commit:3")
    assert armed == Armed(CrashPoint.AFTER_INTAKE, 3)
    assert [armed.is_last(CrashPoint.AFTER_INTAKE) for _ in range(3)] == [False, False, True]


def test_other_points_do_not_count() -> None:
    armed = Armed(CrashPoint.AFTER_READ, 1)
    assert not armed.is_last(CrashPoint.AFTER_MATCH)
    assert armed.passes == 1


@pytest.mark.parametrize("text", ["intake.after_comit", "intake.after_commit:x", "nowhere"])
def test_an_unknown_point_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)):
        armed_by(text)


def test_reaching_the_armed_point_kills_the_process() -> None:
    program = f"from daemon.crash_point import *; reach(CrashPoint.{CrashPoint.AFTER_READ.name}); print('alive')"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={VARIABLE: CrashPoint.AFTER_READ},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (-9, b"")


def test_every_point_stands_in_exactly_one_place_of_the_daemon() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "daemon").rglob("*.py"))
    places = re.findall(r"reach\(CrashPoint\.(\w+)\)", source)
    assert sorted(places) == sorted(point.name for point in CrashPoint)

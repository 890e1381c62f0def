"""What the demo needs, and what it changes in the settings."""

import sys
from pathlib import Path

import pytest

from config.error import ConfigError
from daemon.demo import run_demo
from daemon.demo.place import TIME_SCALE, demo_settings
from tests.support.settings import settings_for

URI = "mongodb://127.0.0.1:1"


async def test_without_motor_the_demo_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "motor", None)
    with pytest.raises(ConfigError, match=r"expected the package motor.*reflexd\[demo\]"):
        await run_demo(settings_for(URI, "crm"), once=True)


def test_delays_are_shortened() -> None:
    assert demo_settings(settings_for(URI, "crm")).time_scale == TIME_SCALE


def test_a_time_scale_that_was_asked_for_is_kept() -> None:
    assert demo_settings(settings_for(URI, "crm", time_scale=1.0)).time_scale == 1.0


def test_the_embedded_server_is_not_that_of_the_run_command() -> None:
    assert demo_settings(settings_for(URI, "crm")).embedded_directory == Path(".reflexd/demo")

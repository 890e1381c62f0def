"""The command line: what is run with which settings, and the exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from loguru import logger
from pymongo.errors import ServerSelectionTimeoutError
from typer.testing import CliRunner, Result

from config.error import ConfigError
from config.settings import Settings
from daemon.cli import app


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().startswith(("REFLEXD_", "MONGODB_")):
            monkeypatch.delenv(name)
    yield
    logger.remove()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that the daemon was run with, in place of running it."""
    seen: list[Settings] = []

    async def run_daemon(settings: Settings, *, reset_to: str | None = None) -> int:
        seen.append(settings)
        return 0

    monkeypatch.setitem(sys.modules, "daemon.process", SimpleNamespace(run_daemon=run_daemon))
    return seen


def daemon_that(monkeypatch: pytest.MonkeyPatch, ends: int | Exception) -> None:
    async def run_daemon(settings: Settings, *, reset_to: str | None = None) -> int:
        if isinstance(ends, Exception):
            raise ends
        return ends

    monkeypatch.setitem(sys.modules, "daemon.process", SimpleNamespace(run_daemon=run_daemon))


def reflexd(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_run_runs_the_daemon_with_the_settings_of_the_environment(
    runs: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFLEXD_LANES", "7")
    assert reflexd("run").exit_code == 0
    assert [(settings.lanes, settings.init_on_start) for settings in runs] == [(7, True)]


def test_run_takes_a_settings_file(runs: list[Settings]) -> None:
    Path("reflexd.toml").write_text("lanes = 9\n", encoding="utf-8")
    assert reflexd("run", "--config", "reflexd.toml").exit_code == 0
    assert runs[0].lanes == 9


def test_run_leaves_the_database_as_it_is_when_told_so(runs: list[Settings]) -> None:
    reflexd("run", "--no-init")
    assert not runs[0].init_on_start


def test_the_exit_code_is_that_of_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon_that(monkeypatch, 1)
    assert reflexd("run").exit_code == 1


def test_wrong_settings_end_with_78_and_one_line_for_the_log_shipper(
    runs: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFLEXD_LANE", "7")
    result = reflexd("run")
    line = json.loads(result.stderr)
    assert (result.exit_code, runs, line["event.action"]) == (78, [], "config.refused")
    assert "did you mean 'REFLEXD_LANES'?" in line["error.message"]


def test_what_turns_out_wrong_at_start_ends_with_78_too(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon_that(monkeypatch, ConfigError("embedded_directory: in use"))
    result = reflexd("run")
    assert (result.exit_code, "embedded_directory: in use" in result.stderr) == (78, True)


def test_a_database_that_does_not_answer_ends_with_1_and_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon_that(monkeypatch, ServerSelectionTimeoutError("mongodb://ana:hunter2@db: no"))
    result = reflexd("run")
    assert (result.exit_code, json.loads(result.stderr)["event.action"]) == (1, "store.refused")
    assert "hunter2" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [(), ("fly",), ("run", "--fast")])
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert reflexd(*arguments).exit_code == 2


def test_demo_plays_the_sample_traffic_once_when_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[bool] = []

    async def run_demo(settings: Settings, *, once: bool) -> int:
        played.append(once)
        return 0

    monkeypatch.setitem(sys.modules, "daemon.demo", SimpleNamespace(run_demo=run_demo))
    reflexd("demo", "--once")
    reflexd("demo")
    assert played == [True, False]


def test_the_module_is_the_same_program() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "daemon", "--version"], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("reflexd ")


def test_run_refuses_a_position_that_is_no_time() -> None:
    result = reflexd("run", "--reset-checkpoint", "yesterday")
    assert (result.exit_code, "expected now or a time" in result.output) == (2, True)

"""`reflexd demo` as a process: what people try first."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 90


@contextmanager
def demo(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start the demo with ``directory`` as its working directory; it is ended with the context."""
    environment = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(("REFLEXD_", "MONGODB_"))
    }
    with subprocess.Popen(
        [sys.executable, "-m", "daemon", "demo", *arguments],
        cwd=directory,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def played_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    """The exit code and the output of one whole demo."""
    with demo(tmp_path_factory.mktemp("demo"), "--once") as process:
        output, _ = process.communicate(timeout=TIMEOUT_S)
        return process.returncode, output


def test_a_demo_played_once_exits_with_0_after_everything_went_as_expected(played_once: tuple[int, str]) -> None:
    code, output = played_once
    assert code == 0, output
    assert output.endswith("Exactly the expected executions ended as expected.\n")


@pytest.mark.parametrize(
    "row",
    [
        "Auto-qualify new leads from website  Ana Lima  completed  qualify_lead success, enrich_lead success",
        "Auto-qualify new leads from website  Bo Chen  completed  qualify_lead success, enrich_lead success",
        "Follow-up on stale deals  Harbour crane  completed  create_task success",
        "Congratulate on deal won  Fresh paint  completed  send_notification success",
        "Congratulate on deal won  Solar roof  completed  send_notification success",
        "Congratulate on deal won  Bridge toll  completed  send_notification success",
        "Greet new contacts  paused  1",
        "Review what was flagged  reentry  1",
    ],
)
def test_its_table_shows_what_ran_and_what_did_not(played_once: tuple[int, str], row: str) -> None:
    rows = [" ".join(line.split()) for line in played_once[1].splitlines()]
    assert " ".join(row.split()) in rows


def test_it_says_that_delays_are_shortened_and_where_its_log_is(played_once: tuple[int, str]) -> None:
    assert "delays are divided by 20 (REFLEXD_TIME_SCALE); log: .reflexd/demo/daemon.log" in played_once[1]


def test_a_demo_without_end_ends_with_0_and_leaves_nothing_running_when_told_to_stop(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        assert any("completed (" in line for line in process.stdout)
        mongod = psutil.Process(int((tmp_path / ".reflexd/demo/mongod.pid").read_text()))
        process.terminate()
        process.stdout.read()
        assert process.wait(TIMEOUT_S) == 0
        assert not mongod.is_running()

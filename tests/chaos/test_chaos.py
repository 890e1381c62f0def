"""A short chaos run in every test run; ``make chaos SECONDS=600`` is the long one."""

from pathlib import Path

import pytest

from tests.chaos.run import chaos

SECONDS = 10
FAULTS = 6  # the seed tells which; however slow the machine is
SEED = 20_261_126


@pytest.mark.timeout(300)
async def test_everything_holds_while_everything_goes_wrong(tmp_path: Path) -> None:
    report = await chaos(SECONDS, SEED, tmp_path, least=FAULTS)
    print(report.text())  # noqa: T201
    assert report.breaches == [], report.text()

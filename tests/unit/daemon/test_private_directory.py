"""The directory of the embedded MongoDB is its owner's alone."""

import os
from pathlib import Path

import pytest

from config.error import ConfigError
from daemon.mongo.embedded import EmbeddedServer
from daemon.mongo.private_directory import make_private


def test_it_and_what_is_missing_above_it_are_made_for_the_owner_alone(tmp_path: Path) -> None:
    make_private(tmp_path / ".reflexd" / "demo")
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in (".reflexd", ".reflexd/demo")]
    assert modes == [0o700, 0o700]


def test_one_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


async def test_one_of_another_user_is_refused_and_no_address_is_taken_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ConfigError, match=f"belongs to user {owner}"):
        EmbeddedServer(tmp_path).uri_of_another()
    with pytest.raises(ConfigError, match=f"belongs to user {owner}"):
        await EmbeddedServer(tmp_path).start()

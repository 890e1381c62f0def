"""A file of settings in the working directory is read only where nobody else may have written it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from config.dotenv_file import checked_dotenv_file
from config.error import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    path.write_text("REFLEXD_LANES=2\n", encoding="utf-8")
    path.chmod(0o644)
    return path


def by_link(path: Path) -> Path:
    """Return a link in a directory of its own, which leads to ``path``."""
    link = path.parent / "elsewhere" / ".env"
    link.parent.mkdir(mode=0o755)
    link.symlink_to(path)
    return link


def test_a_file_of_ones_own_is_read(file: Path) -> None:
    assert checked_dotenv_file(file) == file
    assert checked_dotenv_file(by_link(file)) is not None


def test_without_a_file_there_is_nothing_to_refuse(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert checked_dotenv_file(tmp_path / ".env") is None


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
@pytest.mark.parametrize("find", [lambda path: path, by_link])
def test_a_file_that_others_may_write_is_refused(file: Path, mode: int, find: Callable[[Path], Path]) -> None:
    file.chmod(mode)
    with pytest.raises(ConfigError, match=r"\.env may be written by others; `chmod go-w"):
        checked_dotenv_file(find(file))


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
@pytest.mark.parametrize("find", [lambda path: path, by_link])
def test_a_directory_that_others_may_write_is_refused(file: Path, mode: int, find: Callable[[Path], Path]) -> None:
    found = find(file)
    file.parent.chmod(mode)
    with pytest.raises(ConfigError, match="may be written by others"):
        checked_dotenv_file(found)


@pytest.mark.parametrize("of_directory", [False, True])
def test_what_belongs_to_somebody_else_is_refused(
    file: Path, of_directory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = 4711
    if os.geteuid() == 0:
        os.chown(file.parent if of_directory else file, stranger, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(ConfigError, match=r"belongs to user \d+; expected user \d+"):
        checked_dotenv_file(file)


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="cannot be looked at"):
        checked_dotenv_file(tmp_path / ".env")

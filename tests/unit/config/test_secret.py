"""Whatever is wrong with a secret setting: its name is said, and no part of its value."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger
from pydantic import SecretStr
from typer.testing import CliRunner

from config.error import ConfigError
from config.secret import Secret
from config.settings import Settings
from config.settings_source import load_settings
from daemon.cli import app
from daemon.mongo.client import open_client

CANARY = "Kan4rienVogel9Wx"
ENTRY = {"name": "grafana", "sha256": "ab" * 32}
TOKENS = [
    CANARY,
    f'"{CANARY}"',
    f'["{CANARY}"]',
    f'[["{CANARY}"]]',
    f'[{{"{CANARY}": 1}}]',
    f'{{"{CANARY}": "{CANARY}"}}',
    f"[{CANARY}",
    "[" * 5000 + CANARY,
    json.dumps([{**ENTRY, "sha256": CANARY}]),
    json.dumps([{**ENTRY, "scope": CANARY}]),
    json.dumps([{**ENTRY, "scope": [CANARY]}]),
    json.dumps([{**ENTRY, "name": {"a": CANARY}}]),
    json.dumps([{**ENTRY, "token": CANARY}]),
    json.dumps([{**ENTRY, CANARY: CANARY}]),
    json.dumps([{"name": CANARY * 10, "sha256": "ab" * 32}]),
]
URIS = [
    CANARY,
    f"postgres://ana:{CANARY}@db/crm",
    f"mongodb://ana:{CANARY}",
    f"mongodb://ana:ab/{CANARY}@db/crm",
    f"mongodb://ana:ab?{CANARY}@db/crm",
    f"mongodb://ana:ab?{CANARY}=1@db/crm",
    f"mongodb://ana:ab@{CANARY}@db/crm",
    f"mongodb://ana:ab:{CANARY}@db/crm",
    f"mongodb://ana:%zz{CANARY}@db/crm",
    f"mongodb://ana:\N{FULLWIDTH COMMERCIAL AT}{CANARY}/@db/crm",
    f"mongodb://ana:\N{CARE OF}{CANARY}\N{FULLWIDTH COLON}@db:x/crm",
    f"mongodb://db/{CANARY}.x",
    f"mongodb://db/crm/{CANARY}",
    f"mongodb://db/crm?{CANARY}",
    f"mongodb://db/crm?readPreference={CANARY}",
    f"mongodb://db/crm?tls={CANARY}",
    f"mongodb://db/crm?authMechanism={CANARY}",
    f"mongodb://db/crm?authMechanismProperties={CANARY}",
    f"mongodb://db/crm?maxPoolSize={CANARY}",
    f"mongodb://db/crm?compressors={CANARY}",
    f"mongodb://db/crm?tlsCAFile=/{CANARY}",
    f"mongodb://db/crm?unknownOption={CANARY}",
    f"mongodb://db/crm?tls=true&tls={CANARY}",
    f"mongodb://db/crm?authMechanismProperties=SERVICE_NAME:a&{CANARY.rstrip('x')}=b",
    f"mongodb://ana:{CANARY}@db/crm?directConnection=true&loadBalanced=true",
    f"mongodb://ana:\N{GRINNING FACE}{CANARY}@db/crm",
    f"mongodb://ana:%07{CANARY}@db/crm?authMechanism=SCRAM-SHA-256",
    f"mongodb+srv://ana:{CANARY}@db:27017/crm",
    f"mongodb+srv://ana:{CANARY}@db,db2/crm",
    f"mongodb+srv://ana:{CANARY}/@db.example.com/crm",
]
WRONG = [
    *(("REFLEXD_API_TOKENS", value) for value in TOKENS),
    *(("MONGODB_URI", value) for value in URIS),
    *(("REFLEXD_MONGODB_URI", value) for value in URIS[:2]),
    ("REFLEXD_API_TOKEN", CANARY[:15]),
    ("REFLEXD_SMTP_PASSWORD", CANARY),  # without a user name
]
OF_WRONG_TYPE = [f'["{CANARY}"]', f'{{{CANARY} = "{CANARY}"}}', f'[{{a = "{CANARY}"}}]', "1979-05-27", "7", "true"]
BROKEN_FILES = [
    f'smtp_password = "{CANARY}',
    f"smtp_password = {CANARY}",
    f'smtp_password = "a"\nsmtp_password.{CANARY} = 1',
    f'api_tokens = [{{"{CANARY}" = 1, "{CANARY}" = 2}}]',
    f"[{CANARY}]\n[{CANARY}]",
    "api_tokens = " + "[" * 5000 + f'"{CANARY}"',
]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().startswith(("REFLEXD_", "MONGODB_")):
            monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "daemon.process", None)  # nothing may start
    yield
    logger.remove()
    logging.basicConfig(handlers=[], force=True)


def assert_untold(text: str) -> None:
    """Fail if any six characters of the secret are there."""
    parts = {CANARY[start : start + 6].lower() for start in range(len(CANARY) - 5)}
    assert [part for part in parts if part in text.lower()] == []


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_secret_is_named_and_not_shown(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["run"])
    assert (result.exit_code, name.removeprefix("REFLEXD_") in result.stderr.upper()) == (78, True)
    assert_untold(result.output + repr(result.exception))


@pytest.mark.parametrize("setting", ["mongodb_uri", "api_token", "api_tokens", "smtp_password"])
@pytest.mark.parametrize("value", OF_WRONG_TYPE)
def test_a_secret_of_a_wrong_type_is_named_and_not_shown(setting: str, value: str) -> None:
    Path("reflexd.toml").write_text(f"{setting} = {value}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=setting.upper()) as caught:
        load_settings(Path("reflexd.toml"))
    assert_untold(str(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("text", BROKEN_FILES)
def test_a_broken_settings_file_is_not_quoted(text: str) -> None:
    Path("reflexd.toml").write_text(text, encoding="utf-8")
    result = CliRunner().invoke(app, ["run", "--config", "reflexd.toml"])
    assert result.exit_code == 78
    assert_untold(result.output)


@pytest.mark.parametrize("line", [CANARY, f"REFLEXD_API_TOKEN{CANARY}", f"REFLEXD_API_TOKEN='{CANARY}", "\udcff"])
def test_a_broken_dotenv_file_is_not_quoted(line: str) -> None:
    Path(".env").write_bytes(f"{line}\nREFLEXD_LANES={CANARY}\n".encode("utf-8", "surrogateescape"))
    result = CliRunner().invoke(app, ["run"])
    assert result.exit_code == 78
    assert_untold(result.output.replace(f"found '{CANARY}'", ""))  # what is no secret setting may be shown


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize(
    "command", [["run"], ["init"], ["doctor"], ["demo", "--once"], ["workflows", "list"], ["executions", "list"]]
)
def test_every_command_keeps_a_wrong_secret_to_itself(
    command: list[str], is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.testing._NamedTextIOWrapper.isatty", lambda _: is_terminal)
    monkeypatch.setenv("MONGODB_URI", f"mongodb://ana:a/{CANARY}@db/crm?tls={CANARY}")
    monkeypatch.setenv("REFLEXD_API_TOKENS", CANARY)
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, "MONGODB_URI" in result.stderr, "API_TOKENS" in result.stderr) == (78, True, True)
    assert_untold(result.output)


@pytest.mark.parametrize(
    "options",
    ["minPoolSize=10&maxPoolSize=5", "authMechanism=MONGODB-X509", "authMechanism=MONGODB-OIDC"],
)
def test_what_the_driver_refuses_as_a_whole_names_the_options_only(options: str) -> None:
    uri = f"mongodb://{CANARY}:{CANARY}@db/crm?{options}"
    with pytest.raises(ConfigError, match=options.partition("=")[0]) as caught:
        open_client(Settings.model_construct(mongodb_uri=SecretStr(uri)), "test")
    assert_untold(str(caught.value))


def test_every_setting_that_may_be_secret_is_marked_as_one() -> None:
    marked = {
        name for name, field in Settings.model_fields.items() if any(isinstance(m, Secret) for m in field.metadata)
    }
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    named = {name for name in Settings.model_fields if any(part in name for part in ("password", "token", "secret"))}
    assert secret | named <= marked

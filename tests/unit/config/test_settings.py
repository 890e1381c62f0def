"""The settings: where they come from, and what is said about wrong ones."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config.error import ConfigError
from config.limits import Limits
from config.log import LogFormat
from config.settings import Settings, SmtpSecurity
from config.settings_source import load_settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours and no ``.env`` of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().startswith(("REFLEXD_", "MONGODB_")):
            monkeypatch.delenv(name)


def file_with(text: str) -> Path:
    path = Path("reflexd.toml")
    path.write_text(text, encoding="utf-8")
    return path


def problem_of(config_file: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(config_file)
    return str(caught.value)


def test_without_anything_set_the_defaults_hold() -> None:
    settings = load_settings()
    assert (settings.mongodb_uri, settings.database_name, settings.lanes, settings.log_format) == (
        None,
        "crm",
        32,
        LogFormat.AUTO,
    )
    assert settings.entities == {"lead": "leads", "deal": "deals", "contact": "contacts"}
    assert settings.collections.executions == "workflow_executions"


def test_a_variable_sets_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXD_CONCURRENCY", "7")
    assert load_settings().concurrency == 7


def test_limits_come_from_variables_and_from_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXD_LIMITS__EMAIL_PER_SECOND", "0.5")
    settings = load_settings(file_with("[limits]\nhost_at_once = 4\n"))
    assert settings.limits == Limits(email_per_second=0.5, host_at_once=4)


@pytest.mark.parametrize(("name", "value"), [("EMAIL_AT_ONCE", "0"), ("HOST_PER_SECOND", "inf"), ("EMAIL", "4")])
def test_a_limit_that_cannot_be_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"REFLEXD_LIMITS__{name}", value)
    assert f"REFLEXD_LIMITS__{name}: expected" in problem_of()


def test_a_variable_wins_over_the_dotenv_file_and_that_over_the_settings_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXD_LANES", "1")
    Path(".env").write_text("REFLEXD_LANES=2\nREFLEXD_MAX_DEPTH=2\n", encoding="utf-8")
    settings = load_settings(file_with("lanes = 3\nmax_depth = 3\nconcurrency = 3\n"))
    assert (settings.lanes, settings.max_depth, settings.concurrency) == (1, 2, 3)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URI", "")
    assert load_settings().mongodb_uri is None


@pytest.mark.parametrize("name", ["MONGODB_URI", "REFLEXD_MONGODB_URI"])
def test_the_uri_is_read_with_and_without_our_prefix(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "mongodb://db")
    uri = load_settings().mongodb_uri
    assert uri is not None
    assert uri.get_secret_value() == "mongodb://db"


@pytest.mark.parametrize(
    ("uri", "setting", "expected"),
    [
        ("mongodb://db/from_uri", "set", "set"),
        ("mongodb://u:p@a:1,b:2/sales%2Dcrm?replicaSet=x", None, "sales-crm"),
        ("mongodb://db/?replicaSet=x", None, "crm"),
        ("mongodb://u:\N{ACCOUNT OF}@db/a?authMechanism=SCRAM-SHA-256", None, "a"),
        ("mongodb://u:\N{GRINNING FACE}@db/a?authMechanism=SCRAM-SHA-1", None, "a"),
        ("mongodb+srv://db", None, "crm"),
        (None, None, "crm"),
    ],
)
def test_the_database_is_the_setting_else_that_of_the_uri_else_crm(
    uri: str | None, setting: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("MONGODB_URI", uri), ("MONGODB_DATABASE", setting)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert load_settings().database_name == expected


@pytest.mark.parametrize("name", ["sales crm", "a.b", "a/b", "a$b", "é" * 32, "admin"])
def test_a_name_that_no_database_to_watch_can_have_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_DATABASE", name)
    with pytest.raises(ConfigError, match="mongodb_database: expected"):
        load_settings()


def test_the_database_of_the_uri_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URI", "mongodb://db/sales%20crm")
    assert "MONGODB_URI: in its path expected a database name" in problem_of()
    monkeypatch.setenv("MONGODB_URI", "mongodb://db/admin")
    assert "MONGODB_URI: expected the CRM's database" in problem_of()


def test_entities_are_a_json_object_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXD_ENTITIES", '{"ticket": "tickets"}')
    assert load_settings().entities == {"ticket": "tickets"}


def test_one_collection_name_can_be_set_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXD_COLLECTIONS__TASKS", "todo")
    names = load_settings().collections
    assert (names.tasks, names.workflows) == ("todo", "workflows")


def test_the_file_holds_tables_for_entities_and_collections() -> None:
    settings = load_settings(file_with('[entities]\nlead = "people"\n[collections]\ntasks = "todo"\n'))
    assert (settings.entities, settings.collections.tasks) == ({"lead": "people"}, "todo")


def test_an_unknown_variable_is_refused_with_the_nearest_known_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXD_CONCURENCY", "7")
    assert "REFLEXD_CONCURENCY: expected the name of a setting" in problem_of()
    assert "did you mean 'REFLEXD_CONCURRENCY'?" in problem_of()


def test_an_unknown_name_in_the_dotenv_file_is_refused() -> None:
    Path(".env").write_text("REFLEXD_LANE=2\nPOSTGRES_USER=other\n", encoding="utf-8")
    assert "did you mean 'REFLEXD_LANES'?" in problem_of()
    assert "POSTGRES" not in problem_of()


def test_an_unknown_collection_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXD_COLLECTIONS__TASK", "todo")
    assert "did you mean 'REFLEXD_COLLECTIONS__TASKS'?" in problem_of()


def test_an_unknown_key_in_the_file_is_refused() -> None:
    assert "lane: expected the name of a setting, found an unknown one (did you mean 'lanes'?)" in problem_of(
        file_with("lane = 3\n")
    )


def test_variables_that_kubernetes_sets_for_a_service_of_our_name_are_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REFLEXD_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("REFLEXD_API_PORT", "tcp://10.0.0.1:8080")
    monkeypatch.setenv("REFLEXD_PORT_8080_TCP_ADDR", "10.0.0.1")
    assert load_settings().lanes == 32


def test_every_problem_is_listed_with_what_was_expected_and_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXD_LANES", "many")
    monkeypatch.setenv("REFLEXD_LEASE_S", "0")
    monkeypatch.setenv("REFLEXD_ENTITIES", "[1")
    monkeypatch.setenv("REFLEXD_TIMEZONE", "Mars/Olympus")
    monkeypatch.setenv("REFLEXD_LOG_FORMAT", "xml")
    monkeypatch.setenv("REFLEXD_NONSENSE", "1")
    lines = problem_of().splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == [
        "REFLEXD_NONSENSE",
        "REFLEXD_ENTITIES",
        "REFLEXD_TIMEZONE",
        "REFLEXD_LANES",
        "REFLEXD_LEASE_S",
        "REFLEXD_LOG_FORMAT",
    ]
    assert (
        lines[3].strip()
        == "REFLEXD_LANES: expected a valid integer, unable to parse string as an integer; found 'many'"
        in lines[3]
    )


@pytest.mark.parametrize("name", ["MONGODB_URI", "REFLEXD_SMTP_PASSWORD"])
def test_no_secret_is_shown_in_a_problem_or_in_the_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXD_SMTP_USERNAME", "ana")
    monkeypatch.setenv("REFLEXD_SMTP_PASSWORD", "hunter2")
    monkeypatch.setenv("MONGODB_URI", "mongodb://ana:hunter2@db/crm")
    assert "hunter2" not in repr(load_settings())
    monkeypatch.setenv("MONGODB_URI", "ana:hunter2@db")
    assert "MONGODB_URI" in problem_of()
    assert "hunter2" not in problem_of()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('smtp_host = "mail"\n', "smtp_from: expected a sender"),
        ('smtp_username = "ana"\n', "smtp_username, smtp_password: expected both or neither"),
        (
            'smtp_security = "none"\nsmtp_username = "a"\nsmtp_password = "p"\nsmtp_host = "m"\nsmtp_from = "a@b.pt"\n',
            "smtp_security: expected starttls or tls",
        ),
        ('[entities]\nlead = "workflows"\n', "expected a collection for each, found shared ['workflows']"),
        ('[entities]\nlead = "a"\ndeal = "a"\n', "a collection of its own"),
        ('[entities]\nlead = "system.users"\n', "expected the name of a collection"),
        ('[collections]\ntasks = "a$b"\n', "REFLEXD_COLLECTIONS__TASKS: expected the name of a collection"),
        ("lanes = [\n", "expected TOML"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(text: str, expected: str) -> None:
    assert expected in problem_of(file_with(text))


def test_a_password_may_go_unprotected_to_loopback_only() -> None:
    text = 'smtp_security = "none"\nsmtp_username = "a"\nsmtp_password = "p"\nsmtp_from = "a@b.pt"\n'
    settings = load_settings(file_with(text + 'smtp_host = "127.0.0.1"\n'))
    assert settings.smtp_security is SmtpSecurity.NONE


def test_a_settings_file_that_is_not_there_is_named() -> None:
    assert "nowhere.toml: expected a settings file, found none" in problem_of(Path("nowhere.toml"))


def test_settings_cannot_be_changed_afterwards() -> None:
    settings: Any = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.lanes = 1


def test_two_replicas_never_have_the_same_name() -> None:
    assert load_settings().replica_name != load_settings().replica_name


def test_every_setting_says_in_one_line_what_it_means() -> None:
    undescribed = [name for name, field in Settings.model_fields.items() if not field.description]
    assert undescribed == []


def test_an_api_that_is_not_on_loopback_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXD_API_HOST", "0.0.0.0")
    assert "api_token" in problem_of()
    monkeypatch.setenv("REFLEXD_API_TOKEN", "correct-horse-battery")
    assert load_settings().api_host == "0.0.0.0"


def test_an_api_that_is_off_needs_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXD_API_HOST", "0.0.0.0")
    monkeypatch.setenv("REFLEXD_API_PORT", "0")
    assert load_settings().api_port == 0


def test_the_single_token_is_kept_as_a_hash_that_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXD_API_TOKEN", "correct-horse-battery")
    (token,) = load_settings().all_api_tokens
    assert (token.scope, "correct" in token.sha256) == ("write", False)


def test_a_token_that_is_too_short_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXD_API_TOKEN", "hunter2")
    problem = problem_of()
    assert "at least 16" in problem
    assert "hunter2" not in problem


def test_tokens_come_as_a_list_of_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXD_API_TOKENS", f'[{{"name": "grafana", "sha256": "{"ab" * 32}", "scope": "read"}}]')
    assert [(token.name, token.scope) for token in load_settings().all_api_tokens] == [("grafana", "read")]

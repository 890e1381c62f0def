"""``reflexd workflows``, ``executions`` and ``doctor`` as an admin types them, on a database without a daemon."""

import json
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from loguru import logger
from pymongo import MongoClient
from pymongo.database import Database
from typer.testing import CliRunner, Result

from daemon.cli import app
from tests.support.api import TASK_FOR_LEADS

Crm = Database[dict[str, Any]]


@pytest.fixture
def crm(mongo_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Crm]:
    """A database that the environment names, with one workflow in it."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().startswith(("REFLEXD_", "MONGODB_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MONGODB_URI", mongo_uri)
    monkeypatch.setenv("MONGODB_DATABASE", f"test_{uuid.uuid4().hex[:12]}")
    client: MongoClient[dict[str, Any]]
    with MongoClient(mongo_uri, w="majority") as client:
        database: Crm = client[os.environ["MONGODB_DATABASE"]]
        database["workflows"].insert_one({"_id": ObjectId(), **TASK_FOR_LEADS, "status": "active"})
        yield database
        client.drop_database(database.name)
    logger.remove()


def reflexd(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=text)


def test_workflows_are_listed_as_lines_with_tabs_and_as_json(crm: Crm) -> None:
    lines = reflexd("workflows", "list").stdout.splitlines()
    assert lines[0] == "id\tname\tstatus\tobserved\texecutions\terror"
    assert lines[1].split("\t")[1:] == ["Call new leads", "active", "", "0", ""]
    (workflow,) = json.loads(reflexd("workflows", "list", "--json").stdout)
    assert (workflow["name"], workflow["state"]) == ("Call new leads", None)
    stored = crm["workflows"].find_one() or {}
    assert [lines[1].split("\t")[0], workflow["id"]] == [str(stored["_id"])] * 2


def test_a_negative_number_is_an_id_and_no_option(crm: Crm) -> None:
    crm["workflows"].insert_one({**TASK_FOR_LEADS, "_id": -5, "name": "Of -5"})
    crm["leads"].insert_many([{"_id": -7}, {"_id": -7.5}])
    assert json.loads(reflexd("workflows", "show", "-5", "--json").stdout)["name"] == "Of -5"
    for lead in ("-7", "-7.5"):
        assert "would_run" in json.loads(reflexd("workflows", "run", "-5", lead, "--dry", "--json").stdout)
    assert reflexd("workflows", "run", "-5", "-7", "-x").exit_code == 2


def test_a_broken_workflow_is_listed_with_what_was_observed_and_the_error(crm: Crm) -> None:
    observed = {"state": "invalid", "error": "actions[0].type: expected …, found 'x\x1b[31m'"}
    crm["workflows"].update_one({}, {"$set": {"observed": observed}})
    line = reflexd("workflows", "list").stdout.splitlines()[1].split("\t")
    assert line[1:] == ["Call new leads", "active", "invalid", "0", "actions[0].type: expected …, found 'x\\x1b[31m'"]
    (workflow,) = json.loads(reflexd("workflows", "list", "--json").stdout)
    assert (workflow["state"], workflow["error"]) == (observed["state"], observed["error"])


@pytest.mark.parametrize(
    ("verb", "word", "status"),
    [("pause", "paused", "paused"), ("activate", "activated", "active"), ("drain", "draining", "draining")],
)
def test_a_workflow_is_switched_by_its_name(crm: Crm, verb: str, word: str, status: str) -> None:
    result = reflexd("workflows", verb, "Call new leads", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"status": word})
    assert (crm["workflows"].find_one() or {})["status"] == status


def test_a_name_that_fits_two_workflows_is_a_usage_error(crm: Crm) -> None:
    crm["workflows"].insert_one({"_id": ObjectId(), **TASK_FOR_LEADS})
    result = reflexd("workflows", "stop", "Call new leads")
    assert (result.exit_code, "found 2 of this name" in result.stderr) == (2, True)


def test_what_does_not_exist_ends_with_1_and_a_sentence(crm: Crm) -> None:
    result = reflexd("workflows", "show", "Nothing")
    assert (result.exit_code, result.stderr.startswith("reflexd: workflow 'Nothing'")) == (1, True)


def test_documents_are_validated_from_a_file_and_from_standard_input(crm: Crm) -> None:
    Path("good.json").write_text(json.dumps(TASK_FOR_LEADS), encoding="utf-8")
    assert reflexd("workflows", "validate", "good.json").exit_code == 0
    wrong = reflexd("workflows", "validate", "-", "--json", text=json.dumps([TASK_FOR_LEADS, {"name": 7}]))
    assert wrong.exit_code == 1
    assert [each["verdict"] for each in json.loads(wrong.stdout)] == ["ok", "failed"]
    assert reflexd("workflows", "validate", "missing.json").exit_code == 2


def test_an_explanation_begins_with_the_answer_in_words(crm: Crm) -> None:
    lead_id = crm["leads"].insert_one({"source": "phone"}).inserted_id
    result = reflexd("workflows", "explain", "Call new leads", str(lead_id))
    assert result.stdout.splitlines()[0] == (
        "Now it would not run: conditions are not met: source equals 'website_form', found 'phone'."
    )


def test_a_backtest_prints_how_often_and_for_whom(crm: Crm) -> None:
    lead_id = crm["leads"].insert_one({"source": "website_form"}).inserted_id
    told = json.loads(reflexd("workflows", "backtest", "Call new leads", "--days", "1", "--json").stdout)
    assert (told["would_fire"], told["entities"][0]["entity_id"]) == (1, str(lead_id))


def test_a_dry_run_writes_nothing(crm: Crm) -> None:
    lead_id = crm["leads"].insert_one({"source": "website_form"}).inserted_id
    told = json.loads(reflexd("workflows", "run", "Call new leads", str(lead_id), "--dry", "--json").stdout)
    assert told["would_run"] is True
    assert crm["workflow_requests"].count_documents({}) == 0


def test_executions_are_listed_shown_and_cancelled(crm: Crm) -> None:
    execution = {
        "_id": ObjectId(),
        "seq": 1,
        "workflow_id": (crm["workflows"].find_one() or {})["_id"],
        "workflow_name": "Call new leads",
        "workflow_version": 1,
        "status": "waiting",
        "step": 0,
        "attempt": 0,
        "actions_executed": [],
        "completed_at": None,
    }
    crm["workflow_executions"].insert_one(execution)
    (listed,) = json.loads(reflexd("executions", "list", "--status", "waiting", "--json").stdout)
    assert listed["id"] == str(execution["_id"])
    assert reflexd("executions", "list", "--workflow", "Call new leads", "--json").stdout.count(listed["id"]) == 1
    assert reflexd("executions", "list", "--workflow", "Call old leads").exit_code == 1
    assert reflexd("executions", "show", listed["id"]).exit_code == 0
    assert json.loads(reflexd("executions", "cancel", listed["id"], "--json").stdout) == {"status": "cancelled"}
    again = reflexd("executions", "cancel", listed["id"])
    assert (again.exit_code, "ended already" in again.stderr) == (1, True)


def test_the_doctor_names_what_is_missing_and_the_command_that_mends_it(crm: Crm) -> None:
    crm.command("create", "leads")
    before = reflexd("doctor", "--json")
    checks = {each["check"]: each for each in json.loads(before.stdout)}
    assert before.exit_code == 1
    assert (checks["replica set"]["verdict"], checks["indexes"]["verdict"]) == ("ok", "failed")
    assert checks["indexes"]["mend"] == "reflexd init"
    assert "leads" in checks["images"]["says"]
    reflexd("init")
    after = reflexd("doctor", "--json")
    assert {each["check"] for each in json.loads(after.stdout) if each["verdict"] == "failed"} == set()
    assert after.exit_code == 0


def test_the_doctor_holds_the_oplog_against_the_longest_downtime(crm: Crm) -> None:
    reflexd("init")
    now = datetime.now(UTC)
    crm["workflow_state"].insert_many(
        [{"_id": "checkpoint", "saved_at": now}, {"_id": "downtime", "longest_s": 7200, "at": now}]
    )
    checks = {each["check"]: each for each in json.loads(reflexd("doctor", "--json").stdout)}
    assert "away for 2.0 h at the longest" in checks["oplog"]["says"]
    assert checks["channels"]["verdict"] == "ok"


def test_nothing_that_stands_in_a_document_steers_the_terminal(crm: Crm) -> None:
    crm["workflows"].update_one({}, {"$set": {"name": "\x1b[2Jgone\u202e\nnext"}})
    for arguments in (("list",), ("show", str((crm["workflows"].find_one() or {})["_id"]))):
        said = reflexd("workflows", *arguments).stdout
        assert ("\x1b" in said, "\u202e" in said, "gone" in said) == (False, False, True)


def test_the_preparation_is_told_as_json(crm: Crm) -> None:
    told = json.loads(reflexd("init", "--json").stdout)
    assert "leads" in told["collections"]
    assert told["skipped"] == []


def test_a_token_is_printed_with_the_entry_that_lets_it_in(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    token, entry = reflexd("token", "--name", "ana", "--scope", "write").stdout.splitlines()
    assert set(json.loads(reflexd("token", "--json").stdout)) == {"token", "entry"}
    monkeypatch.setenv("REFLEXD_API_TOKENS", f"[{entry}]")
    assert len(token) > 30
    assert reflexd("workflows", "list").exit_code == 0


@pytest.mark.parametrize(
    "document", [{}, {"actions_executed": 7}, {"actions_executed": ["\x1b[31m"]}, {"a\x1b\u202e": None}]
)
def test_an_execution_that_somebody_made_is_shown_as_it_is(crm: Crm, document: dict[str, Any]) -> None:
    made = crm["workflow_executions"].insert_one({**document, "status": {"a\x1b": float("nan")}}).inserted_id
    shown = reflexd("executions", "show", str(made))
    assert (shown.exit_code, str(made) in shown.stdout, "\x1b" in shown.stdout) == (0, True, False)
    assert json.loads(reflexd("executions", "show", str(made), "--json").stdout)["id"] == str(made)
    assert reflexd("executions", "list").exit_code == 0

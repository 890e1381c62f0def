"""The doctor's own prescriptions, followed to the letter: what it prints is run by the real mongosh, and mends."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from config.collection_names import Collections
from tests.support.mongod import Mongod
from tests.support.shell import Shell

PASSWORD = "secret"  # of a server that lives as long as the test


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Mongod]:
    """A server that asks who is there: ``root`` may do everything, ``crm_daemon`` nothing yet."""
    key = tmp_path / "key"
    key.write_text("a" * 64)
    key.chmod(0o600)
    server = Mongod(tmp_path / "mongod", "--keyFile", str(key))
    try:
        server.start()
        client: MongoClient[dict[str, Any]]
        with MongoClient("127.0.0.1", server.port, directConnection=True) as client:
            client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
        with MongoClient("127.0.0.1", server.port, username="root", password=PASSWORD) as client:
            client.admin.command("createUser", "crm_daemon", pwd=PASSWORD, roles=[])
            client["crm"].create_collection("leads")
        yield server
    finally:
        server.kill()


def address(server: Mongod, user: str) -> str:
    return f"mongodb://{user}:{PASSWORD}@127.0.0.1:{server.port}/crm?replicaSet=tests&authSource=admin"


async def reflexd(server: Mongod, user: str, *arguments: str) -> str:
    program = str(Path(sys.executable).with_name("reflexd"))
    environment = {"PATH": os.environ["PATH"], "MONGODB_URI": address(server, user)}
    process = await asyncio.create_subprocess_exec(
        program, *arguments, env=environment, cwd=server.directory, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode()


async def diagnosis(server: Mongod, user: str) -> dict[str, dict[str, str]]:
    return {each["check"]: each for each in json.loads(await reflexd(server, user, "doctor", "--json"))}


async def test_what_the_doctor_says_to_run_grants_what_was_missing(guarded: Mongod, tmp_path: Path) -> None:
    shell = Shell(address(guarded, "root"), tmp_path)
    before = await diagnosis(guarded, "crm_daemon")
    assert before["privileges"]["verdict"] == "failed"
    assert "crm_daemon lacks find, changeStream on the database" in before["privileges"]["says"]
    await shell.run(before["privileges"]["mend"])
    assert (await diagnosis(guarded, "crm_daemon"))["privileges"]["verdict"] == "ok"
    await shell.run("""db.getSiblingDB("admin").updateRole("reflexd", {privileges: []})""")
    again = (await diagnosis(guarded, "crm_daemon"))["privileges"]
    await shell.run(again["mend"])
    assert (await diagnosis(guarded, "crm_daemon"))["privileges"]["verdict"] == "ok"


async def test_what_the_doctor_says_to_run_keeps_images(guarded: Mongod, tmp_path: Path) -> None:
    shell = Shell(address(guarded, "root"), tmp_path)
    await reflexd(guarded, "root", "init")
    await shell.run("db.runCommand({collMod: 'leads', changeStreamPreAndPostImages: {enabled: false}})")
    before = (await diagnosis(guarded, "root"))["images"]
    assert (before["verdict"], "leads" in before["says"]) == ("warning", True)
    await shell.run(before["mend"].partition("in mongosh: ")[2])
    assert (await diagnosis(guarded, "root"))["images"]["verdict"] == "ok"


def readme_privileges() -> list[dict[str, Any]]:
    """What the README says that the daemon's user needs, and nothing else."""
    everything = ("find", "insert", "update", "remove", "createIndex", "dropIndex", "listIndexes", "collStats")
    granted: dict[str, tuple[str, ...]] = {"": ("find", "changeStream")}
    granted |= dict.fromkeys(("leads", "deals", "contacts"), ("update",))
    granted |= dict.fromkeys(("tasks", "notifications"), ("insert",))
    workflow_collections = [name for name in Collections().model_dump().values() if name.startswith("workflow")]
    granted |= dict.fromkeys(workflow_collections, everything)
    return [{"resource": {"db": "crm", "collection": name}, "actions": acts} for name, acts in granted.items()]


async def test_what_the_readmes_privileges_do_not_show_comes_with_the_command_that_shows_it(
    guarded: Mongod, tmp_path: Path
) -> None:
    shell = Shell(address(guarded, "root"), tmp_path)
    role = json.dumps({"role": "crm", "privileges": readme_privileges(), "roles": []})
    admin = 'db.getSiblingDB("admin")'
    await shell.run(f'{admin}.createRole({role}); {admin}.grantRolesToUser("crm_daemon", ["crm"])')
    await reflexd(guarded, "root", "init")
    before = await diagnosis(guarded, "crm_daemon")
    assert before["privileges"]["verdict"] == "ok"
    hidden = ("images", "validators", "announcements", "indexes")
    assert {before[name]["verdict"] for name in hidden} == {"warning"}
    assert [name for name in hidden if "cannot be looked at without list" not in before[name]["says"]] == []
    looks = [before[name]["says"].partition("an admin sees them with ")[2] for name in hidden]
    await shell.run("\n".join([*looks, *(before[name]["mend"] for name in hidden)]))
    after = await diagnosis(guarded, "crm_daemon")
    assert {after[name]["verdict"] for name in hidden} == {"ok"}
    await shell.run("db.workflow_announcements.drop()")
    lost = (await diagnosis(guarded, "crm_daemon"))["announcements"]
    assert (lost["verdict"], "is missing: replicas poll" in lost["says"]) == ("warning", True)
    await shell.run(lost["mend"].partition("in mongosh: ")[2])
    assert (await diagnosis(guarded, "crm_daemon"))["announcements"]["verdict"] == "ok"

"""Versions are stored so that a restarted reader knows exactly what the last one knew."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from pymongo import InsertOne, UpdateOne

from daemon.mongo.codec import CODEC
from daemon.versions.stored import version_from, version_writes
from rules.version import Version, edited
from tests.support.bench import created, workflow_document
from tests.support.change import parsed

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GOOD = workflow_document(created(), _id="w")


def stored(version: Version) -> dict[str, Any]:
    """Return the document that a version makes, as it comes back from the database."""
    insert = version_writes([version], 3, NOW)[-1]
    assert isinstance(insert, InsertOne)
    return bson.decode(bson.encode(insert._doc), CODEC)


@pytest.mark.parametrize(
    "changes", [{}, {"status": "paused"}, {"status": "stopped"}, {"actions": []}, {"status": "?"}], ids=repr
)
async def test_a_head_survives_being_stored(changes: dict[str, Any]) -> None:
    first = edited(None, "w", GOOD, parsed)
    version = edited(first, "w", {**GOOD, "name": "New", **changes}, parsed)
    assert version is not None
    version = replace(version.at(12), since=NOW)
    again = await version_from(stored(version), parsed)
    assert (again.number, again.status, again.seen, again.since) == (2, version.status, version.seen, NOW)
    assert (again.at_seq, again.stopped_seq, again.switch) == (12, version.stopped_seq, version.switch)
    assert (again.error is None, again.workflow is None) == (version.error is None, version.workflow is None)
    assert edited(again, "w", {**GOOD, "name": "New", **changes}, parsed) is None


async def test_a_definition_that_this_version_cannot_read_is_invalid() -> None:
    version = edited(None, "w", GOOD, parsed)
    assert version is not None
    document = stored(version)
    document["definition"]["actions"] = [{"type": "from_the_future"}]
    again = await version_from(document, parsed)
    assert again.workflow is None
    assert again.error is not None
    assert again.error.path == "actions[0].type"


def test_of_many_versions_of_one_batch_only_the_last_is_the_newest() -> None:
    first = edited(None, "w", GOOD, parsed)
    assert first is not None
    second = edited(first, "w", {**GOOD, "status": "paused"}, parsed)
    third = edited(second, "w", GOOD, parsed)
    assert second is not None
    assert third is not None
    outdated, *inserts = version_writes([second, third], 3, NOW)
    assert isinstance(outdated, UpdateOne)
    assert outdated._filter == {"_id": {"workflow_id": "w", "version": 1}}
    documents = [each._doc for each in inserts if isinstance(each, InsertOne)]
    assert [(each["version"], each.get("latest")) for each in documents] == [(2, None), (3, True)]

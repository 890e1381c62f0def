"""E-mail templates in MongoDB: which one is found, and what a heavy document does."""

from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from actions.template import Template
from config.error import PermanentActionError
from daemon.mongo.template_store import MongoTemplates

Database = AsyncDatabase[dict[str, Any]]


async def test_template_is_found_by_id_or_name_in_its_language(database: Database) -> None:
    await database.email_templates.insert_many(
        [
            {"_id": "hello", "subject": "Hi", "text": "Hi", "__v": 0},
            {"name": "hello", "language": "pt_BR", "subject": "Oi", "text": "Oi", "html": None},
        ]
    )
    store = MongoTemplates(database.email_templates)

    assert await store.find("hello", None) == Template("hello", "Hi", "Hi")
    assert await store.find("hello", "pt-br") == Template("hello", "Oi", "Oi", None, "pt-br")
    assert await store.find("hello", "fi") is None


async def test_heavy_template_is_not_even_read_and_names_its_limit(database: Database) -> None:
    junk = [{"a": number} for number in range(300_000)]
    heavy = {"_id": "heavy", "subject": "x", "text": "x", "html": junk}
    await database.email_templates.insert_many(
        [heavy, {"name": "heavy", "language": "pt", "subject": "x", "text": "x"}, {"name": "heavy", "language": 5}]
    )

    assert await MongoTemplates(database.email_templates).find("heavy", "pt") is not None
    with pytest.raises(PermanentActionError, match=r"^e-mail template 'heavy': source limit passed: expected at most"):
        await MongoTemplates(database.email_templates).find("heavy", None)

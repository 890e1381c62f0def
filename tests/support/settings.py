"""Settings for tests: the defaults, free of whatever the environment says."""

from typing import Any

from pydantic import SecretStr

from config.settings import Settings


def settings_for(mongo_uri: str, database_name: str, **changes: Any) -> Settings:
    """Return the defaults with the given server and database, and ``changes``, unchecked, put in."""
    return Settings.model_construct(mongodb_uri=SecretStr(mongo_uri), mongodb_database=database_name, **changes)

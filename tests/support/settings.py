"""Settings for tests: the defaults, free of whatever the environment says."""

from typing import Any

from pydantic import SecretStr

from config.settings import Settings


def settings_for(mongo_uri: str, database_name: str, **changes: Any) -> Settings:
    """Return the defaults, without HTTP API, with the given server and database, and ``changes``, unchecked, put in."""
    given = {"api_port": 0, **changes}
    return Settings.model_construct(mongodb_uri=SecretStr(mongo_uri), mongodb_database=database_name, **given)

"""``reflexd doctor`` and ``reflexd token``: check an installation, and make tokens for its API."""

import json
import secrets
from typing import Annotated

import typer

from config.api_token import TokenScope, hash_of
from config.settings import Settings
from daemon.commands.output import print_json, print_rows, say
from daemon.commands.work import EXIT_FAILURE, AsJson, ConfigFile, Database, connect


def doctor(config: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """Check everything the daemon depends on, and name the repair of each fault. Exits 1 if there is one."""

    async def work(settings: Settings, database: Database) -> int:
        from daemon.admin.check import Rating
        from daemon.admin.doctor import Doctor

        checks = await Doctor(database, settings).examine()
        rows = [
            {"check": each.name, "verdict": str(each.verdict), "says": each.says, "mend": each.mend} for each in checks
        ]
        print_rows(rows, {key: key for key in ("verdict", "check", "says", "mend")}, as_json=as_json)
        return EXIT_FAILURE if any(each.verdict is Rating.FAILED for each in checks) else 0

    connect(config, work)


def token(
    name: Annotated[str, typer.Option(help="Whose token this is: the audit log names it.")] = "admin",
    scope: Annotated[TokenScope, typer.Option(help="read or write.")] = TokenScope.READ,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a token for the HTTP API: the first line is for its user, the second an entry of REFLEXD_API_TOKENS."""
    made = secrets.token_urlsafe(32)
    entry = {"name": name, "sha256": hash_of(made), "scope": str(scope)}
    if as_json:
        print_json({"token": made, "entry": entry})
        return
    say(made)
    say(json.dumps(entry))

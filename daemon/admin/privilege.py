"""Which privileges the daemon needs, which its user lacks, and the command that grants them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from config.settings import Settings

ROLE: Final = "reflexd"

Wanted = Mapping[str, tuple[str, ...]]  # collection ("" for the database as a whole) → actions


def wanted_privileges(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return the privileges that the daemon needs to run, without those that ``reflexd init`` needs."""
    names = settings.collections
    own = ("find", "insert", "update", "remove")
    filled = {names.tasks, names.notifications}
    wanted: dict[str, tuple[str, ...]] = {"": ("find", "changeStream")}
    for name in names.model_dump().values():
        wanted[name] = ("insert",) if name in filled else own
    wanted[names.email_templates] = ("find",)
    return wanted | dict.fromkeys(settings.entities.values(), ("find", "update"))


def missing_privileges(
    granted: Iterable[Mapping[str, Any]], wanted: Wanted, database: str
) -> dict[str, tuple[str, ...]]:
    """Return the actions that are wanted on a collection ("" for the database as a whole) and not granted."""
    rights: dict[str, set[str]] = {}
    for privilege in granted:
        resource = privilege.get("resource", {})
        if resource.get("anyResource") or resource.get("db") in ("", database):
            rights.setdefault(resource.get("collection", ""), set()).update(privilege.get("actions", ()))
    everywhere = rights.get("", set())
    missing = {
        collection: tuple(action for action in actions if action not in everywhere | rights.get(collection, set()))
        for collection, actions in wanted.items()
    }
    return {collection: actions for collection, actions in missing.items() if actions}


def granting_command(auth: Mapping[str, Any], missing: Wanted, database: str) -> str:
    """Return what an admin runs in mongosh, once or again, for the user that ``connectionStatus`` named.

    The daemon's role is extended; it is made, and given to the user, where the user has none.
    """
    privileges = json.dumps(
        [
            {"resource": {"db": database, "collection": collection}, "actions": list(actions)}
            for collection, actions in missing.items()
        ]
    )
    user = auth["authenticatedUsers"][0]
    held = next((role for role in auth.get("authenticatedUserRoles", ()) if role["role"] == ROLE), None)
    place, role = f"db.getSiblingDB({json.dumps((held or user)['db'])})", json.dumps(ROLE)
    extend = f"{place}.grantPrivilegesToRole({role}, {privileges})"
    if held is not None:
        return extend
    make = f"if (!{place}.getRole({role})) {place}.createRole({{role: {role}, privileges: [], roles: []}})"
    return f"{make}; {extend}; {place}.grantRolesToUser({json.dumps(user['user'])}, [{role}])"

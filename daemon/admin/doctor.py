"""Check everything the daemon depends on, and name the command that repairs each fault. Changes nothing."""

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from config.redaction import redacted
from config.settings import Settings
from config.version import product_version
from daemon.admin.check import Check, Rating
from daemon.admin.privilege import granting_command, missing_privileges, wanted_privileges
from daemon.admin.structure import Structure
from daemon.mongo.topology import RAISE_FEATURES, is_held_back, is_too_old
from daemon.stream.checkpoint import CHECKPOINT_ID
from daemon.stream.downtime import DOWNTIME_ID

_CONNECT_S: Final = 5.0
_CLOCK_S: Final = 2.0
_ENOUGH: Final = 3  # an oplog that lasts this many times the longest downtime is wide enough
_FULL: Final = 0.9  # of its size: then it drops what is old


class Doctor:
    """Examines one installation."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def examine(self) -> list[Check]:
        """Return every check in order; a check that the server does not allow is a warning, never an error."""
        try:
            hello = await self._database.command("hello")
        except PyMongoError as error:
            uri = "MONGODB_URI"
            return [Check("server", Rating.FAILED, redacted(str(error))[:300], f"check {uri} and the network")]
        status = await self._database.command({"connectionStatus": 1, "showPrivileges": True})
        structure = Structure(self._database, self._settings, status["authInfo"])
        checks = [*await self._server(hello), self._clock(hello), self._privileges(status["authInfo"])]
        parts: list[tuple[str, Callable[[], Awaitable[list[Check]]]]] = [
            ("collections", structure.collections),
            ("indexes", structure.indexes),
            ("oplog", self._oplog),
            ("gaps", self._gaps),
            ("replicas", self._replicas),
            ("smtp", self._smtp),
            ("channels", self._channels),
        ]
        for name, part in parts:
            try:
                checks += await part()
            except OperationFailure as error:
                words = str((error.details or {}).get("errmsg", error)).partition(" to execute command")[0]
                checks.append(Check(name, Rating.WARNING, f"cannot be looked at: {words[:200]}"))
        return checks

    async def _server(self, hello: Mapping[str, Any]) -> list[Check]:
        info = await self._database.command("buildInfo")
        version = str(info["version"])
        replica_set = hello.get("setName")
        return [
            Check("reflexd", Rating.OK, f"{product_version()} on Python {platform.python_version()}"),
            Check("server", Rating.OK, f"MongoDB {version} at {hello.get('me', 'a single server')}"),
            await self._version(info),
            Check("replica set", Rating.OK, f"member of {replica_set}" if replica_set else "reached through mongos")
            if replica_set or hello.get("msg") == "isdbgrid"
            else Check(
                "replica set",
                Rating.FAILED,
                "a single server has no change streams and no transactions",
                "start mongod with --replSet rs0, then run rs.initiate() in mongosh",
            ),
        ]

    async def _version(self, info: Mapping[str, Any]) -> Check:
        version = info["version"]
        if is_too_old(info):
            says = f"{version} keeps no images of documents: the daemon does not start"
            return Check("version", Rating.FAILED, says, "upgrade the servers to MongoDB 6.0 or later")
        if await is_held_back(self._database):
            says = f"{version} with a featureCompatibilityVersion below 6.0: the daemon does not start"
            return Check("version", Rating.FAILED, says, f"an admin runs in mongosh: {RAISE_FEATURES}")
        return Check("version", Rating.OK, f"{version} keeps images of documents")

    def _clock(self, hello: Mapping[str, Any]) -> Check:
        off = (datetime.now(UTC) - hello["localTime"].replace(tzinfo=UTC)).total_seconds()
        says = f"this machine is {abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} the server"
        if abs(off) <= _CLOCK_S:
            return Check("clock", Rating.OK, says)
        return Check("clock", Rating.WARNING, f"{says}; nothing depends on it, but logs will disagree", "run NTP")

    def _privileges(self, auth: Mapping[str, Any]) -> Check:
        if not auth.get("authenticatedUsers"):
            return Check("privileges", Rating.OK, "the server asks for no user")
        granted = auth.get("authenticatedUserPrivileges", [])
        missing = missing_privileges(granted, wanted_privileges(self._settings), self._database.name)
        if not missing:
            return Check("privileges", Rating.OK, "everything that is needed is granted")
        lacks = "; ".join(f"{', '.join(actions)} on {name or 'the database'}" for name, actions in missing.items())
        says = f"{auth['authenticatedUsers'][0]['user']} lacks {lacks}"
        mend = granting_command(auth, missing, self._database.name)
        return Check("privileges", Rating.FAILED, says, mend)

    async def _oplog(self) -> list[Check]:
        state = self._database[self._settings.collections.state]
        checkpoint = await state.find_one({"_id": CHECKPOINT_ID})
        if checkpoint is None:
            return [Check("checkpoint", Rating.WARNING, "there is none: no daemon has run yet", "reflexd run")]
        age = datetime.now(UTC) - checkpoint["saved_at"]
        told = Check("checkpoint", Rating.OK, f"saved {_span(age)} ago")
        downtime = await state.find_one({"_id": DOWNTIME_ID}) or {}
        longest = max(timedelta(seconds=downtime.get("longest_s", 0)), age)
        try:
            width, is_full = await self._oplog_width()
        except OperationFailure:
            says = "its width cannot be seen with this user; an admin can, with rs.printReplicationInfo()"
            return [told, Check("oplog", Rating.OK, says)]
        still = "" if is_full else " and is not full yet"
        says = f"reaches back {_span(width)}{still}; the daemon was away for {_span(longest)} at the longest"
        if is_full and width < longest * _ENOUGH:
            mend = "db.adminCommand({replSetResizeOplog: 1, size: 16384}), and let the daemon run"
            return [told, Check("oplog", Rating.WARNING, says, mend)]
        return [told, Check("oplog", Rating.OK, says)]

    async def _oplog_width(self) -> tuple[timedelta, bool]:
        """Return how far the oplog reaches back, and whether it drops what is older; raise OperationFailure."""
        local = self._database.client.local
        first = await local["oplog.rs"].find_one(sort=[("$natural", 1)])
        sizes = await local.command("collStats", "oplog.rs")
        width = datetime.now(UTC) - first["ts"].as_datetime() if first is not None else timedelta(0)
        return width, sizes["size"] >= sizes["maxSize"] * _FULL

    async def _gaps(self) -> list[Check]:
        state = self._database[self._settings.collections.state]
        open_gaps = await state.count_documents({"kind": "gap", "acknowledged": False})
        if open_gaps:
            mend = (
                f"db.{self._settings.collections.state}.updateMany({{kind: 'gap', acknowledged: false}}, "
                "{$set: {acknowledged: true}}), once somebody has checked which changes were lost"
            )
            return [Check("gaps", Rating.FAILED, f"{open_gaps} parts of the stream were lost", mend)]
        return [Check("gaps", Rating.OK, "no part of the stream was lost")]

    async def _replicas(self) -> list[Check]:
        state = self._database[self._settings.collections.state]
        is_live = {"$expr": {"$gt": ["$expires_at", "$$NOW"]}}
        live = await state.count_documents({"kind": "replica", **is_live})
        if live:
            return [Check("daemon", Rating.OK, f"{live} running")]
        return [Check("daemon", Rating.WARNING, "none is running", "reflexd run")]

    async def _smtp(self) -> list[Check]:
        host, port = self._settings.smtp_host, self._settings.smtp_port
        if host is None:
            return [Check("smtp", Rating.WARNING, "no mail server: send_email steps fail", "set REFLEXD_SMTP_HOST")]
        began = time.monotonic()
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            says = f"{host}:{port} does not answer: {str(error) or 'timed out'}"
            return [Check("smtp", Rating.FAILED, says, "check REFLEXD_SMTP_HOST, REFLEXD_SMTP_PORT and the network")]
        writer.close()
        return [Check("smtp", Rating.OK, f"{host}:{port} answers in {(time.monotonic() - began) * 1000:.0f} ms")]

    async def _channels(self) -> list[Check]:
        return [Check("channels", Rating.OK, "send_notification tells people inside the CRM: nothing to connect to")]


def _span(span: timedelta) -> str:
    seconds = max(span.total_seconds(), 0)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"

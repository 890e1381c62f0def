"""Every setting of the daemon; ``config.settings_source`` reads them.

A setting comes from, first found wins: a ``REFLEXD_*`` variable, the file ``.env`` in the working directory (refused
where others may write it), the TOML file of ``--config``, the default. ``MONGODB_URI`` and ``MONGODB_DATABASE`` are
honoured without the prefix.
Unless its description says otherwise, a setting is changed by whoever deploys, and takes effect at the next start.
"""

import os
import secrets
import socket
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from config.api_token import ApiToken, TokenScope, hash_of
from config.collection_names import Collections
from config.database_name import checked_database_name
from config.limits import Limits
from config.log import LogFormat, LogLevel
from config.mongodb_uri import parse_mongodb_uri
from config.secret import Secret
from config.settings_check import (
    DEFAULT_API_PORT,
    checked_entities,
    checked_timezone,
    checked_token,
    checked_uri,
    in_capitals,
    list_from_json,
    object_from_json,
    port_unless_service_link,
)

PREFIX = "REFLEXD_"
UNPREFIXED = ("MONGODB_URI", "MONGODB_DATABASE")
DEFAULT_DATABASE = "crm"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


__all__ = ["Collections", "HistoryLostPolicy", "Settings", "SmtpSecurity"]


class SmtpSecurity(StrEnum):
    """How the connection to the mail server is protected; it is never weaker than asked for."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


class HistoryLostPolicy(StrEnum):
    """The reader's conduct when its position is no longer in the oplog."""

    HALT = "halt"
    RESUME_NOW = "resume_now"
    RESCAN_INSERTS = "rescan_inserts"


def _replica_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


class Settings(BaseSettings):
    """All settings, checked and frozen; see ``config.settings_source``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        env_file_encoding="utf-8",
        extra="ignore",  # .env may belong to others too; unknown names with our prefix are looked for separately
        frozen=True,
        hide_input_in_errors=True,
    )

    # MongoDB
    mongodb_uri: Annotated[SecretStr | None, Secret(), AfterValidator(checked_uri)] = Field(
        None,
        validation_alias=AliasChoices("mongodb_uri", "REFLEXD_MONGODB_URI"),
        description="The replica set to work beside. Without it an embedded MongoDB starts, for trying things out.",
    )
    mongodb_database: str | None = Field(
        None,
        validation_alias=AliasChoices("mongodb_database", "REFLEXD_MONGODB_DATABASE"),
        description="The CRM's database. Without it the one in the URI's path, else crm.",
    )
    embedded_directory: Path = Field(Path(".reflexd"), description="Where the embedded MongoDB keeps its data and log.")
    entities: Annotated[
        Mapping[str, str], NoDecode, BeforeValidator(object_from_json), AfterValidator(checked_entities)
    ] = Field(
        {"lead": "leads", "deal": "deals", "contact": "contacts"},
        min_length=1,
        description="Entity types and their collections, as a JSON object; changed when the CRM gains a type.",
    )
    collections: Collections = Field(
        Collections(),
        description="Names of the daemon's collections, one variable each: REFLEXD_COLLECTIONS__TASKS and so on.",
    )
    init_on_start: bool = Field(
        True, description="Whether indexes, validators, images and presets are put in place at every start."
    )

    # Work
    timezone: Annotated[str, AfterValidator(checked_timezone)] = Field(
        "UTC", description="Time zone of schedules that name none (IANA name)."
    )
    lanes: int = Field(
        32,
        ge=1,
        le=1024,
        description="Lanes that executions are spread over: the same on all replicas, changed only while none waits.",
    )
    concurrency: int = Field(
        64,
        ge=1,
        le=10_000,
        description="Steps that reach outside MongoDB at once, in one replica; raise for slow hosts.",
    )
    limits: Limits = Field(Limits(), description="More limits on such steps, one variable each: see below.")
    max_depth: int = Field(
        5, ge=1, le=50, description="Workflows that may set off one another in a chain before it is cut."
    )
    max_runs_per_hour: int = Field(
        100,
        ge=1,
        le=1_000_000,
        description="Runs of one workflow for one entity within an hour before it is throttled.",
    )
    schedule_grace_hours: float = Field(
        6.0, ge=0, le=168, description="Hours for which a schedule missed in downtime is still made up for, once."
    )
    history_lost_policy: HistoryLostPolicy = Field(
        HistoryLostPolicy.HALT,
        description=(
            "When the daemon was down for longer than the oplog reaches back: halt (stop reading until a person "
            "decides), resume_now (record the gap, read on), or rescan_inserts (the same, and run what was created "
            "meanwhile, found by its ObjectId)."
        ),
    )
    time_scale: float = Field(
        1.0, ge=1, le=1_000_000, description="Divides every delay: for demonstrations, never for real work."
    )

    # Leads
    scorecard: Path | None = Field(
        None,
        description="Scorecard of qualify_lead, a JSON file like the shipped config/scorecard.json; else that one.",
    )
    phone_region: str | None = Field(
        None,
        pattern="^[A-Z]{2}$",
        description="Region, such as BR, of phone numbers that do not say their own; used by enrich_lead.",
    )

    # Replicas
    replica_name: str = Field(
        default_factory=_replica_name,
        min_length=1,
        max_length=200,
        description="Name of this replica, unique among all; host, process id and a random part when not set.",
    )
    lease_s: float = Field(
        6.0, ge=1, le=300, description="Seconds until others take over from a replica that went silent."
    )
    grace_s: float = Field(
        20.0, ge=0, le=600, description="Seconds that steps in flight get to finish when the daemon stops."
    )

    # Retention
    execution_retention_days: float = Field(90.0, gt=0, le=36_500, description="Days that ended executions are kept.")
    version_retention_days: float = Field(
        90.0,
        gt=0,
        le=36_500,
        description="Days that old versions of workflows, and the last records of deleted workflows, are kept once no "
        "execution points to them. The past can be explained for so long.",
    )
    request_retention_days: float = Field(
        90.0, gt=0, le=36_500, description="Days that answered requests are kept; the others stay."
    )
    decision_retention_days: float = Field(
        7.0, gt=0, le=36_500, description="Days that the reasons why candidates did not run are kept."
    )
    effect_retention_days: float = Field(
        1.0, gt=0, le=36_500, description="Days that cause records are kept; longer than the daemon is ever down."
    )

    # Logs
    log_format: LogFormat = Field(
        LogFormat.AUTO, description="json, console, or auto: console when stderr is a terminal, else json."
    )
    log_level: Annotated[LogLevel, BeforeValidator(in_capitals)] = Field(
        LogLevel.INFO, description="Least level that is written: DEBUG, INFO, WARNING or ERROR."
    )
    status_interval_s: float = Field(30.0, ge=1, le=86_400, description="Seconds between two status lines.")

    # HTTP API
    api_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address the HTTP API listens on. One that is not loopback needs a token.",
    )
    api_port: Annotated[int, BeforeValidator(port_unless_service_link)] = Field(
        DEFAULT_API_PORT,
        ge=0,
        le=65_535,
        description="Port of the HTTP API; 0 switches it off. If the default is taken, the daemon runs without it.",
    )
    api_token: Annotated[SecretStr | None, Secret(), AfterValidator(checked_token)] = Field(
        None, description="A bearer token that may read and write. Without any token, loopback is open."
    )
    api_tokens: Annotated[tuple[ApiToken, ...], NoDecode, Secret(), BeforeValidator(list_from_json)] = Field(
        (),
        description="More tokens, hashed, as a JSON list of {name, sha256, scope: read or write}; see `reflexd token`.",
    )

    # E-mail
    smtp_host: str | None = Field(None, description="Mail server of send_email. Without it such steps fail and say so.")
    smtp_port: int = Field(587, ge=1, le=65_535, description="Port of the mail server: 587 for starttls, 465 for tls.")
    smtp_security: SmtpSecurity = Field(
        SmtpSecurity.STARTTLS, description="none, starttls or tls. It is never downgraded."
    )
    smtp_username: str | None = Field(None, description="User name at the mail server.")
    smtp_password: Annotated[SecretStr | None, Secret()] = Field(None, description="Password at the mail server.")
    smtp_from: str | None = Field(
        None, description="Sender of e-mails, for example `CRM <crm@example.com>`; needed with smtp_host."
    )
    smtp_timeout_s: float = Field(
        20.0,
        gt=0,
        le=300,
        description="Seconds for a whole conversation with the mail server; less than the `timeout` of the step.",
    )
    smtp_allow_plain_login: bool = Field(
        False, description="Whether the password may go over an unprotected connection to a host that is not loopback."
    )

    @property
    def database_name(self) -> str:
        """The CRM's database: the setting, else the URI's path, else ``crm``."""
        if self.mongodb_database is not None:
            return self.mongodb_database
        in_uri = parse_mongodb_uri(self.mongodb_uri.get_secret_value()).database if self.mongodb_uri is not None else ""
        return in_uri or DEFAULT_DATABASE

    @property
    def all_api_tokens(self) -> tuple[ApiToken, ...]:
        """Every token that the HTTP API takes, hashed."""
        if self.api_token is None:
            return self.api_tokens
        single = ApiToken(name="token", sha256=hash_of(self.api_token.get_secret_value()), scope=TokenScope.WRITE)
        return (single, *self.api_tokens)

    def with_mongodb_uri(self, uri: str) -> "Settings":
        """Return the settings with the address of an embedded MongoDB put in."""
        return self.model_copy(update={"mongodb_uri": SecretStr(uri)})

    @model_validator(mode="after")
    def _database_can_be_watched(self) -> Self:
        setting = "MONGODB_URI" if self.mongodb_database is None else "mongodb_database"
        try:
            checked_database_name(self.database_name)  # of the URI only the names that MongoDB keeps get here
        except ValueError as error:
            raise ValueError(f"{setting}: {error}") from None
        return self

    @model_validator(mode="after")
    def _names_do_not_meet(self) -> Self:
        shared = set(self.entities.values()) & set(self.collections.model_dump().values())
        if shared or len(set(self.collections.model_dump().values())) != len(Collections.model_fields):
            raise ValueError(f"entities, collections: expected a collection for each, found shared {sorted(shared)}")
        return self

    @model_validator(mode="after")
    def _public_api_has_a_token(self) -> Self:
        if self.api_port and self.api_host not in _LOOPBACK and not self.all_api_tokens:
            raise ValueError(
                f"api_host: expected api_token or api_tokens to be set, because {self.api_host} is not loopback; "
                "found none"
            )
        return self

    @model_validator(mode="after")
    def _mail_is_complete(self) -> Self:
        if self.smtp_host is not None and self.smtp_from is None:
            raise ValueError("smtp_from: expected a sender, because smtp_host is set; found none")
        if (self.smtp_username is None) != (self.smtp_password is None):
            raise ValueError("smtp_username, smtp_password: expected both or neither; found one")
        is_open = self.smtp_security is SmtpSecurity.NONE and self.smtp_host not in _LOOPBACK
        if self.smtp_password is not None and is_open and not self.smtp_allow_plain_login:
            raise ValueError(
                "smtp_security: expected starttls or tls, because smtp_password is set; found none "
                "(smtp_allow_plain_login allows it)"
            )
        return self

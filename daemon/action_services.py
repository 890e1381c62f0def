"""Build the services of actions from the settings: mail server, templates, scorecard, enrichment."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from actions.enricher import Enricher
from actions.mailer import Mailer, MailSettings
from actions.rendering import Renderer
from actions.scorecard import load_scorecard
from actions.sender import parse_sender
from actions.services import Services
from actions.template import TemplateFiles, Templates
from config.error import ConfigError
from config.settings import Settings
from daemon.event import Event
from daemon.mongo.template_store import MongoTemplates
from daemon.telemetry import emit


def action_services(settings: Settings, database: AsyncDatabase[dict[str, Any]]) -> Services:
    """Return the services of this process; raise ConfigError, naming the setting, for one that cannot work."""
    shipped = TemplateFiles(Path(str(files("config") / "templates")))
    return Services(
        mailer=_mailer(settings),
        templates=Templates([MongoTemplates(database[settings.collections.email_templates]), shipped], shipped.names),
        scorecard=load_scorecard(settings.scorecard),
        enricher=Enricher(settings.phone_region),
        renderer=Renderer(on_ended=lambda reason: emit(Event.RENDERING_ENDED, error=reason)),
    )


def _mailer(settings: Settings) -> Mailer | None:
    if settings.smtp_host is None:
        return None
    if settings.smtp_from is None:
        raise ConfigError(
            "REFLEXD_SMTP_FROM: expected the sender of e-mails, which REFLEXD_SMTP_HOST needs; found none"
        )
    password = settings.smtp_password
    return Mailer(
        MailSettings(
            settings.smtp_host,
            parse_sender(settings.smtp_from),
            settings.smtp_port,
            settings.smtp_security,
            settings.smtp_username,
            password.get_secret_value() if password is not None else None,
            settings.smtp_timeout_s,
        )
    )

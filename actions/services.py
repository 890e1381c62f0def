"""The services that actions use; the daemon wires them once."""

from dataclasses import dataclass, field

from actions.enricher import Enricher
from actions.mailer import Mailer
from actions.rendering import Renderer
from actions.scorecard import Scorecard
from actions.template import Templates


@dataclass(frozen=True, slots=True)
class Services:
    """The services of this process. A service that is not configured is None; actions that need it fail and say so."""

    mailer: Mailer | None = None
    templates: Templates | None = None
    scorecard: Scorecard | None = None
    enricher: Enricher = field(default_factory=Enricher)
    renderer: Renderer = field(default_factory=Renderer)

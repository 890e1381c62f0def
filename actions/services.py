"""What actions need besides their entity: wired once, by the daemon."""

from dataclasses import dataclass, field

from actions.mailer import Mailer
from actions.rendering import Renderer
from actions.scorecard import Scorecard
from actions.template import Templates


@dataclass(frozen=True, slots=True)
class Services:
    """The services of this process; what is None is not configured, and the actions that need it say so."""

    mailer: Mailer | None = None
    templates: Templates | None = None
    scorecard: Scorecard | None = None
    renderer: Renderer = field(default_factory=Renderer)

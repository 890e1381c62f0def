"""``reflexd demo``: the daemon at work beside a sample CRM.

The sample CRM is written with Motor, as CRMs are; Motor is the extra ``demo`` and no part of the product's image.
"""

from importlib.util import find_spec

from config.error import ConfigError
from config.settings import Settings


async def run_demo(settings: Settings, *, once: bool) -> int:
    """Play the sample traffic, once or until asked to stop; return the exit code.

    With ``once`` it is 0 only if exactly the expected executions ended as expected. Raises ConfigError where the
    demo cannot run: without Motor, or beside data that is not its own.
    """
    if find_spec("motor") is None:
        raise ConfigError(
            "demo: expected the package motor, with which the sample CRM is written, found none; install "
            "reflexd[demo], or run the demo from the source with `make demo`"
        )
    from daemon.demo.stage import perform

    return await perform(settings, once=once)

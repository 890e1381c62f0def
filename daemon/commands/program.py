"""The program as a whole. Messages about wrong usage repeat arguments, so they are escaped, too."""

import re
import sys
from collections.abc import Sequence
from typing import Any, Final

import typer
from typer.core import TyperGroup

from config.redaction import redacted
from daemon.commands.output import say

_NEGATIVE: Final = re.compile("-[0-9]")


class Commands(TyperGroup):
    """A group of commands whose arguments may be ids: an id may be a negative number."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments name, and the rest of them: ``-5`` is an id, as no option is so named.

        Other arguments that start with a hyphen are options, or come after ``--``.
        """
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and any(_NEGATIVE.match(each) for each in rest):
            command.context_settings = {**command.context_settings, "ignore_unknown_options": True}
        return name, command, rest


class Program(TyperGroup):
    """All commands."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command that the arguments name, and exit with its code."""
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.TyperException as error:
            if not standalone_mode:
                raise
            _say_usage(error)
            code = getattr(error, "exit_code", 2)
        except typer.Abort:
            if not standalone_mode:
                raise
            code = 1
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code


def _say_usage(error: Any) -> None:
    words = error.format_message().strip()
    if not words:  # the help was shown instead
        return
    context = getattr(error, "ctx", None)
    if context is not None and context.parent is not None and words.startswith("No such option"):
        words += " (an id or a name that starts with a hyphen comes after --)"
    if context is not None:
        say(context.get_usage(), is_error=True)
    say(f"reflexd: {redacted(words)}", is_error=True)

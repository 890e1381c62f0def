"""The board of the demo: live columns in a terminal, plain lines elsewhere."""

import time
from collections import deque
from enum import StrEnum
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from config.terminal import escaped

_KEPT: Final = 200  # lines of each column; only the newest that fit are seen


class Topic(StrEnum):
    """The topic of a line."""

    DEMO = "demo"  # acts of the demo itself
    CRM = "crm"  # acts of the sample CRM, or of an admin in it
    RUN = "run"  # executions that started, wait or ended
    WHY_NOT = "why not"  # decisions against executions


_STYLES: Final = {Topic.DEMO: "dim", Topic.CRM: "cyan", Topic.RUN: "green", Topic.WHY_NOT: "yellow"}
_TITLES: Final = {
    Topic.CRM: "The CRM",
    Topic.RUN: "What fired, waits, ended",
    Topic.WHY_NOT: "What did not run, and why",
}


class Board(Protocol):
    """Takes lines as they come."""

    def tell(self, topic: Topic, text: str) -> None:
        """Show one line."""


class LineBoard:
    """One line after another, with the seconds since the start: for scripts, and for pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    def tell(self, topic: Topic, text: str) -> None:
        """Write one line."""
        elapsed = time.monotonic() - self._began
        line = Text(f"{elapsed:6.2f} s  {topic:7}  {escaped(text)}", style=_STYLES[topic])
        self._console.print(line, soft_wrap=True)


class LiveBoard:
    """Three columns that follow the newest lines; a context manager, because it owns the screen meanwhile."""

    def __init__(self, console: Console) -> None:
        self._lines: dict[Topic, deque[str]] = {topic: deque(maxlen=_KEPT) for topic in Topic}
        self._live = Live(self, console=console, refresh_per_second=8, screen=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def tell(self, topic: Topic, text: str) -> None:
        """Show one line from the next refresh on."""
        self._lines[topic].append(escaped(text))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the columns, and the newest word of the demo below them."""
        upper, lower, foot = Layout(ratio=3), Layout(ratio=2), Layout(size=1)
        upper.split_row(self._panel(Topic.CRM), self._panel(Topic.RUN))
        lower.update(self._panel(Topic.WHY_NOT))
        said = self._lines[Topic.DEMO]
        foot.update(Text(f"{said[-1] if said else ''}   Ctrl-C ends it", style=_STYLES[Topic.DEMO]))
        page = Layout()
        page.split_column(upper, lower, foot)
        yield page

    def _panel(self, topic: Topic) -> Layout:
        return Layout(Panel(_Tail(self._lines[topic], _STYLES[topic]), title=_TITLES[topic], border_style="dim"))


class _Tail:
    """The newest lines that fit, one row each."""

    def __init__(self, lines: deque[str], style: str) -> None:
        self._lines = lines
        self._style = style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = options.height or 10
        newest = list(self._lines)[-rows:]
        yield Text("\n".join(newest), style=self._style, no_wrap=True, overflow="ellipsis")

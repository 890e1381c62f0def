"""The table at the end of the demo: every execution, the refusals counted by reason, and the differences."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.terminal import escaped, escaped_lines
from daemon.demo.history import History

_EXECUTION_HEAD: Final = ("workflow", "entity", "status", "steps")
_REFUSAL_HEAD: Final = ("did not run", "because", "times")


def show(console: Console, history: History, differences: Sequence[str]) -> None:
    """Write the report: tables in a terminal, aligned columns elsewhere."""
    executions = [(run.workflow, run.entity, run.status, ", ".join(run.steps)) for run in history.runs]
    _show_table(console, f"{len(executions)} executions", _EXECUTION_HEAD, executions)
    reasons: Counter[tuple[str, str]] = Counter()
    for each, count in history.not_run.items():
        reasons[each.workflow, each.reason] += count
    refusals = [(workflow, reason, str(count)) for (workflow, reason), count in sorted(reasons.items())]
    _show_table(console, f"{sum(reasons.values())} candidates that did not run", _REFUSAL_HEAD, refusals)
    for difference in differences:
        _line(console, difference, style="red")
    if differences:
        _line(console, f"NOT as expected: {len(differences)} differences", style="bold red")
    else:
        _line(console, "Exactly the expected executions ended as expected.", style="bold green")


def _show_table(console: Console, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if console.is_terminal:
        table = Table(*head, title=title, title_justify="left")
        for row in rows:
            table.add_row(*(Text(escaped(cell)) for cell in row))
        console.print(table)
        return
    _line(console, f"\n{title}")
    for line in aligned([head, *([escaped(cell) for cell in row] for row in rows)]):
        _line(console, f"  {line}")
    _line(console, "")


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the rows as lines with columns of equal width."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _line(console: Console, text: str, style: str | None = None) -> None:
    console.print(escaped_lines(text), style=style, markup=False, highlight=False, soft_wrap=True)

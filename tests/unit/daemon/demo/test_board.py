"""What the demo shows, line by line and at the end."""

from collections import Counter
from io import StringIO

from rich.console import Console

from daemon.demo.board import LineBoard, LiveBoard, Topic
from daemon.demo.history import History, NotRun, Run
from daemon.demo.report import aligned, show

RUN = Run("Greet [new] contacts", "Ana", "completed", ("create_task success",))


def shown(history: History, differences: list[str]) -> str:
    output = StringIO()
    show(Console(file=output), history, differences)
    return output.getvalue()


def test_a_line_is_plain_and_whole_where_there_is_no_terminal() -> None:
    output = StringIO()
    LineBoard(Console(file=output, width=20)).tell(Topic.CRM, f"lead [b]Ana[/b] {'x' * 100}")
    assert output.getvalue().endswith(f"crm      lead [b]Ana[/b] {'x' * 100}\n")
    assert output.getvalue().count("\n") == 1


def test_a_terminal_shows_the_newest_lines_that_fit_each_in_its_column() -> None:
    output = StringIO()
    console = Console(file=output, force_terminal=True, width=100, height=12, color_system=None)
    board = LiveBoard(console)
    for number in range(50):
        board.tell(Topic.CRM, f"act {number}.")
    board.tell(Topic.WHY_NOT, "Greet for Hugo: paused")
    console.print(board)
    text = output.getvalue()
    assert "act 49." in text
    assert "act 0." not in text
    assert "Greet for Hugo: paused" in text


def test_the_report_names_every_execution_and_counts_the_refusals() -> None:
    refusals = Counter([NotRun("Call", "Ana", "paused"), NotRun("Call", "Bo", "paused")])
    text = shown(History((RUN,), refusals, {}), [])
    assert "  Greet [new] contacts  Ana     completed  create_task success" in text.splitlines()
    assert "  Call         paused   2" in text.splitlines()
    assert text.endswith("Exactly the expected executions ended as expected.\n")


def test_the_report_ends_with_what_differs() -> None:
    text = shown(History((RUN,), Counter(), {}), [f"not expected: {RUN}"])
    assert f"not expected: {RUN}" in text
    assert text.endswith("NOT as expected: 1 differences\n")


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert aligned([("a", "b"), ("long", "")]) == ["a     b", "long"]

"""The check of sizes names what is too large."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def measures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measures", ROOT / ".ci" / "measures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(root: Path, source: str) -> Path:
    (root / "rules").mkdir()
    (root / "rules" / "thing.py").write_text(source)
    return root


def function(lines: int, name: str = "long", parameters: str = "") -> str:
    return f"def {name}({parameters}):\n" + "    pass\n" * (lines - 1)


def test_a_file_of_more_than_300_lines_is_named(measures: ModuleType, tmp_path: Path) -> None:
    assert list(measures.excesses(write(tmp_path, "pass\n" * 301))) == [
        ("rules/thing.py", "301 lines, expected at most 300")
    ]


def test_a_function_of_more_than_40_lines_is_named_wherever_it_stands(measures: ModuleType, tmp_path: Path) -> None:
    inner = "".join(f"    {line}\n" for line in function(41).splitlines())
    found = list(
        measures.excesses(write(tmp_path, "if True:\n" + "    class Thing:\n" + inner.replace("    ", "        ")))
    )
    assert found == [("rules/thing.py.Thing.long", "41 lines, expected at most 40")]


def test_a_constructor_of_more_than_eight_parameters_is_named(measures: ModuleType, tmp_path: Path) -> None:
    nine = ", ".join(["self", *"abcde", "*", *"fghi"])
    source = f"class Thing:\n    def __init__({nine}):\n        pass\n\n    def call({nine}):\n        pass\n"
    assert list(measures.excesses(write(tmp_path, source))) == [
        ("rules/thing.py:Thing.__init__", "9 parameters, expected at most 8")
    ]


def test_the_exit_code_says_whether_everything_keeps_to_the_measures(
    measures: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write(tmp_path, function(40) + "pass\n" * 260)
    assert measures.main(root) == 0
    (root / "rules" / "thing.py").write_text("pass\n" * 301)
    assert measures.main(root) == 1
    assert capsys.readouterr().err == "rules/thing.py: 301 lines, expected at most 300\n"

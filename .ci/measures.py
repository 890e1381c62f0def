"""Hold the product to its measures of size, as `make check` does.

No file has more than 300 lines, no function more than 40, no constructor takes more than eight parameters. Complexity
is ruff's to measure (C901). Tests and benchmarks are not measured: a long list of sentences or figures is no tangle.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOMS = ("config", "rules", "actions", "daemon")
FILE_LINES = 300
FUNCTION_LINES = 40
CONSTRUCTOR_PARAMETERS = 8


def excesses(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each place below `root` that exceeds a measure, with a sentence about it."""
    for path in sorted(path for room in ROOMS for path in (root / room).rglob("*.py")):
        place, source = path.relative_to(root).as_posix(), path.read_text()
        if (lines := len(source.splitlines())) > FILE_LINES:
            yield place, f"{lines} lines, expected at most {FILE_LINES}"
        yield from _of_functions(ast.parse(source), place)


def _of_functions(parent: ast.AST, place: str) -> Iterator[tuple[str, str]]:
    for node in ast.iter_child_nodes(parent):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _of_functions(node, place)
            continue
        name = f"{place}:{node.name}" if isinstance(parent, ast.Module) else f"{place}.{node.name}"
        if not isinstance(node, ast.ClassDef):
            if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES:
                yield name, f"{lines} lines, expected at most {FUNCTION_LINES}"
            parameters = len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs) - 1
            if node.name == "__init__" and parameters > CONSTRUCTOR_PARAMETERS:
                yield name, f"{parameters} parameters, expected at most {CONSTRUCTOR_PARAMETERS}"
        yield from _of_functions(node, name)


def main(root: Path) -> int:
    """Print what is wrong and return the exit code."""
    wrong = [f"{place}: {excess}" for place, excess in excesses(root)]
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))

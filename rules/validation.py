"""Check objects of a workflow document by pydantic models, and word their problems.

The ``description`` of every field of such a model is the expected value: the message is "expected <description>, found
<value>". Fields that another parser reads are typed ``Any``.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, ParamSpec, TypeGuard, TypeVar

from bson import Code
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from config.duration import DURATION_SCHEMA, parse_duration
from config.error import WorkflowError, nearest
from config.found import LONGEST_SHOWN, found, name_of
from rules.path import MISSING

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
P = ParamSpec("P")

OUTSIDE_DATA: Final = ConfigDict(extra="forbid", frozen=True, strict=True)

_PARSER_REFUSED: Final = "parser_refused"


def read_by(parse: Callable[[object, str], T]) -> PlainValidator:
    """Return the validator of a field that ``parse`` reads; its WorkflowError says what is wrong."""

    def read(raw: object) -> T:
        try:
            return parse(raw, "")
        except WorkflowError as error:
            raise PydanticCustomError(_PARSER_REFUSED, "{problem}", {"problem": error.problem}) from error

    return PlainValidator(read)


# A field of a model that holds a duration: seconds, or a text such as "5m".
Duration = Annotated[timedelta, read_by(parse_duration), WithJsonSchema(DURATION_SCHEMA)]


def _whole(raw: object) -> object:
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw


# Before a field that is an integer: to JSON, and to drivers that know only doubles, 3.0 is one.
Whole: Final = BeforeValidator(_whole)


def validated(model: type[M], raw: object, path: str) -> M:
    """Return the object at ``path`` as ``model``; raise WorkflowError for the first thing that is wrong with it."""
    if not isinstance(raw, Mapping):
        raise WorkflowError(path, f"expected an object, found {found(raw)}")
    try:
        return model.model_validate(dict(raw))
    except ValidationError as error:
        details = error.errors(include_url=False)
        first = details[0]
        raise WorkflowError(joined(path, *first["loc"]), _problem(first, model), more=len(details) - 1) from error


def joined(path: str, *names: int | str) -> str:
    """Return the path of something inside of ``path``: ``joined("actions", 1, "delay")`` is ``actions[1].delay``."""
    for name in names:
        if isinstance(name, int):
            path += f"[{name}]"
        else:
            path += f".{name_of(name)}" if path else name_of(name)
    return path


def one_of(raw: object, known: Collection[str], path: str) -> str:
    """Return ``raw`` if it is one of the ``known`` words; raise WorkflowError, naming the nearest, if not.

    MISSING stands for a word that is not there.
    """
    if is_text(raw) and raw in known:
        return raw
    hint = nearest(raw[:LONGEST_SHOWN], known) if is_text(raw) else ""
    raise WorkflowError(path, f"expected one of {', '.join(known)}; found {found_at(raw)}{hint}")


def found_at(raw: object) -> str:
    """Return a value of a document as a message shows it: ``nothing`` for MISSING."""
    return "nothing" if raw is MISSING else found(raw)


def is_text(value: object) -> TypeGuard[str]:
    """Return whether ``value`` is a text. BSON's Code is a ``str`` to Python, but no name of anything, nor hashable."""
    return isinstance(value, str) and not isinstance(value, Code)


class Problems:
    """The problems of one document, in the order of their finding: the first is raised, the rest are counted."""

    def __init__(self) -> None:
        self._first: WorkflowError | None = None
        self._count = 0

    def add(self, error: WorkflowError) -> None:
        """Keep a problem."""
        self._first = self._first or error
        self._count += 1 + error.more

    def attempt(self, parse: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> T | None:
        """Return what ``parse`` returns, or None if it raised WorkflowError, which is kept."""
        try:
            return parse(*args, **keywords)
        except WorkflowError as error:
            self.add(error)
            return None

    def raise_first(self) -> None:
        """Raise the first problem with the number of all others; return if there was none."""
        if self._first is not None:
            raise WorkflowError(self._first.path, self._first.problem, more=self._count - 1) from self._first


def _problem(error: ErrorDetails, model: type[BaseModel]) -> str:
    known: dict[str, Any] = {field.alias or name: field for name, field in model.model_fields.items()}
    name = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        hint = nearest(name[:LONGEST_SHOWN], known)
        return f"unknown key{hint}; known here: {', '.join(known)}"
    if error["type"] == _PARSER_REFUSED or error["msg"].startswith("expected "):
        return error["msg"]
    expected = known[name].description if name in known else None
    if error["type"] == "missing":
        return f"expected {expected or 'a value'}, found nothing"
    return f"{f'expected {expected}' if expected else _expected(error)}, found {found(error['input'])}"


def _expected(error: ErrorDetails) -> str:
    """Return what pydantic expected, in our words."""
    if error["type"] == "literal_error":
        return f"expected {error['ctx']['expected']}"
    subject, _, rest = error["msg"].partition(" should ")
    return f"expected {subject.lower()} to {rest}" if rest else error["msg"]

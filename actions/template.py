"""E-mail templates, and their look-up: first those of admins in MongoDB, then the files shipped here."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from config.error import ConfigError, PermanentActionError, nearest
from config.found import found

DEFAULT_LANGUAGE: Final = "en"

_PARTS: Final = ("subject", "text", "html")
_FILE: Final = re.compile(
    r"(?P<name>[a-z0-9_-]+)(?:\.(?P<language>[a-z]{2,3}(?:-[a-z0-9]+)*))?\.(?P<part>subject|text|html)"
)
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8}){0,3}")


@dataclass(frozen=True, slots=True)
class Template:
    """The Liquid sources of one e-mail in one language; ``language`` is None where none is named."""

    name: str
    subject: str
    text: str
    html: str | None = None
    language: str | None = None


class TemplateStore(Protocol):
    """A place where templates are kept."""

    async def find(self, name: str, language: str | None) -> Template | None:
        """Return the template of that name in exactly that language (None: in none), or None."""


class Templates:
    """Finds a template in the first store that has it, in the best language it has."""

    def __init__(self, stores: Sequence[TemplateStore], shipped: Sequence[str] = ()) -> None:
        """Keep the stores, the first first; ``shipped`` are names to suggest where none is found."""
        self._stores = stores
        self._shipped = shipped

    async def find(self, name: str, language: str | None) -> Template:
        """Return the template for a reader of ``language``; raise PermanentActionError if there is none.

        A reader of ``pt-br`` gets ``pt-br``, else ``pt``, else the template without a language, else English.
        """
        for store in self._stores:
            for candidate in _candidates(language):
                template = await store.find(name, candidate)
                if template is not None:
                    return template
        raise PermanentActionError(
            f"expected an e-mail template named {found(name)}, found none{nearest(name, self._shipped)}"
        )


class TemplateFiles:
    """The templates in a directory: ``<name>.<part>`` is English, ``<name>.<language>.<part>`` any other language.

    Parts are ``subject``, ``text`` and, where there is one, ``html``. Everything is read at once, at start.
    """

    def __init__(self, directory: Path) -> None:
        """Read the directory; raise ConfigError for a template without a subject or a text."""
        parts: dict[tuple[str, str], dict[str, str]] = {}
        for path in sorted(directory.iterdir()):
            match = _FILE.fullmatch(path.name)
            if match:
                key = match["name"], match["language"] or DEFAULT_LANGUAGE
                parts.setdefault(key, {})[match["part"]] = path.read_text(encoding="utf-8")
        self._templates = {key: _from_parts(*key, found_parts) for key, found_parts in parts.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all templates, each once."""
        return tuple(sorted({name for name, _ in self._templates}))

    async def find(self, name: str, language: str | None) -> Template | None:
        """Return the template of that name in exactly that language, or None."""
        return self._templates.get((name, language)) if language is not None else None


def parse_template(name: str, document: Mapping[str, Any]) -> Template:
    """Return the template that a document ``{subject, text, html?, language?}`` of ``email_templates`` holds.

    Raises PermanentActionError that names what is wrong.
    """
    for part in _PARTS:
        value = document.get(part)
        if not isinstance(value, str) and not (part == "html" and value is None):
            raise PermanentActionError(f"e-mail template {found(name)}: {part}: expected a text, found {found(value)}")
    return Template(
        name, document["subject"], document["text"], document.get("html"), parse_language(document.get("language"))
    )


def parse_language(raw: Any) -> str | None:
    """Return a language such as ``pt-br`` from what a person or a browser wrote (``pt_BR``), or None."""
    if not isinstance(raw, str) or len(raw) > 40:
        return None
    language = raw.strip().split(".", 1)[0].replace("_", "-").lower()
    return language if _LANGUAGE.fullmatch(language) else None


def _candidates(language: str | None) -> list[str | None]:
    candidates: list[str | None] = []
    while language:
        candidates.append(language)
        language = language.rpartition("-")[0]
    candidates.append(None)
    if DEFAULT_LANGUAGE not in candidates:
        candidates.append(DEFAULT_LANGUAGE)
    return candidates


def _from_parts(name: str, language: str, parts: Mapping[str, str]) -> Template:
    missing = [part for part in ("subject", "text") if part not in parts]
    if missing:
        raise ConfigError(f"e-mail template '{name}' ({language}): expected a file for {missing[0]}, found none")
    return Template(name, parts["subject"].strip(), parts["text"], parts.get("html"), language)

"""Where e-mail templates are looked up, and in which language."""

from pathlib import Path
from typing import Any

import pytest

from actions.rendering import Renderer
from actions.template import Template, TemplateFiles, Templates, parse_language, parse_template
from config.error import ConfigError, PermanentActionError

SHIPPED = Path(__file__).parents[3] / "config" / "templates"


class Asked:
    """A store that has one language and remembers what it was asked for."""

    def __init__(self, language: str | None) -> None:
        self.language = language
        self.asked: list[str | None] = []

    async def find(self, name: str, language: str | None) -> Template | None:
        self.asked.append(language)
        return Template(name, "s", "t", language=language) if language == self.language else None


@pytest.mark.parametrize(
    ("language", "asked"),
    [
        ("pt-br", ["pt-br", "pt", None, "en"]),
        ("pt", ["pt", None, "en"]),
        ("en-gb", ["en-gb", "en", None]),
        (None, [None, "en"]),
    ],
)
async def test_languages_are_tried_from_the_nearest_to_english(language: str | None, asked: list[str | None]) -> None:
    store = Asked("xx")

    with pytest.raises(PermanentActionError, match="expected an e-mail template named 'hello', found none"):
        await Templates([store]).find("hello", language)

    assert store.asked == asked


async def test_first_store_wins_even_in_a_worse_language() -> None:
    template = await Templates([Asked("en"), Asked("pt")]).find("hello", "pt")

    assert template.language == "en"


@pytest.mark.parametrize(
    ("raw", "language"),
    [
        ("pt_BR", "pt-br"),
        ("pt_BR.UTF-8", "pt-br"),
        (" EN ", "en"),
        ("Portuguese", None),
        ("../x", None),
        ("", None),
        (5, None),
    ],
)
def test_language_is_read_as_people_and_browsers_write_it(raw: Any, language: str | None) -> None:
    assert parse_language(raw) == language


@pytest.mark.parametrize("language", ["en", "pt"])
async def test_shipped_welcome_email_is_complete(language: str) -> None:
    template = await TemplateFiles(SHIPPED).find("welcome_email", language)

    assert template is not None
    assert template.html is not None
    sources = {"subject": template.subject, "text": template.text, "html": template.html}
    for entity in ({"name": "Ana"}, {}):
        parts = await Renderer().render(sources, {"entity": entity})
        assert all(("Ana" in part) is bool(entity) for part in parts.values())
        assert "\n" not in parts["subject"]


def test_file_template_without_a_text_refuses_to_start(tmp_path: Path) -> None:
    (tmp_path / "hello.subject").write_text("Hello", encoding="utf-8")

    with pytest.raises(ConfigError, match=r"'hello' \(en\): expected a file for text, found none"):
        TemplateFiles(tmp_path)


async def test_names_cannot_leave_the_directory() -> None:
    assert await TemplateFiles(SHIPPED).find("../templates/welcome_email", "en") is None


def test_template_document_with_a_wrong_part_is_named() -> None:
    with pytest.raises(PermanentActionError, match="'hello': text: expected a text, found null"):
        parse_template("hello", {"subject": "s"})
    assert parse_template("hello", {"subject": "s", "text": "t", "language": "PT"}) == Template(
        "hello", "s", "t", None, "pt"
    )

"""Rendering what users write with what strangers typed."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from actions.rendering import Renderer
from config.error import PermanentActionError

renderer = Renderer()


@pytest.fixture(scope="module", autouse=True)
async def _stopped() -> AsyncIterator[None]:
    yield
    await renderer.stop()


async def rendered(source: str, values: Mapping[str, Any] | None = None, part: str = "text") -> str:
    return (await renderer.render({part: source}, values or {}))[part]


async def test_values_are_filled_in_and_missing_ones_are_empty() -> None:
    source = "Hi {{ entity.name }}{{ entity.nothing.there }}, {{ entity.city | default: 'wherever you are' }}"

    assert await rendered(source, {"entity": {"name": "Ana"}}) == "Hi Ana, wherever you are"


async def test_html_is_escaped_and_text_is_not() -> None:
    entity = {"name": "<script>alert('x')</script>"}

    sources = {"text": "{{ entity.name }}", "html": "<p>{{ entity.name }}</p>"}
    result = await renderer.render(sources, {"entity": entity})

    assert result["text"] == entity["name"]
    assert result["html"] == "<p>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;</p>"


@pytest.mark.parametrize(
    "filters",
    [
        "append: ''", "base64_encode | base64_decode", "capitalize", "date: '%Y'", "default: 'x'",
        "downcase | upcase",
        "escape", "escape_once", "join: ''", "lstrip | rstrip", "newline_to_br", "prepend: ''", "remove: 'zzz'",
        "replace: 'zzz', ''", "reverse", "slice: 0, 99", "split: 'z' | first", "squish", "strip_newlines",
        "truncate: 99", "truncatewords: 99", "url_encode | url_decode", "escape | escape_once", "escape | url_decode",
    ],
)  # fmt: skip
async def test_no_filter_lets_a_stranger_write_html(filters: str) -> None:
    html = await rendered(f"{{{{ name | {filters} }}}}", {"name": "<script src=x onload='y'>"}, "html")

    assert "<script" not in html.lower()


async def test_templates_cannot_trust_a_value_to_be_html() -> None:
    with pytest.raises(PermanentActionError, match="unknown filter 'safe'"):
        await rendered("{{ name | safe }}", {"name": "<b>"}, "html")


@pytest.mark.parametrize("tag", ["include", "render"])
async def test_templates_cannot_reach_for_other_templates(tag: str) -> None:
    with pytest.raises(PermanentActionError, match=f"unexpected tag '{tag}'"):
        await rendered(f"{{% {tag} 'other' %}}")


LOOP = "{% for i in (1..2000) %}"
BOMBS = {
    "a long loop": ("{% for i in (1..3000) %}{% endfor %}", "range limit of 2,000 numbers"),
    "a range that C would count": (
        "{% for i in (1..9999999999) offset: 9999999990 %}{% endfor %}",
        "range limit of 2,000",
    ),
    "a range joined": ("{{ (1..9999999999) | join: ',' }}", "range limit of 2,000 numbers"),
    "a range in a case": ("{% case 1 %}{% when (1..9999999999) %}{% endcase %}", "range limit of 2,000 numbers"),
    "loops in loops": ("{% for i in a %}{% for j in a %}{% endfor %}{% endfor %}", "loop limit of 2,000 iterations"),
    "loops after loops": (f"{LOOP}{{% endfor %}}" * 2, "loop limit of 2,000 iterations"),
    "a loop over much": (LOOP + "{{ '' }}" * 2000 + "{% endfor %}", "work limit of 3,000,000"),
    "a text that doubles": ("{% assign x = 'aa' %}" + "{% assign x = x | append: x %}" * 40, "value limit of 200,000"),
    "a text that multiplies": ("{{ text | replace: '', text }}", "value limit of 200,000 characters"),
    "a list that doubles": ("{% assign x = a %}" + "{% assign x = x | concat: x %}" * 40, "limit of"),
    "a list joined with much": ("{{ a | join: text }}", "value limit of 200,000 characters"),
    "a number that squares": ("{% assign x = 9 %}" + "{% assign x = x | times: x %}" * 40, "number limit of 512 bits"),
    "much output": (LOOP + "{{ text }}{% endfor %}", "limit of"),
    "blocks in blocks": ("{% if true %}" * 30 + "{% endif %}" * 30, "nesting limit of 20"),
    "much source": ("x" * 100_001, "source limit of 100,000 characters"),
    "many tags": ("{{a}}" * 2501, "source limit of 2,500 tags"),
    "a long tag": ("{{ " + "(" * 3000 + " }}", "tag limit of 2,000 characters"),
    "many blanks": ("{{ a" + " " * 200 + "}}", "limit of 100 blanks"),
    "many open tags": ("{{" * 50_000, "expected '}}', found the end"),
    "a tag with blanks and no end": ("{% a" + " " * 90_000, "expected '%}', found the end"),
    "many verbatim blocks without an end": ("{% raw %}" * 10_000, "expected 'endraw', found the end"),
    "a huge field": ("{{ huge | size }}", "value limit of 200,000 characters"),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_template_bomb_fails_with_its_limit_and_does_not_hold_up_the_loop(bomb: str) -> None:
    source, limit = BOMBS[bomb]
    values = {"a": list(range(1500)), "text": "x" * 20_000, "huge": "x" * 5_000_000}
    rendering = asyncio.create_task(rendered(source, values))

    longest = 0.0
    while not rendering.done():
        before = time.process_time()  # not the wall clock: other processes do not count
        await asyncio.sleep(0.001)
        longest = max(longest, time.process_time() - before)

    with pytest.raises(PermanentActionError, match=limit):
        await rendering
    assert longest < 0.1


@pytest.mark.parametrize(
    "source",
    ["{{ 'a' | nothing }}", "{% if %}", "{% nothing %}", "{{ 'x' | date: }}", "{% break %}",
     "{{ '9' | round: 'a', 1 }}",
     "{{ digits | date: '%Y' }}"],
)  # fmt: skip
async def test_mistake_in_a_template_is_a_permanent_error_on_one_line(source: str) -> None:
    with pytest.raises(PermanentActionError) as caught:
        await rendered(source, {"digits": "1" * 5000})

    assert str(caught.value).startswith("text: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("subject", "values"),
    [
        ("{{ a | url_decode }}", {"a": "x%0D%0Ay"}),
        ("{{ a | base64_decode }}", {"a": "eAp5"}),
        ("{% for each in a %}{{ each[0] }}{% endfor %}", {"a": {"x\ny": 1}}),
    ],
)
async def test_line_break_that_a_value_brings_into_a_subject_in_any_way_is_a_blank(
    subject: str, values: dict[str, Any]
) -> None:
    assert await renderer.render({"subject": subject}, values) == {"subject": "x y"}


async def test_verbatim_blocks_may_hold_open_tags() -> None:
    assert await rendered("{% raw %}{{ {% {% endraw %}{{ a }}", {"a": "!"}) == "{{ {% !"


async def test_loop_of_ordinary_size_is_rendered() -> None:
    items = [{"name": f"Item {number}", "price": number} for number in range(200)]

    text = await rendered(
        "{% for item in items %}{{ item.name }}: {{ item.price | plus: 1 }}\n{% endfor %}", {"items": items}
    )

    assert text.count("\n") == 200

"""What filters take, and how those that are ours work on texts and lists."""

import contextlib
import re
import time
from decimal import Decimal
from typing import Any

import pytest

from actions.rendering_engine import Engine, RenderingFailed

SIZE = 190_000
FRAGMENTS = ['<a "', "<script></script", "<!--", "&#9", "\r", "%E9 "]
LISTS: dict[str, list[Any]] = {
    "numbers": list(range(19_000)),
    "objects": [{"a": number % 5} for number in range(8_000)],
    "lists": [[1] * 10] * 1_500,
}
ARGUMENTS = {
    "append": ": t", "prepend": ": t", "remove": ": u", "remove_first": ": u", "remove_last": ": u",
    "replace": ": u, 'b'", "replace_first": ": u, 'b'", "replace_last": ": u, 'b'", "split": ": u",
    "truncate": ": 90000", "truncatewords": ": 90000", "slice": ": 1, 90000", "date": ": '%Y'", "join": ": ''",
    "concat": ": t", "map": ": 'a'", "where": ": 'a', 2", "reject": ": 'a'", "find": ": 'a', 7",
    "find_index": ": 'a', 7", "has": ": 'a', 7", "at_least": ": t", "at_most": ": t", "plus": ": t", "minus": ": t",
    "times": ": t",
    "divided_by": ": 3", "modulo": ": 3", "round": ": t",
}  # fmt: skip
FILTERS = sorted(set(ARGUMENTS) | {
    "abs", "base64_decode", "base64_encode", "base64_url_safe_decode", "base64_url_safe_encode", "capitalize", "ceil",
    "compact", "default", "downcase", "escape", "escape_once", "escapejs", "first", "floor", "last", "lstrip",
    "newline_to_br", "reverse", "rstrip", "size", "sort", "sort_natural", "squish", "strip", "strip_html",
    "strip_newlines", "sum", "uniq", "upcase", "url_decode", "url_encode",
})  # fmt: skip

OF_LISTS = {
    "compact", "concat", "find", "find_index", "has", "join", "map", "reject", "reverse", "sort", "sort_natural", "sum",
    "uniq", "where",
}  # fmt: skip

engine = Engine()


def rendered(source: str, part: str = "text", **values: Any) -> str:
    request = {"sources": {part: source}, "names": [[name] for name in values], "values": list(values.values())}
    return engine.render(request)[part]


def test_every_filter_of_templates_is_tried_here() -> None:
    assert sorted(engine.filters) == FILTERS


@pytest.mark.parametrize("name", FILTERS)
def test_no_filter_takes_more_than_linear_time(name: str) -> None:
    source = f"{{{{ t | {name}{ARGUMENTS.get(name, '')} | size }}}}"
    texts = [">" + fragment * (SIZE // len(fragment)) for fragment in FRAGMENTS]
    pairs: list[tuple[Any, str]] = [(text, text[1:1000]) for text in texts]
    pairs += [("a" * SIZE, "b" + "a" * (SIZE // 2)), ("a" * SIZE, "a" * (SIZE // 2) + "b"), ("9" * SIZE, "9")]
    if name in OF_LISTS:
        pairs = [(each, "a") for each in LISTS.values()]

    for value, sought in pairs:
        before = time.thread_time()
        with contextlib.suppress(RenderingFailed):
            rendered(source, t=value, u=sought)
        assert time.thread_time() - before < 0.4, (value[:10], sought[:10])


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("<p>Hi <b>you</b></p>", "Hi you"),
        ("a<br/>b<!-- <b> -->c", "abc"),
        ("a<script>if (1 < 2) {}</script>b<STYLE>p > a {}</STYLE >c", "abc"),
        ('<a title="x > y">link</a>', "link"),
        ("1 < 2 and 3 > 2, <3", "1 < 2 and 3 > 2, <3"),
        ("5 <b 'open and <i>on</i>", "5 on"),
        ("a<script>b", "ab"),
        ("a<!-- b", "a<!-- b"),
        ("a <b", "a <b"),
        ("&lt;b&gt; &amp; &eacute;", "&lt;b&gt; &amp; &eacute;"),
    ],
)
def test_tags_are_stripped(text: str, stripped: str) -> None:
    assert rendered("{{ t | strip_html }}", t=text) == stripped


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ '<b> &amp; &eacute; &#39; & &x' | escape_once }}", "&lt;b&gt; &amp; &eacute; &#39; &amp; &amp;x"),
        ("{{ 'abab' | replace_last: 'ab', 'x' }} {{ 'abab' | remove_last: 'b' }} {{ 'a' | remove_last: 'b' }}",
         "abx aba a"),
        ("{{ l | uniq | join: ' ' }} {{ o | uniq: 'a' | map: 'b' | join: ' ' }}", "1 true  a 1 3"),
        ("{{ l | sort | join: ' ' }}", "1 1 1 a true "),
        ("{{ w | sort_natural | join: ' ' }} {{ o | sort: 'b' | map: 'b' | join: ' ' }}", "A b C  1 2 3"),
        ("{{ m | where: 'a', 1 | size }} {{ m | where: 'a' | size }} {{ m | reject: 'a' | size }}", "2 4 5"),
        ("{{ m | has: 'a', 0.1 }} {{ m | find: 'a', 1 }} {{ m | find_index: 'a', 0.1 }}", 'true {"a": 1} 3'),
        ("{{ m | compact: 'a' | size }}{{ 5 | where: 'a' }}", "3"),
        ("{{ l | concat: w | size }} {{ o | sum: 'b' }} {{ o | map: 'c' | join: '-' }}", "10 6 --"),
    ],
)  # fmt: skip
def test_filter_of_ours_does_what_liquids_does(source: str, text: str) -> None:
    objects = [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 3}]

    mixed = [5, {"a": 1}, {"a": Decimal("1.0")}, {"a": Decimal("0.1")}, None, "a", {"a": None}, 2.5, [1]]

    assert rendered(source, l=[1, True, None, 1, "a", 1], w=["b", None, "C", "A"], o=objects, m=mixed) == text


def test_html_stays_escaped_by_the_filters_of_ours() -> None:
    for filters in ("replace_last: 'x', t", "strip_html", "escape_once", "join: t", "remove_last: 'x'"):
        assert "<img" not in rendered(f"{{{{ t | {filters} }}}}", "html", t="<<b>img src=x")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{{ t | date }}", "date: expected 1 argument, found 0"),
        ("{{ t | upcase: 1 }}", "upcase: expected no argument, found 1"),
        ("{{ t | where }}", "where: expected 1 or 2 arguments, found 0"),
        ("{{ t | sum: 'a', 'b' }}", "sum: expected at most 1 argument, found 2"),
        ("{{ t | append: 'a', to: 'b' }}", "append: expected no argument with the name to"),
        ("{{ t | truncate: u }}", "truncate: expected a whole number, found a list"),
        ("{{ t | slice: 'x' }}", "slice: expected a whole number, found a text"),
        ("{{ t | slice: 1, v }}", "slice: expected a whole number, found no finite number"),
        ("{{ t | concat: 1 }}", "concat: expected a list, found a number"),
        ("{{ true | base64_decode }}", "base64_decode: cannot be applied to true"),
        ("{{ t | base64_decode }}", "base64_decode: invalid base64-encoded string"),
    ],
)
def test_a_filter_says_its_name_and_which_arguments_it_takes(source: str, problem: str) -> None:
    with pytest.raises(RenderingFailed, match=f"text: {problem}"):
        rendered(source, t="a text", u=[1], v=float("inf"))


@pytest.mark.parametrize("name", FILTERS)
def test_no_filter_tells_of_python(name: str) -> None:
    told = []
    for arguments in ("", ": 1, 2, 3", ": t", ": u", ": 1, foo: 2"):
        try:
            rendered(f"{{{{ t | {name}{arguments} }}}}", t={"a": 1}, u=[{"a": 1}, None])
        except RenderingFailed as error:
            told.append(str(error))

    assert all(each.startswith(f"text: {name}: ") for each in told)
    assert not re.search(r"positional|keyword|unhashable|\b(int|str|dict)\b|Undefined", "".join(told))

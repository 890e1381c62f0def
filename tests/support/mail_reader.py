"""A reader of e-mails that follows RFC 5322, 2045 and 2047 to the letter, and raises at whatever they forbid."""

import quopri
import re
from base64 import b64decode
from dataclasses import dataclass

ENCODED_WORD = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?([^?\s]*)\?=")
ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Mail:
    """``fields`` are names and unfolded values as they stand; names and addresses are decoded."""

    fields: list[tuple[str, str]]
    subject: str
    sender: tuple[str, str]
    to: list[tuple[str, str]]
    parts: dict[str, str]  # by content type


def read_mail(wire: bytes) -> Mail:
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", wire), "a line break or NUL that no mail may hold"
    head, _, body = wire.decode("utf-8").partition("\r\n\r\n")
    assert body.isascii()
    assert max(map(len, body.split("\r\n"))) <= 78
    fields = read_fields(head)
    values = dict(fields)
    assert len(values) == len(fields), "a field stands twice"
    [sender] = mailboxes(values["From"])
    return Mail(fields, unstructured(values["Subject"]), sender, mailboxes(values["To"]), read_parts(values, body))


def read_fields(head: str) -> list[tuple[str, str]]:
    fields: list[list[str]] = []
    for line in head.split("\r\n"):
        has_word = ENCODED_WORD.search(line) is not None
        assert len(line) <= (76 if has_word else 998), line
        assert len(line) <= 78 or " " not in line.partition(": ")[2].strip(), line  # could have been folded
        assert line.strip(), "a line of blanks in the head"
        if line[0] in " \t":
            fields[-1][1] += line
        else:
            name, colon, value = line.partition(":")
            assert colon
            assert re.fullmatch(r"[!-9;-~]+", name), name
            fields.append([name, value])
    return [(name, value.strip(" ")) for name, value in fields]


def unstructured(value: str) -> str:
    """Return the text of a field such as Subject (RFC 2047, section 5, rule 1)."""
    shown, was_word, blanks = "", False, ""
    for token in re.findall(r"[ \t]+|[^ \t]+", value):
        if token.isspace():
            blanks = token
            continue
        is_word = ENCODED_WORD.fullmatch(token) is not None
        shown += ("" if is_word and was_word else blanks) + (decoded(token) if is_word else token)
        was_word, blanks = is_word, ""
    return shown


def decoded(word: str) -> str:
    """Return the text of one encoded word, each of which has to be whole characters."""
    assert len(word) <= 75
    match = ENCODED_WORD.fullmatch(word)
    assert match is not None
    charset, encoding, text = match.groups()
    if encoding in "bB":
        return b64decode(text, validate=True).decode(charset)
    return quopri.decodestring(text.replace("_", " ")).decode(charset)


def mailboxes(value: str) -> list[tuple[str, str]]:
    """Return name and address of each mailbox in a list of them (RFC 5322, section 3.4)."""
    found: list[tuple[str, str]] = []
    rest = value
    while True:
        words: list[tuple[str, bool]] = []
        rest = rest.lstrip(" \t")
        while rest and rest[0] not in "<@,":
            match = QUOTED.match(rest) or re.match(r"[^\s<>()\[\]:;@\\,\"]+", rest)
            assert match is not None, f"no phrase: {rest!r}"
            words.append((match[0], match[0].startswith('"')))
            rest = (
                rest[match.end() :].lstrip(" \t") if rest[match.end() : match.end() + 1] != "@" else rest[match.end() :]
            )
        if rest.startswith("<"):
            address, _, rest = rest[1:].partition(">")
            found.append(
                (phrase(words), local_part(address.rpartition("@")[0]) + "@" + domain(address.rpartition("@")[2]))
            )
        else:
            assert len(words) == 1, f"no address: {value!r}"
            assert rest.startswith("@"), f"no address: {value!r}"
            match = re.match(r"@([^\s,]+)", rest)
            assert match is not None
            found.append(("", f"{local_part(words[0][0])}@{domain(match[1])}"))
            rest = rest[match.end() :]
        rest = rest.lstrip(" \t")
        if not rest:
            return found
        assert rest.startswith(","), f"more than a mailbox: {value!r}"
        rest = rest[1:]


def phrase(words: list[tuple[str, bool]]) -> str:
    """Return the name before an address: encoded words count only outside of quotes (RFC 2047, section 5, rule 3)."""
    shown, was_word = "", False
    for word, is_quoted in words:
        is_word = not is_quoted and ENCODED_WORD.fullmatch(word) is not None
        assert is_quoted or is_word or ATOM.fullmatch(word), f"no word of a phrase: {word!r}"
        text = re.sub(r"\\(.)", r"\1", word[1:-1]) if is_quoted else decoded(word) if is_word else word
        shown += ("" if not shown or (is_word and was_word) else " ") + text
        was_word = is_word
    return shown


def local_part(text: str) -> str:
    if text.startswith('"'):
        assert QUOTED.fullmatch(text), text
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    assert all(ATOM.fullmatch(atom) for atom in text.split(".")), text
    return text


def domain(text: str) -> str:
    assert re.fullmatch(r"[A-Za-z0-9.-]+", text), text
    return text


def read_parts(values: dict[str, str], body: str) -> dict[str, str]:
    """Return the text of each part by its content type."""
    content_type, _, parameters = values["Content-Type"].partition(";")
    if content_type.startswith("multipart/"):
        match = re.search(r'boundary="([^"]+)"', parameters)
        assert match is not None
        before, *parts, after = ("\r\n" + body).split(f"\r\n--{match[1]}")
        assert (before, after) == ("", "--\r\n")
        read: dict[str, str] = {}
        for part in parts:
            head, _, inner = part.removeprefix("\r\n").partition("\r\n\r\n")
            read |= read_parts(dict(read_fields(head)), inner)
        return read
    octets = body.encode("ascii")
    encoding = values["Content-Transfer-Encoding"]
    assert encoding in ("quoted-printable", "base64")
    plain = quopri.decodestring(octets) if encoding == "quoted-printable" else b64decode(octets)
    return {content_type: plain.decode("utf-8").replace("\r\n", "\n")}

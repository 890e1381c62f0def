"""Split a full name into first and last name, without titles and degrees.

A word that may be a name or a title is taken for a name: ``Don Draper``, ``Jack Ma``, ``Md Rahman``.
"""

import re
from collections.abc import Sequence
from typing import Final

from actions.blank import with_plain_blanks


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# All are compared without dots, parentheses and case.
_TITLES: Final = _words("""
    dr dra drª drs prof profa profª mr mrs ms mx miss sr sra srª srta herr frau mme mlle monsieur madame engº engª enga
    engo arqª arqº dott dottssa sig sigra sigrª dipl-ing dr-ing univ-prof diplom-ing dipl-kfm dipl-inf phdr judr mudr
    engr
""")
# Names or words as well: titles only with a dot, and the first of them behind the comma after a full name too.
_LOOSE_TITLES: Final = _words("eng ing arq lic dipl adv rev")
_DOTTED_TITLES: Final = _LOOSE_TITLES | _words("""
    mag hon fr med dent rer nat phil jur habil pol oec fru hr capt col gen sgt lt maj msgr mons pe pr mgr bc ir
    phd msc bsc mba
""")
_SUFFIXES: Final = _words("""
    jr jnr sr snr ii iii iv phd dphil mba msc bsc bcom esq esquire dds dmd llm llb cpa cfa pmp mph edd psyd pharmd meng
    beng mphil dsc drph mbbs mbchb frcs frcp facs facc qc peng ceng cfp lcsw dnp
""")
# Names or words as well: degrees only in capitals, with dots, or behind the comma after a full name.
_CAPITAL_SUFFIXES: Final = _words("md do od pe ma ba bs ms jd rn pa np dvm ceo cto cfo coo")

_DEGREE_IN_TWO: Final = re.compile(r"\b(ph)\.\s+(d)\b\.?|\b([mbd])\.\s+(d|sc|a|phil)\.?(?=\s*(?:,|$))", re.IGNORECASE)
_HONORIS_CAUSA: Final = re.compile(r"\bh\.\s*c\.")  # in capitals these are initials
_GLUED_TITLE: Final = re.compile(r"\b(dra?|profa?|mrs?|ms|sra?|eng)\.(?=[^\W\d_]{2})", re.IGNORECASE)


def split_name(name: str) -> dict[str, str]:
    """Return ``{first, last}`` of ``Ana Maria Souza``, ``Souza, Ana Maria`` or ``Dr. Ana Souza, MD``."""
    name = " ".join(with_plain_blanks(name).split())
    name = _GLUED_TITLE.sub(r"\1. ", _HONORIS_CAUSA.sub("", _DEGREE_IN_TWO.sub(r"\1\3.\2\4.", name)))
    parts = [part.split() for part in name.split(",")]
    parts = [part for part in parts if part]
    if not parts:
        return {"first": "", "last": ""}
    is_full = len(_bare(parts[0])) > 1
    kept = [parts[0], *(part for part in parts[1:] if not _adds_nothing(part, is_full))]
    words = [_bare(part) or part for part in kept]
    if len(words) == 1:
        first, *last = words[0]
        return {"first": first, "last": " ".join(last)}
    return {"first": " ".join(word for part in words[1:] for word in part), "last": " ".join(words[0])}


def _bare(words: Sequence[str]) -> list[str]:
    """Return the words of a part without the titles before and the suffixes behind them."""
    start, end = 0, len(words)
    # In a name all of capitals, capitals do not mark degrees.
    has_cases = any(character.islower() for word in words for character in word)
    while start < end and (_is_title(words[start]) or not _key(words[start])):
        start += 1
    while end > start + 1 and (_is_suffix(words[end - 1], has_cases) or not _key(words[end - 1])):
        end -= 1
    return list(words[start:end])


def _adds_nothing(words: Sequence[str], is_full: bool) -> bool:
    """Return whether the words behind a comma are no name: only titles and degrees; looser ones after a full name."""
    loose = _LOOSE_TITLES | _CAPITAL_SUFFIXES if is_full else frozenset()
    return all(_is_title(word) or _is_suffix(word, True) or _key(word) in loose for word in words)


def _is_title(word: str) -> bool:
    key = _key(word)
    return key in _TITLES or (key in _DOTTED_TITLES and "." in word)


def _is_suffix(word: str, has_cases: bool) -> bool:
    key = _key(word)
    if key in _SUFFIXES:
        return True
    return key in _CAPITAL_SUFFIXES and ("." in word or (has_cases and word.strip("()[]").isupper()))


def _key(word: str) -> str:
    return word.strip("()[];-–—").replace(".", "").casefold()

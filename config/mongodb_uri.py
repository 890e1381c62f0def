"""Read MONGODB_URI strictly, so that no part of a password is taken for something else.

The driver only warns of options that it does not know, and its messages repeat parts of the address. Here an unknown
option is an error, and no message holds any part of the address but the names of its options.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

from pymongo.common import URI_OPTIONS_VALIDATOR_MAP
from pymongo.errors import PyMongoError
from pymongo.saslprep import saslprep
from pymongo.uri_parser import parse_uri

from config.database_name import EXPECTED_DATABASE_NAME, is_database_name
from config.error import nearest

_SHAPE: Final = "expected mongodb://host/… or mongodb+srv://host/…"
_ESCAPE: Final = "each of @ : / ? # & = % in a user name, a password or an option has to be percent-encoded (/ as %2F)"
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[\w.-]+)(:[0-9]{1,5})?|[\w.%-]+\.sock", re.ASCII)
_OPTION: Final = re.compile(r"[A-Za-z_]{1,40}", re.ASCII)
# A password may hold an & of its own: the text behind these options may be the rest of it, and is not shown.
_SECRET_OPTIONS: Final = frozenset({"authmechanismproperties", "tlscertificatekeyfilepassword", "proxypassword"})
_ONLY_SRV: Final = ("srvservicename", "srvmaxhosts", "srvallowedhostssuffix")
_BY_SASLPREP: Final = "SCRAM-SHA-256"  # the way to log in that MongoDB prefers
_PASSWORD: Final = (
    f"expected a password of characters that {_BY_SASLPREP} allows, found a control character, an emoji or the like;"
    " for a user who has such a password, add authMechanism=SCRAM-SHA-1"
)
# The expected value of an option, by the driver's function that checks it.
_EXPECTED: Final[Mapping[str, str]] = {
    "validate_boolean_or_string": "true or false",
    "validate_readable": "the path of a file that can be read",
    "validate_auth_mechanism": "SCRAM-SHA-256, SCRAM-SHA-1, MONGODB-X509, MONGODB-AWS, MONGODB-OIDC, GSSAPI or PLAIN",
    "validate_read_preference_mode": "primary, primaryPreferred, secondary, secondaryPreferred or nearest",
    "validate_compressors": "zlib, snappy or zstd",
}
# The errors that the driver raises for a wrong address.
_REFUSALS: Final = (PyMongoError, ValueError, TypeError, OSError, LookupError)
_COMPRESSORS: Final = frozenset({"snappy", "zlib", "zstd"})


@dataclass(frozen=True, slots=True)
class MongodbUri:
    """The parts that the daemon asks for."""

    database: str  # of its path, decoded; may be empty
    option_names: tuple[str, ...]  # as they are spelled there; the driver takes any case


def parse_mongodb_uri(uri: str) -> MongodbUri:
    """Return the parts of an address that the driver takes as a whole; raise ValueError, without a part of it, else."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in ("mongodb", "mongodb+srv"):
        raise ValueError(_SHAPE)
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    user, at, hosts = authority.rpartition("@")
    if "@" in path or "@" in query or "/" in path or "@" in user or user.count(":") > 1 or (at and not user):
        raise ValueError(f"{_SHAPE} whose parts can be told apart; {_ESCAPE}")
    _check_hosts(hosts.split(","), is_srv=scheme == "mongodb+srv")
    options = _options_in(query)
    _check_options(options)
    _check_whole(f"mongodb://{authority}/", options, is_srv=scheme == "mongodb+srv")
    database = unquote_plus(path)
    if database and not is_database_name(database):
        raise ValueError(f"in its path {EXPECTED_DATABASE_NAME}; {_ESCAPE}")
    return MongodbUri(database, tuple(name for name, _ in options))


def options_named_in(message: str, names: Sequence[str]) -> str:
    """Return which of an address's options a message of the driver's is about: those that it names, else any."""
    words = {word.lower() for word in re.findall(r"\w+", message)}
    named = [name for name in names if name.lower() in words] or names
    return f"option{'s' if len(named) > 1 else ''} {', '.join(named)}: " if named else ""


def _check_hosts(hosts: list[str], *, is_srv: bool) -> None:
    if is_srv and (len(hosts) != 1 or ":" in hosts[0]):
        raise ValueError("expected mongodb+srv:// with one host and no port")
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ValueError(f"{_SHAPE}, found a host that is none, or a port that is no number; {_ESCAPE}")


def _options_in(query: str) -> list[tuple[str, str]]:
    """Return the options in order; raise ValueError where they are not ``name=value`` and so on."""
    options: list[tuple[str, str]] = []
    for number, text in enumerate(re.split("[&;]", query) if query else [], start=1):
        name, _, value = text.partition("=")
        if not value or "=" in value or not _OPTION.fullmatch(name):
            shown = f"option {name}" if name.lower() in URI_OPTIONS_VALIDATOR_MAP else f"option {number}"
            raise ValueError(f"{shown}: expected name=value; {_ESCAPE}")
        options.append((name, value))
    return options


def _check_options(options: list[tuple[str, str]]) -> None:
    """Raise ValueError at the first option that the driver does not know or whose value it does not take."""
    seen: set[str] = set()
    for number, (name, value) in enumerate(options, start=1):
        lower = name.lower()
        judge = URI_OPTIONS_VALIDATOR_MAP.get(lower)
        if judge is None:
            shown = f"option {name}" if seen.isdisjoint(_SECRET_OPTIONS) else f"option {number}"
            raise ValueError(f"{shown}: the driver knows none of this name{nearest(name, _names())}")
        if lower in seen and lower != "readpreferencetags":
            raise ValueError(f"option {name}: expected once, found twice")
        seen.add(lower)
        if lower not in _ONLY_SRV and not _is_taken(name, value):
            expected = _EXPECTED.get(getattr(judge, "__name__", ""), "a value that the MongoDB driver takes")
            raise ValueError(f"option {name}: expected {expected}")


def _is_taken(name: str, value: str) -> bool:
    """Return whether the driver takes the option, looked at alone."""
    if name.lower() == "compressors" and not _COMPRESSORS.issuperset(unquote_plus(value).split(",")):
        return False
    try:
        _parse(f"mongodb://localhost/?{name}={value}")
    except _REFUSALS:
        return False
    return True


def _check_whole(address: str, options: list[tuple[str, str]], *, is_srv: bool) -> None:
    """Raise ValueError if the driver does not take the parts together; names in DNS are left for when it connects."""
    kept = "&".join(f"{name}={value}" for name, value in options if not is_srv or name.lower() not in _ONLY_SRV)
    try:
        parts = _parse(f"{address}?{kept}" if kept else address)
    except _REFUSALS as error:
        named = options_named_in(str(error), [name for name, _ in options])
        raise ValueError(f"{named}{_SHAPE} that the MongoDB driver takes as a whole; {_ESCAPE}") from None
    mechanism = next((value for name, value in options if name.lower() == "authmechanism"), _BY_SASLPREP)
    if mechanism == _BY_SASLPREP and parts["password"] and not _is_password(parts["password"]):
        raise ValueError(_PASSWORD)


def _is_password(password: str) -> bool:
    """Return whether the driver can log in with a password: it finds out only then, and raises what it cannot mean."""
    try:
        saslprep(password)
    except ValueError:
        return False
    return True


def _parse(uri: str) -> Mapping[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warnings repeat values; the checks here cover their causes
        return parse_uri(uri, warn=False)


def _names() -> list[str]:
    return sorted(URI_OPTIONS_VALIDATOR_MAP)

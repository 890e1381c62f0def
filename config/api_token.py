"""Tokens of the HTTP API: each has a name, is kept as a hash, and may read, or read and write."""

from enum import StrEnum
from hashlib import sha256

from pydantic import BaseModel, ConfigDict, Field


class TokenScope(StrEnum):
    """The rights of a token."""

    READ = "read"
    WRITE = "write"  # reading too


class ApiToken(BaseModel):
    """One entry of ``REFLEXD_API_TOKENS``; ``reflexd token`` makes them."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(min_length=1, max_length=100, description="Whose token this is: the audit log names it.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the token, in hexadecimal.")
    scope: TokenScope = Field(TokenScope.READ, description="read or write.")


def hash_of(token: str) -> str:
    """Return the form in which a token is kept: tokens are long and random, so a plain hash is enough."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()

"""Sessions of the dashboard: signed cookies that stand for a token. MongoDB stores only ended sessions.

Each session has a name of its own, so that logging out ends it on all replicas. The key is made of the secret in
workflow_state and the hashes of all tokens, so that neither a reader of the database nor a reader of the settings can
forge a cookie, and every change of the tokens ends every session.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Final, Protocol

from itsdangerous import BadSignature, URLSafeTimedSerializer

from config.api_token import ApiToken, hash_of

COOKIE: Final = "reflexd_session"
LASTS_S: Final = 12 * 3600
_SALT: Final = "reflexd dashboard"
_MARK: Final = 16  # characters of a token's hash that name it in the cookie


class Ended(Protocol):
    """The sessions that were ended before their time, on any replica."""

    async def add(self, name: str, lasts_s: int) -> None:
        """Note that a session has ended; the note may expire after ``lasts_s`` seconds."""

    async def has(self, name: str) -> bool:
        """Return whether a session has ended."""


class Sessions:
    """Issues and reads cookies, and ends sessions."""

    def __init__(self, tokens: Sequence[ApiToken], secret: Callable[[], Awaitable[bytes]], ended: Ended) -> None:
        self._tokens = tuple(tokens)
        self._secret = secret
        self._ended = ended
        self._serializer: URLSafeTimedSerializer | None = None

    @property
    def are_needed(self) -> bool:
        """Whether anybody has to log in at all."""
        return bool(self._tokens)

    async def open(self, given: str) -> str | None:
        """Return the cookie for a token as a person typed it, None where it is none. All are compared."""
        digest, found = hash_of(given), None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return None if found is None else (await self._signer()).dumps([found.sha256[:_MARK], secrets.token_hex(16)])

    async def token_of(self, cookie: str) -> ApiToken | None:
        """Return the token that a cookie stands for, None where it is forged, too old, or of a token that is gone."""
        read = await self._read(cookie)
        if read is None or await self._ended.has(read[1]):
            return None
        return next((token for token in self._tokens if token.sha256[:_MARK] == read[0]), None)

    async def close(self, cookie: str) -> None:
        """End the session of a cookie, everywhere."""
        if await self.token_of(cookie) is not None and (read := await self._read(cookie)) is not None:
            await self._ended.add(read[1], LASTS_S)

    async def _read(self, cookie: str) -> tuple[str, str] | None:
        """Return the mark of the token and the session's name, None where a cookie is forged or too old."""
        if not self._tokens or not cookie:
            return None
        try:
            mark, name = (await self._signer()).loads(cookie, max_age=LASTS_S)
        except (BadSignature, ValueError):  # ValueError: of a version that named no session
            return None
        return str(mark), str(name)

    async def _signer(self) -> URLSafeTimedSerializer:
        if self._serializer is None:
            key = hmac.new(await self._secret(), digestmod=sha256)
            for token in sorted(self._tokens, key=lambda each: each.sha256):
                key.update(f"{token.sha256} {token.scope}\n".encode())
            digest = {"digest_method": sha256}
            self._serializer = URLSafeTimedSerializer(key.digest(), salt=_SALT, signer_kwargs=digest)
        return self._serializer

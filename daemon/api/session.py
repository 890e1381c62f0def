"""Signed cookies that stand for a token in a browser: who logged in, until when. Nothing is stored for them.

The key is made of the secret in workflow_state and the hashes of all tokens, so that neither a reader of the database
nor a reader of the settings can forge a cookie, and every change of the tokens ends every session.
"""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Final

from itsdangerous import BadSignature, URLSafeTimedSerializer

from config.api_token import ApiToken, hash_of

COOKIE: Final = "reflexd_session"
LASTS_S: Final = 12 * 3600
_SALT: Final = "reflexd dashboard"
_MARK: Final = 16  # characters of a token's hash that name it in the cookie


class Sessions:
    """Issues and reads cookies."""

    def __init__(self, tokens: Sequence[ApiToken], secret: Callable[[], Awaitable[bytes]]) -> None:
        self._tokens = tuple(tokens)
        self._secret = secret
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
        return None if found is None else (await self._signer()).dumps(found.sha256[:_MARK])

    async def token_of(self, cookie: str) -> ApiToken | None:
        """Return the token that a cookie stands for, None where it is forged, too old, or of a token that is gone."""
        if not self._tokens or not cookie:
            return None
        try:
            mark = (await self._signer()).loads(cookie, max_age=LASTS_S)
        except BadSignature:
            return None
        return next((token for token in self._tokens if token.sha256[:_MARK] == mark), None)

    async def _signer(self) -> URLSafeTimedSerializer:
        if self._serializer is None:
            key = hmac.new(await self._secret(), digestmod=sha256)
            for token in sorted(self._tokens, key=lambda each: each.sha256):
                key.update(f"{token.sha256} {token.scope}\n".encode())
            digest = {"digest_method": sha256}
            self._serializer = URLSafeTimedSerializer(key.digest(), salt=_SALT, signer_kwargs=digest)
        return self._serializer

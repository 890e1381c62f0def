"""Send a message in one conversation with the mail server, and tell whether the server took it.

The server answers for a message after the line with a single dot. Until that line is sent, nothing has happened and the
step may be tried again. From then until the answer, the fate of the message is unknown. The QUIT afterwards changes
nothing (FAILURES, row SMTP).
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final, cast

import aiosmtplib
from aiosmtplib import (
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPResponse,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from actions.mail_answer import told_of
from actions.mail_header import written_address
from actions.message import Message
from actions.sender import Sender
from config.error import PermanentActionError, ReflexdError, TransientActionError
from config.settings import SmtpSecurity

_QUIT_S: Final = 1.0
_LOOK_S: Final = 0.02
_GO_ON: Final = 354
_NOT_AVAILABLE: Final = 421  # RFC 5321, section 3.8: about the server, not the message; too many connections, a restart
_AWAY: Final = timedelta(minutes=1)
_FAILURES: Final = (SMTPException, OSError, ValueError, RuntimeError)  # the errors that the client raises
_Hook = Callable[[], None]


class MailInDoubt(ReflexdError):
    """The connection ended after the message and before the answer: whether the server delivers it is unknown."""


class _Phase(StrEnum):
    """The phase of a conversation."""

    BEFORE = "before"  # the server has no message yet
    LOGIN = "login"  # the same, and the server's answers may hold the password
    IN_DOUBT = "in doubt"  # the last line is sent, the answer to it is not here
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class MailSettings:
    """The mail server. ``timeout_s`` is for a whole conversation; ``security`` is never lowered."""

    host: str
    sender: Sender
    port: int = 587
    security: SmtpSecurity = SmtpSecurity.STARTTLS
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_s: float = 20.0


class Mailer:
    """Sends messages. Every call opens a connection of its own and closes it."""

    def __init__(self, settings: MailSettings, tls: ssl.SSLContext | None = None) -> None:
        """Keep the settings. ``tls`` replaces the system's certificates, for a server with certificates of its own."""
        self.sender = settings.sender
        self.host = settings.host
        self._settings = settings
        self._tls = tls

    async def send(
        self, message: Message, mailbox: str, *, deadline: float | None, on_doubt: _Hook, on_taken: _Hook
    ) -> None:
        """Return once the server has taken over ``message`` for ``mailbox``.

        ``on_doubt`` is called right before the line that ends the message is sent, ``on_taken`` once the server has
        taken the message: by them the caller knows the meaning of a cancellation. The conversation ends at
        ``deadline``, an instant of ``time.monotonic()``, at the latest.

        Raises TransientActionError (not taken over, a later attempt may succeed), PermanentActionError (no attempt
        will) or MailInDoubt. No message of an error carries the password.
        """
        conversation = _Conversation(self._client(await self._context()), on_doubt)
        problem: ReflexdError | None = None
        try:
            async with asyncio.timeout(self._time_left(deadline)):
                await conversation.hold(self._settings, mailbox, message)
                on_taken()
            await conversation.quit()
        except _FAILURES as error:
            problem = self._judged(error, conversation.phase)
        finally:
            conversation.end()
        if problem is not None:
            raise problem  # outside of the handler: a cause may carry the conversation, the password too

    def _time_left(self, deadline: float | None) -> float:
        longest = self._settings.timeout_s
        return longest if deadline is None else min(longest, deadline - time.monotonic())

    async def _context(self) -> ssl.SSLContext | None:
        if self._settings.security is SmtpSecurity.NONE:
            return None
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)  # reads files
        return self._tls

    def _client(self, tls: ssl.SSLContext | None) -> aiosmtplib.SMTP:
        settings = self._settings
        return aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            local_hostname=settings.sender.domain,  # the default asks the DNS, which may take long
            timeout=None,  # the mailer has its own; a wait with one may swallow a cancellation (Python 3.11)
            use_tls=settings.security is SmtpSecurity.TLS,
            start_tls=settings.security is SmtpSecurity.STARTTLS,
            tls_context=tls,
        )

    def _judged(self, error: Exception, phase: _Phase) -> ReflexdError:
        """Return the error that says what happens next."""
        said = told_of(error, self._settings.password, is_login=phase is _Phase.LOGIN)
        where = f"mail server {self._settings.host}:{self._settings.port}"
        if isinstance(error, SMTPResponseException) and 400 <= error.code < 600:
            problem = f"{where} {said}"
            if error.code >= 500:
                return PermanentActionError(problem)
            return TransientActionError(problem, _AWAY if error.code == _NOT_AVAILABLE else None)
        if phase is _Phase.IN_DOUBT:
            return MailInDoubt(f"{where} took the message and did not answer for it: {said}")
        if _is_permanent(error):
            return PermanentActionError(f"{where}: {said}")
        return TransientActionError(f"{where}: {said}")


class _Conversation:
    """The commands of one message, in their order."""

    def __init__(self, client: aiosmtplib.SMTP, on_doubt: _Hook) -> None:
        self._client = client
        self._on_doubt = on_doubt
        self.phase = _Phase.BEFORE

    async def hold(self, settings: MailSettings, mailbox: str, message: Message) -> None:
        """Connect, log in, and hand the message over."""
        client, sender = self._client, settings.sender.mailbox
        await client.connect()
        if settings.username is not None:
            self.phase = _Phase.LOGIN
            await client.login(settings.username, settings.password or "")
            self.phase = _Phase.BEFORE
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
        is_ascii = mailbox.isascii() and sender.isascii()
        if not is_ascii and not client.supports_extension("smtputf8"):
            raise SMTPNotSupported("it cannot take addresses with characters other than ASCII")
        options = [] if is_ascii else [b"SMTPUTF8", b"BODY=8BITMIME"]  # RFC 6531, section 3.1
        await self._ask(b"MAIL", f"FROM:<{written_address(sender)}>".encode(), *options)
        await self._ask(b"RCPT", f"TO:<{written_address(mailbox)}>".encode())
        begun = await client.execute_command(b"DATA")
        if begun.code != _GO_ON:
            raise SMTPDataError(begun.code, begun.message)
        answer = await self._hand_over(message.content)
        if not 200 <= answer.code < 300:
            raise SMTPDataError(answer.code, answer.message)
        self.phase = _Phase.ANSWERED

    async def _ask(self, *command: bytes) -> None:
        answer = await self._client.execute_command(*command)
        if not 200 <= answer.code < 300:
            raise SMTPResponseException(answer.code, answer.message)

    async def _hand_over(self, content: bytes) -> SMTPResponse:
        """Send the lines of a message, the one that ends it only after the others have left, and return the answer."""
        protocol = self._client.protocol
        transport = cast(asyncio.WriteTransport, self._client.transport)  # uvloop's are of a class of their own
        if protocol is None:
            raise SMTPServerDisconnected("Connection lost")
        protocol.write(content.replace(b"\r\n.", b"\r\n.."))
        answering = asyncio.ensure_future(protocol.read_response())  # a server may refuse in the middle of a message
        try:
            await asyncio.sleep(0)
            while transport.get_write_buffer_size() > 0 and not answering.done():
                await asyncio.wait([answering], timeout=_LOOK_S)
            if answering.done():
                early = answering.result()
                raise SMTPDataError(early.code, early.message)
            self.phase = _Phase.IN_DOUBT
            self._on_doubt()
            protocol.write(b".\r\n")
            return await answering
        finally:
            answering.cancel()

    async def quit(self) -> None:
        """Quit; the outcome no longer depends on it."""
        with suppress(*_FAILURES):
            async with asyncio.timeout(_QUIT_S):
                await self._client.quit()

    def end(self) -> None:
        """Close the connection, without waiting for a server that does not read."""
        abort = getattr(self._client.transport, "abort", None)
        if abort is not None:
            abort()
        self._client.close()


def _is_permanent(error: Exception) -> bool:
    """Return whether another attempt would fail too: the server lacks a feature, or its certificate is wrong."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__
    # aiosmtplib raises plain errors where STARTTLS or a way to log in is missing.
    return (
        type(error) is SMTPException or isinstance(error, SMTPNotSupported | UnicodeError) or type(error) is ValueError
    )

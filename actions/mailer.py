"""One conversation with the mail server per message, and what is known of the message afterwards.

The server answers for a message only after its last line. Until that line is being sent nothing has happened and
the step may be tried again; from then until the answer nobody can know (FAILURES, row SMTP).
"""

import asyncio
import ssl
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from typing import Final

import aiosmtplib
from aiosmtplib import SMTPException, SMTPNotSupported, SMTPResponseException

from actions.sender import Sender
from config.error import PermanentActionError, ReflexdError, TransientActionError
from config.settings import SmtpSecurity

_GOODBYE_S: Final = 1.0
_SHOWN_CHARACTERS: Final = 300


class MailInDoubt(ReflexdError):
    """The server went away after the message and before its answer: nobody knows whether it will deliver."""


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
        self._settings = settings
        self._tls = tls

    async def send(self, message: EmailMessage, mailbox: str) -> None:
        """Return once the server has taken over ``message`` for ``mailbox``.

        Raises TransientActionError (not taken over, may be later), PermanentActionError (never will be) or
        MailInDoubt. No message of an error carries the password.
        """
        conversation = _Conversation(self._client(await self._context()))
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await conversation.hold(self.sender.mailbox, mailbox, message)
            await conversation.say_goodbye()
        except (SMTPException, OSError, ValueError) as error:
            raise self._judged(error, conversation) from None  # the cause may carry what was said, the password too
        finally:
            conversation.end()

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
            username=settings.username,
            password=settings.password,
            local_hostname=settings.sender.domain,  # the default asks the DNS, which may take long
            timeout=settings.timeout_s,
            use_tls=settings.security is SmtpSecurity.TLS,
            start_tls=settings.security is SmtpSecurity.STARTTLS,
            tls_context=tls,
        )

    def _judged(self, error: Exception, conversation: "_Conversation") -> ReflexdError:
        """Return the error that says what happens next."""
        said = self._without_secrets(_said(error))
        where = f"mail server {self._settings.host}:{self._settings.port}"
        if isinstance(error, SMTPResponseException) and 400 <= error.code < 600:
            problem = f"{where} answered {error.code} {said}"
            return TransientActionError(problem) if error.code < 500 else PermanentActionError(problem)
        if conversation.is_in_doubt:
            return MailInDoubt(f"{where} took the message and did not answer for it: {said}")
        if _is_permanent(error):
            return PermanentActionError(f"{where}: {said}")
        return TransientActionError(f"{where}: {said}")

    def _without_secrets(self, text: str) -> str:
        password = self._settings.password
        if password:
            user = self._settings.username or ""
            login = b64encode(f"\0{user}\0{password}".encode()).decode()
            for secret in (login, b64encode(password.encode()).decode(), password):
                text = text.replace(secret, "***")
        return text[:_SHOWN_CHARACTERS]


class _Conversation:
    """The commands of one message, in their order."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self._client = client
        self.is_in_doubt = False

    async def hold(self, sender: str, mailbox: str, message: EmailMessage) -> None:
        """Connect, log in, and hand the message over."""
        client = self._client
        await client.connect()
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
        is_ascii = mailbox.isascii() and sender.isascii()
        if not is_ascii and not client.supports_extension("smtputf8"):
            raise SMTPNotSupported("it cannot take addresses with characters other than ASCII")
        options = [] if is_ascii else ["SMTPUTF8"]
        encoding = "ascii" if is_ascii else "utf-8"
        content = message.as_bytes(policy=SMTP if is_ascii else SMTPUTF8)
        await client.mail(sender, options=options, encoding=encoding)
        await client.rcpt(mailbox, encoding=encoding)
        self.is_in_doubt = True
        await client.data(content)
        self.is_in_doubt = False

    async def say_goodbye(self) -> None:
        """Quit; nothing depends on it any more."""
        with suppress(SMTPException, OSError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._client.quit()

    def end(self) -> None:
        """Let go of the connection, without waiting for a server that does not read."""
        abort = getattr(self._client.transport, "abort", None)
        if abort is not None:
            abort()
        self._client.close()


def _said(error: Exception) -> str:
    """Return what an error says, on one line."""
    said = error.message if isinstance(error, SMTPException) else str(error)
    if isinstance(error, TimeoutError):
        said = "no answer in time"
    return " ".join("".join(character if character.isprintable() else " " for character in str(said)).split())


def _is_permanent(error: Exception) -> bool:
    """Return whether trying again would meet the same: the server lacks what is asked for, or is not who it says."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__
    # Of aiosmtplib's errors the plain ones are raised where STARTTLS or a way to log in is missing.
    return (
        type(error) is SMTPException or isinstance(error, SMTPNotSupported | UnicodeError) or type(error) is ValueError
    )

"""Mail servers on loopback that behave as the test asks: real conversations, on the test's own event loop."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from actions.mailer import Mailer, MailSettings
from actions.rendering import Renderer
from actions.sender import parse_sender
from actions.services import Services
from actions.template import TemplateFiles, Templates
from config.settings import SmtpSecurity

SHIPPED = TemplateFiles(Path(__file__).parents[2] / "config" / "templates")
RENDERER = Renderer()  # one process for all: who uses it stops it when a module ends
CERTIFICATE = Path(__file__).with_name("smtp_certificate.pem")  # for localhost; of no use anywhere else


@dataclass
class Behaviour:
    """How a server behaves; ``data`` is its answer to a message, ``drop`` to go away, ``hang`` to say nothing."""

    recipient: str = "250 OK"
    data: str = "250 OK"
    password: str | None = None
    has_tls: bool = False
    refuses_login_with: str | None = None


@dataclass
class MailServer:
    """A running server and the messages it took, answered for or not."""

    behaviour: Behaviour
    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    wires: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    connections: int = 0
    passwords: list[str] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.behaviour.recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.behaviour.recipient

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.wires.append(envelope.content)
        self.recipients.extend(envelope.rcpt_tos)
        if self.behaviour.data == "drop":
            cast(asyncio.WriteTransport, server.transport).abort()  # uvloop's are of a class of their own
        if self.behaviour.data in ("drop", "hang"):
            await asyncio.Event().wait()  # until the connection is lost
        return self.behaviour.data

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any
    ) -> AuthResult:
        password = login.password.decode()
        self.passwords.append(password)
        if self.behaviour.refuses_login_with is not None:
            message = self.behaviour.refuses_login_with.format(password=password)
            return AuthResult(success=False, handled=False, message=message)
        return AuthResult(success=password == self.behaviour.password, handled=False)


@asynccontextmanager
async def mail_server(behaviour: Behaviour | None = None) -> AsyncIterator[MailServer]:
    """Run a server on a free port of loopback."""
    server = MailServer(behaviour or Behaviour())
    tls = None
    if server.behaviour.has_tls:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(CERTIFICATE)

    def connected() -> SMTP:
        server.connections += 1
        return SMTP(
            server,
            hostname="mail.test",
            ident="test",
            tls_context=tls,
            enable_SMTPUTF8=True,
            authenticator=server.authenticate if server.behaviour.password else None,
            auth_require_tls=False,
        )

    async with _listening(connected) as server.port:
        yield server


PHASES = ("greeting", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "message", "QUIT")


@dataclass
class ScriptedServer:
    """A server that takes everything up to a phase, where it does what ``how`` says.

    ``drop`` goes away without an answer, ``stall`` says nothing more; anything else is its answer. ``reached`` is set
    when it is there, ``messages`` holds what came before a line with nothing but a dot.
    """

    phase: str
    how: str
    port: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def scripted_server(phase: str, how: str) -> AsyncIterator[ScriptedServer]:
    """Run such a server on a free port of loopback; it never speaks TLS."""
    assert phase in PHASES
    server = ScriptedServer(phase, how)
    async with _listening(lambda: _Scripted(server)) as server.port:
        yield server


class _Scripted(asyncio.Protocol):
    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self._gathered = b""
        self._is_message = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections += 1
        self._act("greeting", b"220 mail.test")

    def data_received(self, data: bytes) -> None:
        self._gathered += data
        end = b"\r\n.\r\n" if self._is_message else b"\r\n"
        while end in self._gathered:
            found, _, self._gathered = self._gathered.partition(end)
            if self._is_message:
                self._server.messages.append(found + b"\r\n")
                self._act("message", b"250 2.0.0 taken")
            else:
                self._obey(found.split()[0].decode())
            end = b"\r\n.\r\n" if self._is_message else b"\r\n"

    def _obey(self, command: str) -> None:
        answers = {
            "EHLO": b"250-mail.test\r\n250-AUTH PLAIN\r\n250 STARTTLS",
            "AUTH": b"235 2.7.0 welcome",
            "DATA": b"354 go on",
            "QUIT": b"221 bye",
        }
        self._act(command, answers.get(command, b"250 OK"))
        self._is_message = command == "DATA"

    def _act(self, phase: str, answer: bytes) -> None:
        self._is_message = False
        if phase == self._server.phase:
            self._server.reached.set()
            if self._server.how == "drop":
                self._transport.abort()
            elif self._server.how != "stall":
                self._transport.write(self._server.how.encode() + b"\r\n")
        else:
            self._transport.write(answer + b"\r\n")


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Listen on a free port of loopback and never say a word."""
    async with _listening(_Silent) as port:
        yield port


class _Silent(asyncio.Protocol):
    pass


@asynccontextmanager
async def _listening(factory: Callable[[], asyncio.BaseProtocol]) -> AsyncIterator[int]:
    open_transports: list[asyncio.BaseTransport] = []

    def remembered() -> asyncio.BaseProtocol:
        protocol = factory()
        made = protocol.connection_made

        def connection_made(transport: asyncio.BaseTransport) -> None:
            open_transports.append(transport)
            made(transport)

        protocol.connection_made = connection_made  # type: ignore[method-assign]
        return protocol

    listener = await asyncio.get_running_loop().create_server(remembered, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for transport in open_transports:
            transport.close()
        await listener.wait_closed()


def services_for(port: int, tls: ssl.SSLContext | None = None, *, stores: Any = None, **settings: Any) -> Services:
    """Return what send_email needs, with a mail server on this port; ``settings`` are those of MailSettings."""
    options = {"host": "localhost", "security": SmtpSecurity.NONE, "timeout_s": 10.0, **settings}
    mailer = Mailer(MailSettings(sender=parse_sender("CRM <crm@example.com>"), port=port, **options), tls)
    return Services(mailer=mailer, templates=Templates(stores or [SHIPPED]), renderer=RENDERER)


def trusting_context() -> ssl.SSLContext:
    """Return a context that trusts the certificate of these servers, and only that."""
    return ssl.create_default_context(cafile=str(CERTIFICATE))

"""An e-mail that is cut off, by its server, its deadline or a stop: uncertain only where nobody can know."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from actions.context import Context
from actions.message import Message
from actions.outcome import Done, Fail, Outcome, Postpone, Retry, Uncertain
from actions.template import Template
from config.settings import SmtpSecurity
from daemon.executions.attempt import Attempt, context_of, cut_off, perform
from tests.support.jobs import NOW, job_of, workflow_of
from tests.support.mail_reader import read_mail
from tests.support.smtp import PHASES, RENDERER, scripted_server, services_for
from tests.unit.actions.factory import LEAD

MEANING: dict[str, type] = {"message": Uncertain, "QUIT": Done}  # in all other phases nothing was sent

in_every_phase = pytest.mark.parametrize("phase", PHASES)


@pytest.fixture(scope="module", autouse=True)
async def _stopped() -> AsyncIterator[None]:
    yield
    await RENDERER.stop()


class Store:
    """Holds one template, of one text."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def find(self, name: str, language: str | None) -> Template:
        return Template(name, "Hello", self.text)


def attempt_of() -> Attempt:
    workflow = workflow_of({"type": "send_email", "template": "hello"})
    job = job_of(workflow, status="running", attempt=1)
    return Attempt(job, job, workflow, workflow.program.steps[0], 1, NOW)


def context_at(port: int, attempt: Attempt, text: str = "Hello", phase: str = "") -> Context:
    security = SmtpSecurity.STARTTLS if phase == "STARTTLS" else SmtpSecurity.NONE
    services = services_for(port, username="crm", password="secret", security=security, stores=[Store(text)])
    return context_of(attempt, LEAD, NOW, services)


async def outcome_of(port: int, text: str = "Hello", phase: str = "") -> Outcome:
    """Return how an attempt at a step ends, as the executor runs it."""
    attempt = attempt_of()
    return await perform(attempt, context_at(port, attempt, text, phase))


@pytest.fixture
def deadlines(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.Timeout]:
    """Every deadline that is set from now on, so that a test can have it pass; the first is that of the step."""
    made: list[asyncio.Timeout] = []
    original = asyncio.timeout

    def remembered(delay: float | None) -> asyncio.Timeout:
        made.append(original(delay))
        return made[-1]

    monkeypatch.setattr(asyncio, "timeout", remembered)
    return made


def pass_by(deadline: asyncio.Timeout) -> None:
    deadline.reschedule(asyncio.get_running_loop().time())


@asynccontextmanager
async def deaf_server(reached: asyncio.Event) -> AsyncIterator[int]:
    """Run a server that sets ``reached`` when it asks for a message, and reads none of it."""

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test\r\n")
        for answer in (b"250-mail.test\r\n250 AUTH PLAIN", b"235 OK", b"250 OK", b"250 OK", b"354 go on"):
            await reader.readline()
            writer.write(answer + b"\r\n")
        reached.set()
        await gone.wait()
        writer.transport.abort()

    gone = asyncio.Event()
    async with await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1_000) as server:
        yield server.sockets[0].getsockname()[1]
        gone.set()


@in_every_phase
async def test_server_that_goes_away_leaves_doubt_only_after_the_last_line(phase: str) -> None:
    async with scripted_server(phase, "drop") as server:
        outcome = await outcome_of(server.port, phase=phase)

    assert isinstance(outcome, MEANING.get(phase, Retry))
    assert len(server.messages) == (phase in MEANING)


@in_every_phase
async def test_deadline_of_the_step_leaves_doubt_only_after_the_last_line(
    phase: str, deadlines: list[asyncio.Timeout]
) -> None:
    async with scripted_server(phase, "stall") as server:
        performing = asyncio.create_task(outcome_of(server.port, phase=phase))
        await server.reached.wait()
        pass_by(deadlines[0])
        outcome = await performing

    assert isinstance(outcome, MEANING.get(phase, Retry))
    if isinstance(outcome, Retry | Uncertain):
        told = {Retry: "its effect had not begun", Uncertain: "it may have taken effect"}
        assert outcome.error == f"no end within 30 s: {told[type(outcome)]}"


@in_every_phase
async def test_stop_leaves_doubt_only_after_the_last_line(phase: str) -> None:
    attempt = attempt_of()
    async with scripted_server(phase, "stall") as server:
        context = context_at(server.port, attempt, phase=phase)
        performing = asyncio.create_task(perform(attempt, context))
        await server.reached.wait()
        performing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await performing

    assert isinstance(cut_off(attempt, context, "stopped"), MEANING.get(phase, Retry))


@pytest.mark.parametrize(
    ("phase", "answer", "meaning"),
    [("DATA", "250 OK", Retry), ("message", "251 OK", Done), ("message", "354 more", Uncertain),
     ("message", "xyz", Uncertain), ("message", "421 closing", Postpone), ("message", "554 no", Fail),
     ("QUIT", "500 what", Done), ("QUIT", "xyz", Done)],
)  # fmt: skip
async def test_odd_answer_means_what_it_says_of_the_message(phase: str, answer: str, meaning: type) -> None:
    async with scripted_server(phase, answer) as server:
        assert isinstance(await outcome_of(server.port), meaning)


async def test_message_that_did_not_leave_whole_was_not_sent() -> None:
    reached, in_doubt = asyncio.Event(), asyncio.Event()
    async with deaf_server(reached) as port:
        mailer = services_for(port, username="crm", password="secret").mailer
        assert mailer is not None
        long = Message(b"x" * 70 + b"\r\n" * 9_000_000, "<1@example.com>")  # more than buffers hold on the way
        sending = asyncio.create_task(
            mailer.send(long, "ana@example.com", deadline=None, on_doubt=in_doubt.set, on_taken=in_doubt.set)
        )
        await reached.wait()
        await asyncio.wait([sending], timeout=0.1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    assert not in_doubt.is_set()


async def test_deadline_that_has_passed_sends_nothing() -> None:
    attempt = attempt_of()
    async with scripted_server("QUIT", "221 bye") as server:
        context = replace(context_at(server.port, attempt), deadline=time.monotonic() - 1)
        outcome = await perform(attempt, context)

    assert isinstance(outcome, Retry)
    assert server.messages == []


async def test_lines_of_dots_and_long_lines_arrive_as_they_are() -> None:
    text = ".\n..\nfrom\n.x\n" + "é" * 5_000 + "\n."

    async with scripted_server("QUIT", "221 bye") as server:
        outcome = await outcome_of(server.port, text)

    assert isinstance(outcome, Done)
    assert read_mail(server.messages[0].replace(b"\r\n..", b"\r\n.")).parts["text/plain"] == text + "\n"

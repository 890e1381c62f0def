"""Sending e-mails to real servers that accept, refuse, go away and say nothing."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from actions.outcome import Done, Fail, Outcome, Retry, Skip, Uncertain
from actions.registry import parse_action
from actions.services import Services
from actions.template import Template, Templates
from config.error import PermanentActionError, TransientActionError
from config.settings import SmtpSecurity
from tests.support.mail_reader import read_mail
from tests.support.poll import REPEAT_S
from tests.support.smtp import (
    RENDERER,
    SHIPPED,
    Behaviour,
    MailServer,
    mail_server,
    scripted_server,
    services_for,
    silent_server,
    trusting_context,
)
from tests.unit.actions.factory import EXECUTION_ID, LEAD, NOW, a_context

PASSWORD = "correct-horse-battery"
NO_TIME = 0.3


@pytest.fixture(scope="module", autouse=True)
async def _stopped() -> AsyncIterator[None]:
    yield
    await RENDERER.stop()


async def send(services: Services, entity: Mapping[str, Any] = LEAD, node: str = "0", **parameters: Any) -> Outcome:
    action = parse_action("send_email", {"template": "welcome_email", **parameters}, "actions[0]")
    return await action.run(a_context(entity, node=node, services=services))


async def sent(entity: Mapping[str, Any] = LEAD, behaviour: Behaviour | None = None, **parameters: Any) -> MailServer:
    async with mail_server(behaviour) as server:
        assert isinstance(await send(services_for(server.port), entity, **parameters), Done)
    return server


def refusing(where: str, answer: str) -> Behaviour:
    return Behaviour(recipient=answer) if where == "recipient" else Behaviour(data=answer)


async def test_accepted_message_carries_the_template_and_comes_from_the_sender() -> None:
    async with mail_server() as server:
        outcome = await send(services_for(server.port), node="3")

    message_id = f"<{EXECUTION_ID}.3@example.com>"
    expected = {"to": "ana@example.com", "template": "welcome_email", "language": "en", "message_id": message_id}
    assert outcome == Done(expected)
    message = server.messages[0]
    assert server.recipients == ["ana@example.com"]
    assert (message["From"], message["To"]) == ("CRM <crm@example.com>", "ana@example.com")
    assert message["Subject"] == "Welcome, Ana Souza"
    assert message["Message-ID"] == message_id
    assert message["Date"].datetime == NOW
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "Hello Ana Souza," in text.get_content()
    assert "<p>Hello Ana Souza,</p>" in html.get_content()


@pytest.mark.parametrize("entity", [{"language": "pt-BR"}, {"locale": "pt_BR.UTF-8"}, {"language": "pt"}])
async def test_portuguese_speakers_are_welcomed_in_portuguese(entity: dict[str, str]) -> None:
    server = await sent({**LEAD, **entity, "name": "João"})

    assert server.messages[0]["Subject"] == "Boas-vindas, João"


async def test_a_language_without_a_template_gets_english() -> None:
    server = await sent({**LEAD, "language": "fi"})

    assert server.messages[0]["Subject"] == "Welcome, Ana Souza"


async def test_template_of_the_admin_comes_before_the_shipped_one() -> None:
    class Store:
        async def find(self, name: str, language: str | None) -> Template | None:
            return Template(name, "From the CRM", "Hi {{ lead.name }}") if language is None else None

    async with mail_server() as server:
        await send(services_for(server.port, stores=[Store(), SHIPPED]))

    assert server.messages[0]["Subject"] == "From the CRM"
    assert server.messages[0].get_content() == "Hi Ana Souza\r\n"


async def test_script_in_a_name_is_escaped() -> None:
    server = await sent({**LEAD, "name": "<script>alert(1)</script>"})

    html = server.messages[0].get_body(("html",))
    assert html is not None
    assert "&lt;script&gt;alert(1)" in html.get_content()
    assert "<script" not in html.get_content()


async def test_address_with_characters_other_than_ascii_is_served() -> None:
    server = await sent({**LEAD, "email": "josé@münchen.example"})

    assert server.recipients == ["josé@xn--mnchen-3ya.example"]


@pytest.mark.parametrize(
    "email",
    ["nobody", 5, ["ana@example.com"], "ana@example.com, all@example.com", "a..b@example.com",
     "ana@example.com\r\nBcc: all@example.com", "ana@example.com> SIZE=1 <x", "a" * 250 + "@example.com"],
)  # fmt: skip
async def test_entity_with_an_address_that_cannot_be_used_is_skipped_with_what_is_wrong(email: Any) -> None:
    async with mail_server() as server:
        outcome = await send(services_for(server.port), {**LEAD, "email": email})

    assert isinstance(outcome, Skip)
    assert outcome.reason == "invalid_email"
    assert outcome.detail is not None
    assert outcome.detail.startswith("expected ")
    assert server.connections == 0


@pytest.mark.parametrize("entity", [{}, {"email": None}, {"email": ""}, {"email": "\u00a0 \n"}])
async def test_entity_without_an_address_is_skipped(entity: dict[str, Any]) -> None:
    assert await send(services_for(1), entity) == Skip("no_email")


@pytest.mark.parametrize("email", ["ana@example.com\u00a0", "Ana <ana@example.com>", '"Souza, Ana" <ana@example.com>'])
async def test_blanks_and_a_name_around_an_address_are_taken_off(email: str) -> None:
    server = await sent({**LEAD, "email": email})

    assert server.recipients == ["ana@example.com"]
    assert read_mail(server.wires[0]).to == [("", "ana@example.com")]


async def test_address_may_be_in_another_field() -> None:
    server = await sent({"_id": 1, "contact": {"mail": "bo@example.com"}}, to_field="contact.mail")

    assert server.recipients == ["bo@example.com"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("x\r\nBcc: all@example.net", "x Bcc: all@example.net"),
        ("Ana\u2028\u3000Souza\n", "Ana  Souza"),
        ("=?utf-8?q?Hello?=", "=?utf-8?q?Hello?="),
        ("=?utf-8?q?Ana=0D=0ABcc=3A_all=40example.net?=", "=?utf-8?q?Ana=0D=0ABcc=3A_all=40example.net?="),
        ("=?utf-8?q?=0D=0A=0D=0ABody?=", "=?utf-8?q?=0D=0A=0D=0ABody?="),
        ("Ali\u200creza \U0001f469\u200d\U0001f680", "Ali\u200creza \U0001f469\u200d\U0001f680"),
        ("\u5c71\u7530\u3000\u592a\u90ce", "\u5c71\u7530 \u592a\u90ce"),
    ],
)
async def test_name_of_any_kind_is_shown_as_it_was_typed_and_is_no_header(name: str, shown: str) -> None:
    server = await sent({**LEAD, "name": name})

    mail = read_mail(server.wires[0])
    assert mail.subject == f"Welcome, {shown}"
    assert [field for field, _ in mail.fields] == [
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
    ]  # fmt: skip
    assert server.recipients == ["ana@example.com"]


@pytest.mark.parametrize(
    ("subject", "name"),
    [("Hello\n{{ lead.name }}", "Ana"), ("Hello\n{{ lead.name }}", "Ana\nSouza"), ("{{ lead.name }}", "Ana\x00")],
)
async def test_line_break_of_the_template_and_control_character_are_refused_before_anything_is_sent(
    subject: str, name: str
) -> None:
    class Store:
        async def find(self, name: str, language: str | None) -> Template | None:
            return Template(name, subject, "Hi")

    async with mail_server() as server:
        with pytest.raises(PermanentActionError, match="subject: expected "):
            await send(services_for(server.port, stores=[Store()]), {**LEAD, "name": name})

    assert server.connections == 0


async def test_address_that_means_to_be_several_is_one_mailbox() -> None:
    address = "=?utf-8?q?a=2C_all=40example.net?=@example.com"
    server = await sent({**LEAD, "email": address})

    assert server.recipients == [address]
    assert read_mail(server.wires[0]).to == [("", address)]


async def test_template_nobody_wrote_names_the_nearest() -> None:
    services = services_for(1)
    services = Services(mailer=services.mailer, templates=Templates([SHIPPED], ("welcome_email",)))

    with pytest.raises(PermanentActionError, match=r"'welcome_mail', found none \(did you mean 'welcome_email'\?\)"):
        await send(services, template="welcome_mail")


async def test_without_a_server_the_step_fails_and_says_what_to_set() -> None:
    outcome = await send(Services())

    assert isinstance(outcome, Fail)
    assert "REFLEXD_SMTP_HOST" in outcome.error


@pytest.mark.parametrize("where", ["recipient", "data"])
async def test_temporary_refusal_is_tried_again(where: str) -> None:
    async with mail_server(refusing(where, "451 4.7.1 Greylisted, come back later")) as server:
        with pytest.raises(TransientActionError, match=r"answered 451 4\.7\.1 Greylisted") as caught:
            await send(services_for(server.port))
    assert caught.value.retry_after is None


@pytest.mark.parametrize("where", ["recipient", "data"])
async def test_server_that_takes_no_more_for_now_is_asked_again_later(where: str) -> None:
    async with mail_server(refusing(where, "421 4.7.0 Too many connections")) as server:
        with pytest.raises(TransientActionError, match=r"answered 421 4\.7\.0 Too many") as caught:
            await send(services_for(server.port))
    assert caught.value.retry_after == timedelta(minutes=1)


@pytest.mark.parametrize("where", ["recipient", "data"])
async def test_final_refusal_fails_at_once(where: str) -> None:
    async with mail_server(refusing(where, "550 5.1.1 No such user")) as server:
        with pytest.raises(PermanentActionError, match=r"answered 550 5\.1\.1 No such user"):
            await send(services_for(server.port))


@pytest.mark.parametrize("data", ["drop", "hang"])
async def test_message_without_an_answer_is_uncertain_and_not_sent_again(data: str) -> None:
    async with mail_server(Behaviour(data=data)) as server:
        outcome = await send(services_for(server.port, timeout_s=2.0 if data == "drop" else NO_TIME))

    assert isinstance(outcome, Uncertain)
    assert len(server.messages) == 1


async def test_message_without_an_answer_is_sent_again_under_its_id_when_asked_for() -> None:
    behaviour = Behaviour(data="drop")
    async with mail_server(behaviour) as server:
        first = await send(services_for(server.port), delivery="at_least_once")
        behaviour.data = "250 OK"
        second = await send(services_for(server.port), delivery="at_least_once")

    assert isinstance(first, Retry)
    assert isinstance(second, Done)
    assert server.messages[0]["Message-ID"] == server.messages[1]["Message-ID"]


async def test_server_that_never_speaks_is_left_at_the_deadline() -> None:
    async with silent_server() as port, asyncio.timeout(REPEAT_S):
        with pytest.raises(TransientActionError, match="no answer in time"):
            await send(services_for(port, timeout_s=NO_TIME))


async def test_server_that_is_not_there_is_tried_again() -> None:
    async with silent_server() as port:
        pass
    with pytest.raises(TransientActionError, match="mail server localhost"):
        await send(services_for(port))


async def test_missing_starttls_is_never_a_reason_to_go_on_in_the_clear() -> None:
    async with mail_server() as server:
        with pytest.raises(PermanentActionError, match="STARTTLS"):
            await send(services_for(server.port, security=SmtpSecurity.STARTTLS))

    assert server.messages == []


async def test_password_is_not_sent_where_starttls_is_missing() -> None:
    async with mail_server(Behaviour(password=PASSWORD)) as server:
        login: dict[str, Any] = {"username": "crm", "password": PASSWORD}
        with pytest.raises(PermanentActionError, match="STARTTLS"):
            await send(services_for(server.port, security=SmtpSecurity.STARTTLS, **login))

    assert server.passwords == []


async def test_starttls_with_a_login_delivers() -> None:
    async with mail_server(Behaviour(has_tls=True, password=PASSWORD)) as server:
        settings: dict[str, Any] = {"security": SmtpSecurity.STARTTLS, "username": "crm", "password": PASSWORD}
        services = services_for(server.port, trusting_context(), **settings)
        assert isinstance(await send(services), Done)

    assert server.passwords == [PASSWORD]


async def test_certificate_nobody_vouches_for_fails_the_step() -> None:
    async with mail_server(Behaviour(has_tls=True)) as server:
        with pytest.raises(PermanentActionError, match="certificate"):
            await send(services_for(server.port, security=SmtpSecurity.STARTTLS))

    assert server.messages == []


SPELLINGS = (
    PASSWORD, PASSWORD.upper(), PASSWORD[::-1], " ".join(PASSWORD), "\u00a0".join(PASSWORD), PASSWORD.encode().hex(),
    PASSWORD[::-1].encode().hex(":"), b64encode(PASSWORD.encode()).decode(),
    b64encode(f"\0crm\0{PASSWORD}".encode()).decode(), b64encode(f"xx{PASSWORD}".encode()).decode(),
)  # fmt: skip


@pytest.mark.parametrize("spelled", [*SPELLINGS, "\u200b".join(PASSWORD), "rot13 cnffjbeq"])
async def test_nothing_but_numbers_is_told_of_the_answer_to_a_login(spelled: str) -> None:
    behaviour = Behaviour(password="another", refuses_login_with=f"535 5.7.8 bad credentials: {spelled}")
    async with mail_server(behaviour) as server:
        with pytest.raises(PermanentActionError) as caught:
            await send(services_for(server.port, username="crm", password=PASSWORD))

    assert str(caught.value) == f"mail server localhost:{server.port} answered 535 5.7.8"
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert PASSWORD not in repr(services_for(1, username="crm", password=PASSWORD))


@pytest.mark.parametrize("spelled", SPELLINGS)
@pytest.mark.parametrize("phase", ["greeting", "MAIL", "RCPT", "DATA", "message"])
async def test_other_answers_that_resemble_the_password_are_told_by_their_numbers(phase: str, spelled: str) -> None:
    async with scripted_server(phase, f"550 5.7.1 not for {spelled}") as server:
        with pytest.raises(PermanentActionError) as caught:
            await send(services_for(server.port, username="crm", password=PASSWORD))

    assert str(caught.value) == f"mail server localhost:{server.port} answered 550 5.7.1"


@pytest.mark.parametrize("how", ["334 Y29ycmVjdA==", "xyz correct-horse-battery", "250 correct-horse-battery", "drop"])
async def test_odd_answer_to_a_login_is_not_told(how: str) -> None:
    async with scripted_server("AUTH", how) as server:
        with pytest.raises(TransientActionError) as caught:
            await send(services_for(server.port, username="crm", password=PASSWORD))

    assert "correct" not in str(caught.value)
    assert "Y29y" not in str(caught.value)


async def test_login_that_is_refused_for_now_is_tried_again() -> None:
    behaviour = Behaviour(password="another", refuses_login_with="454 4.7.0 try later")
    async with mail_server(behaviour) as server:
        with pytest.raises(TransientActionError, match="answered 454"):
            await send(services_for(server.port, username="crm", password=PASSWORD))


async def test_cancelled_conversation_leaves_no_connection_behind() -> None:
    async with silent_server() as port:
        sending = asyncio.create_task(send(services_for(port)))
        done, _ = await asyncio.wait([sending], timeout=timedelta(milliseconds=100).total_seconds())
        assert not done
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

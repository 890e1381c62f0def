"""The action ``send_email``: sends one e-mail, made from a template, to the person that the entity is about."""

from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from actions.action import Action, Delivery, Reach
from actions.context import Context
from actions.email_address import EmailAddress, UnusableAddress, is_empty, read_email_address
from actions.mailer import Mailer, MailInDoubt
from actions.message import build_message
from actions.outcome import Done, Fail, Outcome, Retry, Skip, Uncertain
from actions.parameter import FieldPath
from actions.services import Services
from actions.template import Template, parse_language
from rules.identity import bson_bytes
from rules.path import value_at

NO_SERVER = "no mail server is configured: set REFLEXD_SMTP_HOST and REFLEXD_SMTP_FROM"


class SendEmail(Action):
    """Send ``template`` to the address in ``to_field``.

    The language is the entity's (``language``, else ``locale``). Templates see the entity as ``entity`` and under the
    name of its type, ``workflow.name`` and ``now``. A message in doubt makes the step uncertain, unless ``delivery`` is
    ``at_least_once``: then the message is sent again, under the same Message-ID. An entity without an address is
    skipped as ``no_email``, one with an address that cannot be used as ``invalid_email``, with the detail.
    """

    type: ClassVar[str] = "send_email"
    reach: ClassVar[Reach] = Reach.OUTSIDE
    tells_effect: ClassVar[bool] = True

    template: Annotated[str, Field(min_length=1, max_length=200)]
    to_field: FieldPath = "email"
    delivery_promise: Annotated[Literal["at_most_once", "at_least_once"], Field(alias="delivery")] = "at_most_once"

    @property
    def delivery(self) -> Delivery:
        """At most once, unless the workflow says otherwise."""
        return Delivery(self.delivery_promise)

    def uses(self, services: Services) -> tuple[tuple[str, str | None], ...]:
        """Return the limits on e-mails and on what is asked of the mail server."""
        return (("email", None), ("host", services.mailer.host if services.mailer is not None else None))

    async def run(self, context: Context) -> Outcome:
        """Send the e-mail; the result is ``{to, template, language, message_id}``."""
        found = value_at(context.entity, self.to_field)
        if is_empty(found):
            return Skip("no_email")
        try:
            to = read_email_address(found)
        except UnusableAddress as problem:
            return Skip("invalid_email", str(problem))
        mailer, templates = context.services.mailer, context.services.templates
        if mailer is None or templates is None:
            return Fail(NO_SERVER)
        language = _language_of(context)
        template = await templates.find(self.template, language)
        return await self._sent(context, mailer, to, template)

    async def _sent(self, context: Context, mailer: Mailer, to: EmailAddress, template: Template) -> Outcome:
        parts = await _rendered(context, template)
        message = build_message(
            mailer.sender, to, context.key, context.now,
            subject=parts["subject"], text=parts["text"], html=parts.get("html"),
        )  # fmt: skip
        result = {"to": to.text, "template": template.name, "language": template.language}
        done, effect = Done({**result, "message_id": message.message_id}), context.effect
        try:
            await mailer.send(
                message, to.mailbox,
                deadline=context.deadline, on_doubt=effect.begin, on_taken=partial(effect.settle, done),
            )  # fmt: skip
        except MailInDoubt as doubt:
            return Retry(str(doubt)) if self.delivery is Delivery.AT_LEAST_ONCE else Uncertain(str(doubt))
        return done


async def _rendered(context: Context, template: Template) -> dict[str, str]:
    """Return the rendered parts; a workflow's e-mails wait in a line of their own for it."""
    sources = {"subject": template.subject, "text": template.text}
    if template.html:
        sources["html"] = template.html
    return await context.services.renderer.render(sources, _values(context), line=bson_bytes(context.workflow_id))


def _language_of(context: Context) -> str | None:
    return parse_language(context.entity.get("language")) or parse_language(context.entity.get("locale"))


def _values(context: Context) -> dict[str, Any]:
    workflow = {"name": context.workflow_name}
    return {"entity": context.entity, context.entity_type: context.entity, "workflow": workflow, "now": context.now}

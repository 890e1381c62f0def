"""What every action in the registry promises, whatever it does."""

import copy
import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import bson
import pytest
from bson import Decimal128, Int64, ObjectId
from bson.codec_options import CodecOptions

from actions.action import Action, Delivery, Reach
from actions.context import Context
from actions.enricher import Enricher
from actions.mailer import Mailer, MailSettings
from actions.outcome import Done, EntityUpdate, Fail, Insert, Outcome, Retry, Skip, Uncertain
from actions.registry import ACTIONS, parse_action
from actions.scorecard import load_scorecard
from actions.sender import parse_sender
from actions.services import Services
from actions.template import Template, Templates
from config.error import PermanentActionError, TransientActionError, WorkflowError
from config.settings import SmtpSecurity
from tests.support.smtp import Behaviour, mail_server
from tests.unit.actions.factory import EXECUTION_ID, LEAD, a_context

SECRET = "s3cret-of-the-customer"
SMTP_PASSWORD = "s3cret-of-the-server"

# The parameters of one working step of every action.
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "create_task": {"title": "Call back", "priority": "urgent", "due_in": Int64(3600), "assignee": ObjectId(24 * "a")},
    "enrich_lead": {},
    "qualify_lead": {},
    "send_email": {"template": "hello"},
    "send_notification": {"message": "A lead came in"},
    "update_field": {"field": "notes.internal", "value": SECRET},
}

ENTITIES: Mapping[str, Mapping[str, Any]] = {
    "an ordinary one": LEAD,
    "an empty one": {},
    "one of wrong types": {"_id": {"a": 1}, "email": 5, "name": ["x"], "phone": {}, "language": 1, "country": []},
    "one of large values": {"_id": "x", "name": "n" * 1_000_000, "email": "e" * 1_000_000, "phone": "1" * 1_000_000},
    "one of odd values": {
        "_id": Decimal128("1"),
        "email": None,
        "name": "\0\r\n",
        "website": "http://[",
        "phone": "++",
    },
}

# What a working step of every action leaves behind: a document in a collection, fields of its entity, or nothing.
INSERTED_INTO: Mapping[str, str] = {"create_task": "tasks", "send_notification": "notifications"}
UPDATED: Mapping[str, set[str]] = {
    "enrich_lead": {"enrichment"},
    "qualify_lead": {"qualification"},
    "update_field": {"notes.internal"},
}
OUTSIDE = ("send_email",)

every_action = pytest.mark.parametrize("action_type", [action.type for action in ACTIONS])
every_entity = pytest.mark.parametrize("entity", ENTITIES.values(), ids=ENTITIES)


class Hello:
    """A store with a template for everybody."""

    async def find(self, name: str, language: str | None) -> Template | None:
        return Template(name, "Hello", "Hello {{ entity.name }}", "<p>{{ entity.name }}</p>")


def services_at(port: int) -> Services:
    settings = MailSettings(
        "localhost", parse_sender("crm@example.com"), port, SmtpSecurity.NONE, "crm", SMTP_PASSWORD, timeout_s=5.0
    )
    return Services(Mailer(settings), Templates([Hello()]), load_scorecard(), Enricher())


def an_action(action_type: str) -> Action:
    return parse_action(action_type, EXAMPLES[action_type], "actions[0]")


async def ended(action: Action, context: Context) -> Outcome:
    """Run an action as the executor does, for which these two errors are outcomes."""
    try:
        return await action.run(context)
    except TransientActionError as error:
        return Retry(str(error))
    except PermanentActionError as error:
        return Fail(str(error))


async def run(action_type: str, entity: Mapping[str, Any] = LEAD, **options: Any) -> Outcome:
    async with mail_server(Behaviour(password=SMTP_PASSWORD)) as server:
        return await ended(an_action(action_type), a_context(entity, services=services_at(server.port), **options))


def problem_of(action_type: str, parameters: Mapping[str, Any]) -> WorkflowError | None:
    try:
        parse_action(action_type, parameters, "actions[3]")
    except WorkflowError as error:
        return error
    return None


def inserts(outcome: Outcome) -> list[Insert]:
    return [write for write in outcome.writes if isinstance(write, Insert)] if isinstance(outcome, Done) else []


def test_e_mails_are_limited_as_such_and_by_their_server() -> None:
    assert an_action("send_email").uses(services_at(25)) == (("email", None), ("host", "localhost"))


def test_every_action_has_an_example_and_a_type_of_its_own() -> None:
    assert sorted(action.type for action in ACTIONS) == sorted(EXAMPLES)


@every_action
def test_unknown_parameter_is_refused_with_its_path(action_type: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        parse_action(action_type, {**EXAMPLES[action_type], "no_such_parameter": 1}, "actions[3]")

    assert caught.value.path == "actions[3].no_such_parameter"


@every_action
@pytest.mark.parametrize(
    "value", [None, 1.5, [], {"$gt": ""}, ObjectId(24 * "a"), "\0", "x" * 100_000, Decimal128("NaN")], ids=repr
)
def test_parameter_of_any_shape_is_taken_or_refused_with_its_path(action_type: str, value: Any) -> None:
    for parameter, field in type(an_action(action_type)).model_fields.items():
        name = field.alias or parameter
        problem = problem_of(action_type, {**EXAMPLES[action_type], name: value})
        assert problem is None or problem.path.startswith(f"actions[3].{name}")
        assert len(str(problem)) < 500


@every_action
def test_parameters_are_read_as_mongodb_returns_them(action_type: str) -> None:
    options: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
    stored = bson.decode(bson.encode(EXAMPLES[action_type]), options)

    assert parse_action(action_type, stored, "actions[0]") == an_action(action_type)


@every_action
def test_action_cannot_be_changed_once_it_is_read(action_type: str) -> None:
    action = an_action(action_type)

    for parameter in type(action).model_fields:
        with pytest.raises(ValueError, match="frozen"):
            setattr(action, parameter, "other")


@every_action
async def test_working_step_is_done(action_type: str) -> None:
    assert isinstance(await run(action_type), Done)


@every_action
@every_entity
async def test_outcome_is_one_of_the_closed_set_for_any_entity(action_type: str, entity: Mapping[str, Any]) -> None:
    assert isinstance(await run(action_type, entity), Done | Skip | Retry | Fail | Uncertain)


@every_action
@every_entity
async def test_entity_is_left_as_it_was(action_type: str, entity: Mapping[str, Any]) -> None:
    before = copy.deepcopy(entity)

    await run(action_type, MappingProxyType(entity))

    assert entity == before


@every_action
@every_entity
async def test_result_and_writes_are_bson(action_type: str, entity: Mapping[str, Any]) -> None:
    outcome = await run(action_type, entity)

    if isinstance(outcome, Done):
        bson.encode(outcome.result)
        for write in outcome.writes:
            bson.encode(write.document if isinstance(write, Insert) else write.set)


@every_action
async def test_history_holds_less_than_a_page(action_type: str) -> None:
    outcome = await run(action_type, ENTITIES["one of large values"])

    assert len(repr(outcome.result if isinstance(outcome, Done) else outcome)) < 2_000


@every_action
async def test_every_attempt_makes_the_same_documents(action_type: str) -> None:
    first, second = await run(action_type, attempt=1), await run(action_type, attempt=2)

    assert first == second


@pytest.mark.parametrize("action_type", INSERTED_INTO)
async def test_other_steps_and_executions_make_other_documents(action_type: str) -> None:
    outcomes = [
        await run(action_type),
        await run(action_type, node="1"),
        await run(action_type, execution_id=ObjectId(b"\0" * 4 + EXECUTION_ID.binary[4:])),
    ]

    ids = [insert.document["_id"] for outcome in outcomes for insert in inserts(outcome)]
    assert len(ids) == len(set(ids)) == 3


@every_action
async def test_a_working_step_writes_what_it_is_for_and_nothing_else(action_type: str) -> None:
    outcome = await run(action_type)

    assert isinstance(outcome, Done)
    updates = [write for write in outcome.writes if isinstance(write, EntityUpdate)]
    assert [insert.collection for insert in inserts(outcome)] == [
        INSERTED_INTO[each] for each in (action_type,) if each in INSERTED_INTO
    ]
    assert {field for update in updates for field in (*update.set, *update.unset)} == UPDATED.get(action_type, set())
    assert len(outcome.writes) == (0 if action_type in OUTSIDE else 1)


@pytest.mark.parametrize("action_type", INSERTED_INTO)
async def test_documents_name_their_origin(action_type: str) -> None:
    (insert,) = inserts(await run(action_type))

    origin = {key: insert.document[key] for key in ("entity_type", "entity_id", "execution_id")}
    assert origin == {"entity_type": "lead", "entity_id": LEAD["_id"], "execution_id": EXECUTION_ID}


@every_action
async def test_nothing_confidential_is_told_in_the_result(action_type: str) -> None:
    outcome = await run(action_type, {**LEAD, "api_key": SECRET})

    assert isinstance(outcome, Done)
    assert SECRET not in repr(outcome.result)
    assert SMTP_PASSWORD not in repr(outcome)


@every_action
async def test_nothing_confidential_is_told_when_the_server_is_away(action_type: str) -> None:
    async with mail_server() as server:
        pass
    outcome = await ended(
        an_action(action_type), a_context({**LEAD, "api_key": SECRET}, services=services_at(server.port))
    )

    if not isinstance(outcome, Done):
        assert SECRET not in repr(outcome)
        assert SMTP_PASSWORD not in repr(outcome)


@pytest.mark.parametrize("action_type", [*INSERTED_INTO, *UPDATED])
async def test_action_inside_mongodb_asks_nobody(action_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connected(*_: object) -> NoReturn:
        raise AssertionError("an action inside MongoDB opened a connection")

    action = an_action(action_type)
    assert action.reach is Reach.INSIDE
    monkeypatch.setattr(socket, "socket", connected)
    assert isinstance(await ended(action, a_context(services=services_at(1))), Done)


@every_action
def test_only_what_goes_to_people_outside_is_never_sent_again_by_itself(action_type: str) -> None:
    action = an_action(action_type)
    is_outside = action_type in OUTSIDE

    assert (action.reach is Reach.OUTSIDE) == is_outside
    assert action.delivery is (Delivery.AT_MOST_ONCE if is_outside else Delivery.AT_LEAST_ONCE)

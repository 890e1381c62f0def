"""The sample traffic: the acts of the CRM, and next to each act the executions and decisions expected of the daemon."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from bson import ObjectId

from daemon.demo.expectation import Expectation
from daemon.demo.history import HistoryReader, until
from daemon.demo.sample_crm import SampleCrm, days_ago
from daemon.demo.sample_workflow import (
    BROKEN,
    FLAGGED,
    GONE,
    GREET,
    HAND_OVER,
    IMPORTED,
    LARGE,
    QUALIFY,
    REFERRAL,
    REVIEWED,
    SAMPLE_WORKFLOWS,
    STALE,
    WON,
)
from rules.explain import Reason

_TASK, _NOTIFICATION, _UPDATE = "create_task success", "send_notification success", "update_field success"
_QUALIFIED = ("qualify_lead success", "enrich_lead success")


@dataclass(frozen=True, slots=True)
class Deals:
    """The deals that later acts come back to."""

    stale: ObjectId
    fresh: ObjectId
    lost: ObjectId


class Scenario:
    """Plays the acts in order."""

    def __init__(
        self, crm: SampleCrm, history: HistoryReader, expected: Expectation, pause: Callable[[], Awaitable[None]]
    ) -> None:
        """``pause`` is awaited between two acts, for those who watch."""
        self._crm = crm
        self._history = history
        self._expected = expected
        self._pause = pause

    async def add_workflows(self) -> None:
        """Add the sample workflows while the daemon runs, and wait until it has answered back in each."""
        for document in SAMPLE_WORKFLOWS:
            await self._crm.add_workflow(document)
        for name in (QUALIFY, STALE, WON, *(document["name"] for document in SAMPLE_WORKFLOWS)):
            observed = await until(partial(self._history.observed, name), f"'observed' of '{name}'")
            state = "invalid" if name == BROKEN else "active"
            self._expected.that(
                f"'{name}' is {state}, found {observed['state']}: {observed['error']}", is_so=observed["state"] == state
            )

    async def work_without_daemon(self) -> Deals:
        """Act while the daemon is down: it finds everything when it is back."""
        await self._crm.add(
            "lead", "Ana Lima", source="website_form", email="Ana.Lima@gmail.com", phone="+351912345678"
        )
        self._expected.run(QUALIFY, "Ana Lima", *_QUALIFIED)
        stale = await self._crm.add("deal", "Harbour crane", status="open", last_activity_at=days_ago(9))
        self._expected.run(STALE, "Harbour crane", _TASK)
        fresh = await self._crm.add(
            "deal", "Fresh paint", status="open", value={"amount": 800}, last_activity_at=days_ago(2)
        )
        lost = await self._crm.add("deal", "Old roof", status="lost", last_activity_at=days_ago(30))
        return Deals(stale, fresh, lost)

    async def play(self, deals: Deals) -> None:
        """Act while the daemon runs."""
        for act in (
            self._leads,
            lambda: self._deals(deals),
            self._transactions,
            self._contacts,
            lambda: self._stale_again(deals.stale),
        ):
            await act()
            await self._pause()

    async def _leads(self) -> None:
        await self._crm.add_by_upsert("lead", "Bo Chen", {"email": "bo@example.org"}, source="website_form")
        self._expected.run(QUALIFY, "Bo Chen", *_QUALIFIED)
        await self._pause()
        await self._crm.add("lead", "Carla Diaz", source="trade_fair", email="carla@example.com")
        self._expected.refusal(QUALIFY, "Carla Diaz", Reason.CONDITION)
        await self._pause()
        await self._crm.add("lead", "Deepak Rao", source="referral", email="deepak@example.com")
        self._expected.run(REFERRAL, "Deepak Rao", _TASK, _NOTIFICATION)
        await self._pause()
        await self._crm.add("lead", "Erik Berg", source="import", address="12 Long Street")
        self._expected.run(IMPORTED, "Erik Berg", "update_field failed", _TASK, status="failed")

    async def _deals(self, deals: Deals) -> None:
        value = {"amount": 5_000, "currency": "EUR"}
        solar = await self._crm.add("deal", "Solar roof", status="open", value=value, last_activity_at=days_ago(0))
        await self._crm.change("deal", solar, {"value.amount": 25_000})
        self._expected.run(LARGE, "Solar roof", _UPDATE, "send_notification skipped")
        await self._crm.change("deal", deals.fresh, {"value.amount": 900})
        self._expected.refusal(LARGE, "Fresh paint", Reason.CONDITION)
        await self._pause()
        await self._crm.change("deal", deals.fresh, {"status": "won"})
        self._expected.run(WON, "Fresh paint", _NOTIFICATION)
        await self._crm.save_whole("deal", deals.fresh, {"note": "thank them"})  # won already: fires nothing
        await self._pause()
        await self._crm.save_whole("deal", solar, {"status": "won"})
        self._expected.run(WON, "Solar roof", _NOTIFICATION)
        await self._crm.change("deal", deals.lost, {"status": "reopened"})
        self._expected.refusal(WON, "Old roof", Reason.CONDITION)

    async def _transactions(self) -> None:
        bridge = await self._crm.close_at_once("Bridge toll", "Finn Olsen")
        self._expected.run(WON, "Bridge toll", _NOTIFICATION)
        self._expected.run(GREET, "Finn Olsen", _TASK)
        await self._pause()
        await self._crm.close_at_once("Castle in the air", "Nobody", changes_its_mind=True)
        await self._pause()
        await self._ask(HAND_OVER, bridge, "Bridge toll", is_accepted=True)
        self._expected.run(HAND_OVER, "Bridge toll", _TASK)

    async def _contacts(self) -> None:
        """Switch a workflow between two writes: the switch takes effect at exactly that place."""
        await self._crm.add("contact", "Gina Rossi", is_flagged=False)
        self._expected.run(GREET, "Gina Rossi", _TASK)
        await self._crm.switch(GREET, "paused")
        hugo = await self._crm.add("contact", "Hugo Weiss", is_flagged=False)
        self._expected.refusal(GREET, "Hugo Weiss", Reason.PAUSED)
        await self._crm.switch(GREET, "active")
        iris = await self._crm.add("contact", "Iris Novak", is_flagged=False)
        self._expected.run(GREET, "Iris Novak", _TASK)
        await self._pause()
        await self._crm.delete("contact", hugo)
        self._expected.run(GONE, "Hugo Weiss", _NOTIFICATION)
        await self._pause()
        await self._crm.change("contact", iris, {"is_flagged": True})
        self._expected.run(REVIEWED, "Iris Novak", _UPDATE)
        self._expected.run(FLAGGED, "Iris Novak", _UPDATE)
        self._expected.refusal(REVIEWED, "Iris Novak", Reason.REENTRY)

    async def _stale_again(self, deal: ObjectId) -> None:
        """Ask again for a deal that has its task, then let it go stale a second time: one task for each episode."""

        async def has_its_task() -> bool:
            history = await self._history.read()
            return any(run.workflow == STALE and run.steps for run in history.runs)

        await until(has_its_task, "the task for the stale deal")
        await self._ask(STALE, deal, "Harbour crane", is_accepted=False)
        await self._pause()
        await self._crm.change("deal", deal, {"last_activity_at": days_ago(8)})
        await self._ask(STALE, deal, "Harbour crane", is_accepted=True)
        self._expected.run(STALE, "Harbour crane", _TASK)

    async def _ask(self, workflow: str, deal: ObjectId, name: str, *, is_accepted: bool) -> None:
        answer = await self._history.answer(await self._crm.ask(workflow, "deal", deal))
        wanted = "accepted" if is_accepted else f"refused, {Reason.ENROLLED}"
        found = ", ".join(str(answer[key]) for key in ("status", "reason") if key in answer)
        self._expected.that(f"'{workflow}' for {name} is {wanted}, found {found}", is_so=found == wanted)

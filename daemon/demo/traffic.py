"""Random traffic of the sample CRM, for as long as somebody watches."""

from collections.abc import Awaitable, Callable
from itertools import count
from random import Random
from typing import Any, Final

from daemon.demo.sample_crm import SampleCrm, days_ago
from daemon.demo.sample_workflow import GREET, HAND_OVER

_FIRST_NAMES: Final = ("Ada", "Björn", "Chloé", "Diego", "Emeka", "Fatima", "Goran", "Hana", "Inês", "Jonas", "Keiko")
_LAST_NAMES: Final = ("Almeida", "Brandt", "Costa", "Dubois", "Eze", "Fischer", "Garcia", "Haddad", "Ito", "Jensen")
_PROJECTS: Final = ("Canal lock", "Cold store", "Ferry ramp", "Grain silo", "Pump house", "Tram stop", "Wind park")
_SOURCES: Final = ("website_form", "website_form", "website_form", "referral", "trade_fair", "import")
_STATUSES: Final = ("open", "negotiating", "won", "won", "lost")
_KEPT: Final = 50  # entities of each type that are still worked on


class Traffic:
    """One act after another, each chosen at random among what a CRM does all day."""

    def __init__(self, crm: SampleCrm, pause: Callable[[], Awaitable[None]], chance: Random) -> None:
        """``pause`` is awaited after every act."""
        self._crm = crm
        self._pause = pause
        self._chance = chance
        self._deals: list[Any] = []
        self._contacts: list[Any] = []
        self._numbers = count(1)
        self._greets = True

    async def flow(self) -> None:
        """Act until cancelled."""
        acts = (
            *(self._lead, self._lead, self._lead, self._deal, self._progress, self._progress, self._enlarge),
            *(self._save_whole, self._contact, self._contact, self._delete, self._flag, self._hand_over, self._switch),
        )
        while True:
            await self._chance.choice(acts)()
            await self._pause()

    async def _lead(self) -> None:
        name = self._person()
        email = f"{name.split()[0].lower()}@example.com"
        await self._crm.add("lead", name, source=self._chance.choice(_SOURCES), email=email, address="12 Long Street")

    async def _deal(self) -> None:
        name = f"{self._chance.choice(_PROJECTS)} {next(self._numbers)}"
        value = {"amount": self._chance.randrange(500, 9_500, 500), "currency": "EUR"}
        added = await self._crm.add("deal", name, status="open", value=value, last_activity_at=days_ago(0))
        self._deals = [*self._deals, added][-_KEPT:]

    async def _progress(self) -> None:
        if self._deals:
            await self._crm.change("deal", self._any(self._deals), {"status": self._chance.choice(_STATUSES)})

    async def _enlarge(self) -> None:
        if self._deals:
            await self._crm.change(
                "deal", self._any(self._deals), {"value.amount": self._chance.randrange(2_000, 30_000)}
            )

    async def _save_whole(self) -> None:
        if self._deals:
            await self._crm.save_whole("deal", self._any(self._deals), {"status": self._chance.choice(_STATUSES)})

    async def _hand_over(self) -> None:
        if self._deals:
            await self._crm.ask(HAND_OVER, "deal", self._any(self._deals))

    async def _contact(self) -> None:
        added = await self._crm.add("contact", self._person(), is_flagged=False)
        self._contacts = [*self._contacts, added][-_KEPT:]

    async def _delete(self) -> None:
        if self._contacts:
            gone = self._any(self._contacts)
            self._contacts.remove(gone)
            await self._crm.delete("contact", gone)

    async def _flag(self) -> None:
        if self._contacts:
            await self._crm.change("contact", self._any(self._contacts), {"is_flagged": True})

    async def _switch(self) -> None:
        self._greets = not self._greets
        await self._crm.switch(GREET, "active" if self._greets else "paused")

    def _person(self) -> str:
        return f"{self._chance.choice(_FIRST_NAMES)} {self._chance.choice(_LAST_NAMES)} {next(self._numbers)}"

    def _any(self, among: list[Any]) -> Any:
        return self._chance.choice(among)

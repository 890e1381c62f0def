"""Leases between replicas, on a real MongoDB."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from bson import Binary
from pymongo.asynchronous.database import AsyncDatabase

from daemon.event import Event
from daemon.lease.holds import Holds
from daemon.lease.keeper import LeaseKeeper, LeaseSignals
from daemon.lease.store import READER, lane_name
from tests.support.events import Events
from tests.support.signal import Signal

LANES = 8
Database = AsyncDatabase[dict[str, Any]]


class User:
    """Remembers what the keeper told it; idle unless it is told to be busy."""

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.holds = Holds()
        self.held: dict[str, int] = {}
        self.lost: list[str] = []
        self.retiring: list[str] = []
        self.is_busy = False

    def lease_gained(self, name: str, epoch: int, *, after_crash: bool) -> None:
        self.held[name] = epoch
        self.signal.changed()

    def lease_lost(self, name: str) -> None:
        self.held.pop(name, None)
        self.lost.append(name)
        self.signal.changed()

    def lease_retiring(self, name: str) -> None:
        self.retiring.append(name)
        self.signal.changed()

    def is_idle(self, name: str) -> bool:
        return not self.is_busy


Start = Callable[[str], Awaitable[tuple[LeaseKeeper, User]]]


@pytest.fixture
async def start(database: Database) -> AsyncIterator[Start]:
    """Start a replica of the given name; all are stopped at the end, and none may have died."""
    dead: list[str] = []
    signal = Signal()
    async with AsyncExitStack() as stack:

        async def start_one(replica: str) -> tuple[LeaseKeeper, User]:
            user = User(signal)
            keeper = LeaseKeeper(
                database.state,
                replica,
                lanes=LANES,
                lease_s=1.5,
                holds=user.holds,
                users=(user,),
                signals=LeaseSignals(),
            )
            for task in keeper.tasks:
                task.watch(dead.append)
            await keeper.start()
            stack.push_async_callback(keeper.stop)
            return keeper, user

        yield start_one
    assert not dead


def lanes_of(user: User) -> set[str]:
    return set(user.held) - {READER}


async def test_a_single_replica_gets_every_lease_before_its_start_returns(start: Start) -> None:
    _, user = await start("a")
    assert set(user.held) == {READER, *map(lane_name, range(LANES))}
    assert all(user.holds.is_trusted(name) and user.holds[name].epoch == epoch for name, epoch in user.held.items())


async def test_two_replicas_share_the_lanes_evenly_and_no_lane_has_two_owners(start: Start) -> None:
    _, a = await start("a")
    _, b = await start("b")
    await a.signal.until(lambda: len(lanes_of(a)) == len(lanes_of(b)) == LANES // 2)
    assert not lanes_of(a) & lanes_of(b)


async def test_a_lane_is_not_given_up_while_something_runs_in_it(start: Start) -> None:
    _, a = await start("a")
    a.is_busy = True
    _, b = await start("b")
    await a.signal.until(lambda: len(a.retiring) == LANES // 2)
    assert not lanes_of(b)
    a.is_busy = False
    await b.signal.until(lambda: lanes_of(b) == set(a.retiring))


async def test_a_replica_that_stops_hands_its_leases_over_at_once(start: Start) -> None:
    first, _ = await start("a")
    await first.stop()
    _, b = await start("b")
    assert len(b.held) == LANES + 1


async def test_the_epoch_grows_with_every_owner(start: Start) -> None:
    first, a = await start("a")
    before = dict(a.held)
    await first.stop()
    _, b = await start("b")
    assert all(b.held[name] > epoch for name, epoch in before.items())


async def test_a_lease_that_others_have_taken_is_lost_here(start: Start, database: Database) -> None:
    _, a = await start("a")
    name = lane_name(3)
    await database.state.update_one({"_id": f"lease/{name}"}, {"$set": {"holder": "b"}, "$inc": {"epoch": 1}})
    await a.signal.until(lambda: name in a.lost)
    assert not a.holds.is_trusted(name)


@pytest.mark.parametrize(
    "junk",
    [
        {"epoch": "x", "expires_at": "soon"},
        {"epoch": None},
        {"epoch": 2**63 - 1},
        {"holder": {"a": 1}, "expires_at": 5},
        {"name": None},
        {"expires_at": "never", "holder": "ghost"},
    ],
    ids=repr,
)
async def test_leases_that_somebody_edited_into_none_are_written_anew(
    junk: dict[str, Any], start: Start, database: Database
) -> None:
    _, a = await start("a")
    _, b = await start("b")
    await database.state.insert_one({"_id": "lease/lane/abc", "kind": "lease", "name": "lane/abc", "holder": None})
    await database.state.update_many({"kind": "lease", "_id": {"$ne": "lease/lane/abc"}}, {"$set": junk})
    await a.signal.until(lambda: set(a.lost) | set(b.lost) >= {READER, *map(lane_name, range(LANES))})
    await a.signal.until(lambda: set(a.held) | set(b.held) == {READER, *map(lane_name, range(LANES))})
    assert not set(a.held) & set(b.held)


async def test_leases_that_are_lost_together_are_told_in_one_line(
    start: Start, database: Database, events: Events
) -> None:
    _, a = await start("a")
    await database.state.drop()
    await a.signal.until(lambda: len(a.lost) == LANES + 1)
    lost = [fields["leases"] for fields in events.of(Event.LEASE_LOST)]
    assert [sorted(leases) for leases in lost] == [sorted([READER, *map(lane_name, range(LANES))])]


async def test_a_lease_whose_claim_was_never_answered_is_claimed_anew(start: Start, database: Database) -> None:
    """Nobody else can claim it while this replica renews everything that bears its name."""
    first, _ = await start("a")
    await first.stop()
    later = {"$add": ["$$NOW", 60_000]}
    await database.state.update_many({"kind": "lease"}, [{"$set": {"holder": "b", "expires_at": later}}])
    _, b = await start("b")
    assert len(b.held) == LANES + 1


async def test_a_stop_frees_also_what_a_lost_answer_left_behind(start: Start, database: Database) -> None:
    keeper, _ = await start("a")
    await database.state.update_one({"_id": f"lease/{lane_name(3)}"}, {"$inc": {"epoch": 1}})
    await keeper.stop()
    assert await database.state.count_documents({"kind": "lease", "holder": "a"}) == 0


async def test_a_lease_that_is_ours_by_name_only_is_not_kept_from_others(start: Start, database: Database) -> None:
    _, first = await start("a")
    _, second = await start("b")
    await second.signal.until(lambda: len(lanes_of(second)) == LANES // 2)
    name = min(lanes_of(second))
    await database.state.update_one({"_id": f"lease/{name}"}, {"$set": {"holder": "a"}, "$inc": {"epoch": 1}})
    await second.signal.until(lambda: name not in second.held)
    await first.signal.until(lambda: lanes_of(first) | lanes_of(second) == set(map(lane_name, range(LANES))))


async def test_a_second_life_under_the_same_name_names_its_own_sessions(database: Database) -> None:
    async def sessions_of(life: bytes) -> object:
        sessions = [{"id": Binary(life * 16, 4)}]
        keeper = LeaseKeeper(
            database.state,
            "a",
            lanes=1,
            lease_s=60,
            holds=Holds(),
            users=(),
            signals=LeaseSignals(),
            sessions=lambda: sessions,
        )
        await keeper.start()
        await keeper._task.stop()  # it dies without a word
        found = await database.state.find_one({"_id": "replica/a"})
        return found is not None and found["sessions"] == sessions

    assert await sessions_of(b"1")
    assert await sessions_of(b"2")

"""Who tries wrong tokens waits; nobody else does, and what is known of them is bounded."""

from daemon.api.wrong_token import WrongTokens


class Clock:
    """The monotonic clock, and what was waited for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(round(seconds, 6))


def counting(clock: Clock) -> WrongTokens:
    return WrongTokens(clock.monotonic, clock.sleep)


async def test_the_first_ten_are_answered_at_once_then_one_a_second_then_none() -> None:
    clock = Clock()
    tried = counting(clock)
    answered = [await tried.wait("192.0.2.1") for _ in range(20)]
    assert answered == [True] * 15 + [False] * 5
    assert clock.waits == [1.0, 2.0, 3.0, 4.0, 5.0]
    clock.now += 2
    assert await tried.wait("192.0.2.1")


async def test_another_address_does_not_wait_unless_all_together_are_too_many() -> None:
    clock = Clock()
    tried = counting(clock)
    for address in range(100):
        assert await tried.wait(f"192.0.2.{address}")
    assert clock.waits == []
    await tried.wait("198.51.100.1")
    assert clock.waits == [0.1]


async def test_the_addresses_of_one_network_count_as_one() -> None:
    clock = Clock()
    tried = counting(clock)
    for host in range(11):
        await tried.wait(f"2001:db8::{host:x}")
    assert clock.waits == [1.0]


async def test_only_so_many_addresses_are_known() -> None:
    clock = Clock()
    tried = counting(clock)
    for address in range(3_000):
        clock.now += 1
        await tried.wait(f"address {address}")
    assert len(tried._by_address) == 1_000

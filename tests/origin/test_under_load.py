"""Origins fail in every way while clients go on asking: none of them sees an error."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from proxy.origin import BreakerOptions, GroupOptions, MemberOptions, OriginOptions
from proxy.rfc9111.policy import Policy
from tests.apparatus import Clock, Origin, Proxied, Reply, fronted
from tests.steady_loop import ON_A_STEADY_LOOP

pytestmark = ON_A_STEADY_LOOP

CLIENTS, REQUESTS, RESOURCES = 4, 6, 3
FRESH = ("Cache-Control", "max-age=1")
WINDOW = 3600.0

FAULTS: dict[str, Callable[[], Reply]] = {
    "frozen": lambda: Reply(wait=asyncio.Event()),
    "500": lambda: Reply(500, body=b"broken"),
    "garbage": lambda: Reply(raw=b"\x00\xff not HTTP at all\r\n\r\n"),
    "closed": lambda: Reply(raw=b""),
    "half a head": lambda: Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Le"),
}


@asynccontextmanager
async def proxy(size: int, *, pause: float = 0.05) -> AsyncIterator[tuple[Proxied, list[Origin]]]:
    origins = [Origin() for _ in range(size)]
    for origin in origins:
        await origin.start()
        heal(origin)
    members = tuple(
        MemberOptions(origin=OriginOptions(f"http://127.0.0.1:{one.port}", header_timeout=0.1))
        for one in origins
    )
    options = GroupOptions(
        members=members,
        breaker=BreakerOptions(
            failures=3, statuses=((500, 599),), pause=pause, max_pause=2 * pause
        ),
    )
    clock = Clock()
    policy = Policy(stale_if_error=WINDOW, grace=WINDOW)
    try:
        async with fronted(options, policy, clock=clock) as front:
            yield Proxied(origins[0], clock, front), origins
    finally:
        for origin in origins:
            with suppress(AssertionError):
                await origin.stop()


def heal(origin: Origin) -> None:
    origin.always = lambda seen: Reply(headers=[FRESH], body=seen.target.encode())


async def load(proxied: Proxied) -> Counter[tuple[int, bool]]:
    """What all clients saw: status, and whether it was the whole right body."""
    seen: Counter[tuple[int, bool]] = Counter()

    async def client(number: int) -> None:
        for turn in range(REQUESTS):
            proxied.clock.now += 0.7
            target = f"/{(number + turn) % RESOURCES}"
            answer = await proxied.get(target)
            seen[answer.status, answer.complete and answer.body == target.encode()] += 1

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return seen


FINE = {(200, True): CLIENTS * REQUESTS}


@pytest.mark.parametrize("fault", FAULTS)
async def test_all_origins_fail_and_come_back(fault: str) -> None:
    async with proxy(2) as (proxied, origins):
        assert await load(proxied) == FINE
        for origin in origins:
            origin.always = lambda _: FAULTS[fault]()
        assert await load(proxied) == FINE
        for origin in origins:
            heal(origin)
        assert await load(proxied) == FINE


async def test_all_origins_are_killed_and_come_back() -> None:
    async with proxy(2) as (proxied, origins):
        assert await load(proxied) == FINE
        for origin in origins:
            await origin.stop()
        assert await load(proxied) == FINE
        for origin in origins:
            await origin.start()
        assert await load(proxied) == FINE


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "500"])
async def test_one_of_two_fails_where_nothing_is_kept(fault: str) -> None:
    """Retries and the breaker alone: what the origin answers itself, such as 500, is its word."""
    async with proxy(2, pause=60.0) as (proxied, origins):
        for origin in origins:
            origin.always = lambda seen: Reply(
                headers=[("Cache-Control", "no-store")], body=seen.target.encode()
            )
        origins[1].always = lambda _: FAULTS[fault]()
        assert await load(proxied) == FINE

"""A group that is dead, frozen, overloaded or left alone: stale answers within their window,
502, 503 or 504 beyond it. The whole proxy over real sockets; the clock is ours.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from proxy.origin import (
    BreakerOptions,
    GroupOptions,
    LimitOptions,
    MemberOptions,
    OriginOptions,
)
from proxy.rfc9111.policy import Policy
from tests.apparatus import Answer, Clock, Origin, Proxied, Reply, fronted

FRESH = ("Cache-Control", "max-age=10")
GRACE = 60.0
LONG = 60.0


@dataclass
class Rig:
    proxy: Proxied
    origins: list[Origin]

    async def get(self, target: str = "/") -> Answer:
        return await self.proxy.get(target)

    async def kill(self) -> None:
        for origin in self.origins:
            await origin.stop()

    def freeze(self, **timeouts: float) -> None:
        """Nobody is answered any more, and only now is anybody in a hurry."""
        for origin in self.origins:
            origin.always = lambda _: Reply(wait=asyncio.Event())
        self.proxy.origins.apply({"": options(self.origins, **timeouts)}, drain=0.0)


def options(
    origins: Sequence[Origin], *, header_timeout: float = LONG, **group: Any
) -> GroupOptions:
    urls = [f"http://127.0.0.1:{one.port}" for one in origins]
    made = [OriginOptions(url, header_timeout=header_timeout) for url in urls]
    return GroupOptions(members=tuple(MemberOptions(origin=one) for one in made), **group)


@asynccontextmanager
async def rig(size: int = 2, **group: Any) -> AsyncIterator[Rig]:
    """A proxy with a grace period before origins that say what is fresh for 10 s."""
    origins = [Origin() for _ in range(size)]
    for origin in origins:
        origin.always = lambda _: Reply(headers=[FRESH], body=b"kept")
        await origin.start()
    clock = Clock()
    try:
        async with fronted(options(origins, **group), Policy(grace=GRACE), clock=clock) as front:
            yield Rig(Proxied(origins[0], clock, front), origins)
    finally:
        for origin in origins:
            await origin.stop()


async def bridged(one: Rig) -> None:
    """What is stale is served as long as the grace lasts."""
    one.proxy.clock.now += 10.0 + GRACE - 1.0
    answer = await one.get()
    assert (answer.status, answer.body) == (200, b"kept")
    assert "fwd=stale" in answer.cache_status
    assert "detail=grace" in answer.cache_status


async def refused(one: Rig, status: int, reason: str) -> Answer:
    """Beyond that, and where nothing is kept, the failure is told."""
    one.proxy.clock.now += 2.0
    answers = [await one.get(), await one.get("/never-seen")]
    for answer in answers:
        assert answer.status == status
        assert f"detail={reason}" in answer.cache_status
        assert answer.headers["Content-Type"] == "application/problem+json"
    return answers[0]


async def test_a_dead_group() -> None:
    async with rig() as one:
        await one.get()
        await one.kill()
        await bridged(one)
        await refused(one, 502, "origin-refused")


async def test_a_frozen_group() -> None:
    async with rig() as one:
        await one.get()
        one.freeze(header_timeout=0.05)
        await bridged(one)
        await refused(one, 504, "origin-header-timeout")


async def test_a_group_that_is_left_alone() -> None:
    breaker = BreakerOptions(failures=1, pause=LONG, max_pause=LONG)
    async with rig(breaker=breaker) as one:
        await one.get()
        await one.kill()
        await one.get("/opens-both")
        await bridged(one)
        answer = await refused(one, 503, "origin-down")
        assert answer.headers["Retry-After"] == "30"


@asynccontextmanager
async def overloaded() -> AsyncIterator[Rig]:
    """The only place is taken, by a request that is answered in the end."""
    limit = LimitOptions(concurrent=1, queue=0, queue_timeout=7.0)
    async with rig(limit=limit) as one:
        await one.get()
        gate = asyncio.Event()
        for origin in one.origins:
            origin.will(Reply(wait=gate))
        holding = asyncio.create_task(one.get("/holds"))
        await one.origins[1].asked()
        yield one
        gate.set()
        assert (await holding).status == 200


async def test_an_overloaded_group() -> None:
    async with overloaded() as one:
        await bridged(one)
        answer = await refused(one, 503, "origin-overloaded")
        assert answer.headers["Retry-After"] == "7"


async def test_a_group_that_takes_too_long_in_all() -> None:
    async with rig() as one:
        await one.get()
        one.freeze(total_timeout=0.05)
        await bridged(one)
        await refused(one, 504, "origin-total-timeout")


async def test_one_that_answers_500_is_not_unreachable() -> None:
    async with rig() as one:
        await one.get()
        for origin in one.origins:
            origin.always = lambda _: Reply(500, body=b"its own words")
        one.proxy.clock.now += 11.0
        answer = await one.get()
        assert (answer.status, answer.body) == (500, b"its own words")


async def test_one_half_dead_shows_nothing_of_it() -> None:
    async with rig() as one:
        await one.origins[0].stop()
        answers = [await one.get(f"/{n}") for n in range(20)]
        assert {answer.status for answer in answers} == {200}
        await one.origins[0].start()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_what_was_never_sent_purges_nothing(method: str) -> None:
    """A write that found no place has changed nothing (see invalidating)."""
    async with overloaded() as one:
        assert (await one.proxy.ask(method)).status == 503
        assert (await one.get()).hit

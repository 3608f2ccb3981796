"""Groups of origins over real sockets: killed, frozen, refusing, slow and failing ones."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from multidict import CIMultiDict

from proxy.events import Event, OriginChanged
from proxy.exchange import BodyAborted
from proxy.origin import (
    Balance,
    BreakerOptions,
    CheckOptions,
    GroupOptions,
    LimitOptions,
    MemberOptions,
    OriginError,
    OriginGroup,
    OriginOptions,
    Origins,
    Outbound,
    RetryOptions,
)
from proxy.origin.watching import WatchedBody
from proxy.rfc9111.reasons import Reason
from tests.apparatus import PATIENCE, Origin, Reply, Seen
from tests.origin.conftest import Pieces, aborted, read
from tests.steady_loop import ON_A_STEADY_LOOP

LONG = 60.0


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Rig:
    """A group with its origins, which answer with their name."""

    origins: list[Origin]
    all: Origins
    clock: Clock
    events: list[Event] = field(default_factory=list)

    @property
    def group(self) -> OriginGroup:
        return self.all[""]

    @property
    def states(self) -> list[str]:
        return [one.breaker.state(self.clock.now).value for one in self.group.members]

    @property
    def told(self) -> list[tuple[int, str]]:
        """Changes of state, by the origin's number."""
        urls = [one.options.origin.url for one in self.group.members]
        changes = (event for event in self.events if isinstance(event, OriginChanged))
        return [(urls.index(change.url), change.state) for change in changes]

    async def get(self, target: str = "/", method: str = "GET", **more: Any) -> str:
        """The name of who answered."""
        headers = CIMultiDict({"Host": "api.example"})
        response = await self.group.fetch(Outbound(method, target, headers, **more))
        return (await read(response)).decode()

    async def failed(self, *args: Any, **more: Any) -> OriginError:
        with pytest.raises(OriginError) as raised:
            await self.get(*args, **more)
        return raised.value

    async def many(self, times: int) -> Counter[str]:
        return Counter([await self.get() for _ in range(times)])


def named(number: int) -> Callable[[Seen], Reply]:
    return lambda _: Reply(body=str(number).encode())


@asynccontextmanager
async def rig(
    size: int = 2,
    *,
    backups: tuple[int, ...] = (),
    weights: tuple[int, ...] = (),
    origin: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Rig]:
    """So many origins behind one group, numbered from 0; `origin` is for OriginOptions."""
    async with AsyncExitStack() as stack:
        origins = []
        for number in range(size):
            one = Origin()
            one.always = named(number)
            await one.start()
            stack.push_async_callback(stopped, one)
            origins.append(one)
        clock, events = Clock(), list[Event]()
        groups = Origins(events.append, clock=clock)
        stack.push_async_callback(groups.close)
        members = tuple(
            MemberOptions(
                origin=OriginOptions(f"http://127.0.0.1:{one.port}", **(origin or {})),
                weight=weights[number] if weights else 1,
                backup=number in backups,
            )
            for number, one in enumerate(origins)
        )
        groups.apply({"": GroupOptions(members=members, **options)}, drain=0.0)
        yield Rig(origins, groups, clock, events)


async def stopped(origin: Origin) -> None:
    with suppress(AssertionError):
        await origin.stop()


def breaker(**options: Any) -> BreakerOptions:
    return BreakerOptions(**{"failures": 2, **options})


NEVER = BreakerOptions()
REFUSING = Reply(raw=b"")


class TestBalance:
    async def test_round_robin_by_weight(self) -> None:
        async with rig(3, weights=(3, 2, 1)) as one:
            assert await one.many(12) == {"0": 6, "1": 4, "2": 2}

    async def test_least_connections(self) -> None:
        async with rig(2, balance=Balance.LEAST_CONNECTIONS) as one:
            held = asyncio.Event()
            one.origins[0].will(Reply(wait=held))
            slow = asyncio.create_task(one.get())
            await one.origins[0].asked()
            assert await one.many(5) == {"1": 5}
            held.set()
            await slow

    async def test_hash_by_key(self) -> None:
        async with rig(3, balance=Balance.HASH) as one:
            keys = [f"key {number}" for number in range(60)]
            first = {key: await one.get(key=key) for key in keys}
            again = {key: await one.get(key=key) for key in keys}
            assert first == again
            assert set(first.values()) == {"0", "1", "2"}


class TestRetries:
    async def test_what_was_refused_is_asked_of_another(self) -> None:
        async with rig(2, breaker=NEVER) as one:
            await one.origins[0].stop()
            assert await one.many(10) == {"1": 10}
            assert one.group.retries == one.group.members[0].failures == 5
            assert one.group.members[0].last_failure == "origin-refused"

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
    async def test_what_is_idempotent_is_asked_again_when_no_head_came(self, method: str) -> None:
        async with rig(2) as one:
            one.origins[0].will(REFUSING)
            await one.get(method=method)
            assert [len(origin.seen) for origin in one.origins] == [1, 1]

    async def test_a_post_is_never_sent_twice(self) -> None:
        async with rig(2) as one:
            one.origins[0].will(REFUSING)
            error = await one.failed(method="POST")
            assert error.reason is Reason.ORIGIN_BROKEN
            assert [len(origin.seen) for origin in one.origins] == [1, 0]

    async def test_a_body_of_which_nothing_was_sent_goes_to_another(self) -> None:
        async with rig(2) as one:
            await one.origins[0].stop()
            body = Pieces(b"whole", length=5)
            assert await one.get(method="POST", body=body) == "1"
            assert one.origins[1].seen[0].body == b"whole"

    async def test_a_body_is_not_sent_twice(self) -> None:
        async with rig(2) as one:
            one.origins[0].will(REFUSING)
            error = await one.failed(method="PUT", body=Pieces(b"whole", length=5))
            assert error.reason is Reason.ORIGIN_BROKEN
            assert one.origins[1].seen == []

    async def test_a_response_that_breaks_off_is_not_asked_for_again(self) -> None:
        async with rig(2) as one:
            one.origins[0].will(Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"))
            with pytest.raises(BodyAborted):
                await one.get()
            assert one.origins[1].seen == []
            assert one.group.members[0].last_failure == "origin-broken"

    async def test_attempts_are_bounded(self) -> None:
        async with rig(4, retries=RetryOptions(attempts=2)) as one:
            for origin in one.origins:
                origin.always = lambda _: REFUSING
            await one.failed()
            assert sum(len(origin.seen) for origin in one.origins) == 3

    async def test_an_origin_is_asked_once(self) -> None:
        async with rig(2, retries=RetryOptions(attempts=9)) as one:
            for origin in one.origins:
                origin.always = lambda _: REFUSING
            await one.failed()
            assert [len(origin.seen) for origin in one.origins] == [1, 1]

    async def test_a_lone_origin_is_not_asked_again(self) -> None:
        async with rig(1) as one:
            one.origins[0].will(REFUSING)
            await one.failed()
            assert len(one.origins[0].seen) == 1

    async def test_an_outage_is_not_multiplied(self) -> None:
        async with rig(2, breaker=NEVER, retries=RetryOptions(budget=0.2)) as one:
            for origin in one.origins:
                origin.always = lambda _: REFUSING
            for _ in range(100):
                await one.failed()
            assert one.group.retries <= 10 + 0.2 * 100
            assert sum(len(origin.seen) for origin in one.origins) == 100 + one.group.retries

    async def test_what_may_have_had_effect_is_what_is_told(self) -> None:
        """A DELETE that was sent and broke off, then refused elsewhere: it may have happened."""
        async with rig(2) as one:
            await one.origins[1].stop()
            one.origins[0].will(REFUSING)
            error = await one.failed(method="DELETE")
            assert error.reason is Reason.ORIGIN_BROKEN
            assert not error.unsent

    async def test_a_frozen_one_costs_its_time_and_no_more(self) -> None:
        async with rig(2, origin={"header_timeout": 0.05}) as one:
            one.origins[0].will(Reply(wait=asyncio.Event()))
            async with asyncio.timeout(PATIENCE):
                assert await one.get() == "1"
            assert one.group.members[0].last_failure == "origin-header-timeout"


class TestBreaker:
    async def test_a_killed_origin_is_left_alone_and_taken_back(self) -> None:
        async with rig(2, breaker=breaker()) as one:
            await one.origins[0].stop()
            assert await one.many(10) == {"1": 10}
            assert one.states == ["down", "up"]
            assert one.group.members[0].requests == 2
            await one.origins[0].start()
            one.clock.now += 1.0
            assert await one.many(10) == {"0": 5, "1": 5}
            assert one.told == [(0, "down"), (0, "half_open"), (0, "up")]

    async def test_a_trial_that_fails_costs_one_request_a_try_and_a_longer_pause(self) -> None:
        async with rig(2, breaker=breaker()) as one:
            await one.origins[0].stop()
            await one.many(10)
            for pause in (1.0, 2.0, 4.0):
                before = one.group.members[0].requests
                one.clock.now += pause
                assert await one.many(10) == {"1": 10}
                assert one.group.members[0].requests == before + 1

    async def test_trials_do_not_use_up_the_budget(self) -> None:
        """With one request a minute every one is a trial, and the outage may last for hours."""
        async with rig(2, backups=(1,), breaker=breaker()) as one:
            await one.origins[0].stop()
            for _ in range(30):
                assert await one.get() == "1"
                one.clock.now += 60.0
            assert one.group.members[0].requests == 30

    async def test_only_so_many_try_at_a_time(self) -> None:
        async with rig(2, breaker=breaker(trials=2)) as one:
            await one.origins[0].stop()
            await one.many(6)
            await one.origins[0].start()
            held = asyncio.Event()
            one.origins[0].always = lambda _: Reply(body=b"0", wait=held)
            one.clock.now += 1.0
            asking = [asyncio.create_task(one.get()) for _ in range(20)]
            await one.origins[0].asked(2)
            await one.origins[1].asked(18)
            assert one.states == ["half_open", "up"]
            held.set()
            assert Counter(await asyncio.gather(*asking)) == {"0": 2, "1": 18}
            assert one.states == ["up", "up"]

    async def test_a_cancelled_trial_leaves_its_place(self) -> None:
        async with rig(2, breaker=breaker()) as one:
            await one.origins[0].stop()
            await one.many(4)
            await one.origins[0].start()
            one.origins[0].will(Reply(wait=asyncio.Event()))
            one.clock.now += 1.0
            asking = [asyncio.create_task(one.get()) for _ in range(2)]
            await one.origins[0].asked()
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)
            assert one.states == ["half_open", "up"]
            assert await one.many(4) == {"0": 2, "1": 2}

    async def test_all_down_is_said_at_once_and_when_to_come_back(self) -> None:
        async with rig(2, breaker=breaker(pause=20.0)) as one:
            for origin in one.origins:
                await origin.stop()
            for _ in range(4):
                await one.failed()
            error = await one.failed()
            assert (error.reason, error.status) == (Reason.ORIGIN_DOWN, 503)
            assert error.retry_after == 20
            assert error.unsent
            one.clock.now += 15.5
            assert (await one.failed()).retry_after == 5

    async def test_where_checks_hold_all_down_they_say_when_to_come_back(self) -> None:
        async with rig(1, checks=CheckOptions(path="/", interval=3.5, healthy=2)) as one:
            one.group.members[0].breaker.hold(one.clock.now, "checks fail")
            error = await one.failed()
            assert (error.reason, error.retry_after) == (Reason.ORIGIN_DOWN, 7)

    async def test_statuses_can_count_as_failures(self) -> None:
        async with rig(2, breaker=breaker(statuses=((500, 599),))) as one:
            one.origins[0].always = lambda _: Reply(500, body=b"0")
            assert (await one.many(10))["0"] == 2
            assert one.states == ["down", "up"]
            assert one.group.members[0].last_failure == "status 500"

    async def test_bodies_that_stall_open_it_too(self) -> None:
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"
        async with rig(1, breaker=breaker(failures=2)) as one:
            one.origins[0].always = lambda _: Reply(raw=raw)
            for _ in range(2):
                with pytest.raises(BodyAborted):
                    await one.get()
            assert one.states == ["down"]

    async def test_a_client_that_breaks_its_request_off_is_not_the_origins_fault(self) -> None:
        async with rig(1, breaker=breaker(failures=1)) as one:
            body = Pieces()
            body.put(RuntimeError("the client has left"))
            with pytest.raises(RuntimeError):
                await one.get(method="POST", body=body)
            assert one.states == ["up"]
            assert one.group.members[0].in_flight == 0

    async def test_a_connection_that_lay_idle_for_too_long_is_not_the_origins_fault(self) -> None:
        async with rig(1, breaker=breaker(failures=1)) as one:
            await one.get()
            one.origins[0].will(Reply(raw=b""))
            error = await one.failed(method="POST")  # it may have been sent: never again
            assert error.reason is Reason.ORIGIN_BROKEN
            assert one.states == ["up"]
            assert await one.get() == "0"

    async def test_slow_start_sends_few_requests_at_first(self) -> None:
        async with rig(2, breaker=breaker(slow_start=10.0)) as one:
            await one.origins[0].stop()
            await one.many(4)
            await one.origins[0].start()
            one.clock.now += 1.0
            while one.states[0] != "slow_start":
                await one.get()
            one.clock.now += 2.5
            early = await one.many(100)
            one.clock.now += 5.0
            late = await one.many(100)
            assert 15 <= early["0"] <= 25  # a quarter of the other's
            assert 38 <= late["0"] <= 48
            one.clock.now += 2.5
            assert await one.many(100) == {"0": 50, "1": 50}


class TestBackups:
    async def test_a_backup_takes_over_and_gives_back(self) -> None:
        async with rig(2, backups=(1,), breaker=breaker()) as one:
            assert await one.many(5) == {"0": 5}
            await one.origins[0].stop()
            assert await one.many(5) == {"1": 5}
            await one.origins[0].start()
            assert await one.many(5) == {"1": 5}
            one.clock.now += 1.0
            assert await one.many(5) == {"0": 5}

    async def test_primaries_come_first_while_one_stands(self) -> None:
        async with rig(3, backups=(0,), breaker=breaker()) as one:
            await one.origins[1].stop()
            assert await one.many(6) == {"2": 6}
            assert one.origins[0].seen == []


class TestLimit:
    @staticmethod
    def limit(**options: Any) -> LimitOptions:
        return LimitOptions(**{"concurrent": 1, "queue": 1, "queue_timeout": LONG, **options})

    async def test_no_more_are_under_way_and_the_rest_wait_in_turn(self) -> None:
        async with rig(2, limit=self.limit(concurrent=2, queue=10)) as one:
            gates = [asyncio.Event(), asyncio.Event()]
            for origin, gate in zip(one.origins, gates, strict=True):
                origin.will(Reply(wait=gate))
            asking = [asyncio.create_task(one.get(f"/{n}")) for n in range(6)]
            for origin in one.origins:
                await origin.asked()
            assert (one.group.admission.taken, one.group.admission.waiting) == (2, 4)
            gates[0].set()
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(asking[0], *asking[2:])
            targets = [seen.target for origin in one.origins for seen in origin.seen]
            assert sorted(targets) == [f"/{n}" for n in range(6)]
            gates[1].set()
            await asking[1]
            assert (one.group.admission.taken, one.group.admission.waiting) == (0, 0)

    async def test_a_full_queue_is_503_with_a_time(self) -> None:
        async with rig(1, limit=self.limit(queue_timeout=3.0)) as one:
            gate = asyncio.Event()
            one.origins[0].will(Reply(wait=gate))
            asking = [asyncio.create_task(one.get()) for _ in range(2)]
            await one.origins[0].asked()
            error = await one.failed()
            assert (error.reason, error.status) == (Reason.ORIGIN_OVERLOADED, 503)
            assert error.retry_after == 3
            assert one.group.members[0].failures == 0
            gate.set()
            await asyncio.gather(*asking)

    @pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning")
    @pytest.mark.parametrize("end", ["read", "close", "drop", "break"])
    async def test_a_place_is_free_when_the_response_is_over(self, end: str) -> None:
        async with rig(1, limit=self.limit(queue=0)) as one:
            reply = Reply(body=bytes(4 << 20))  # more than comes with a head
            if end == "break":
                reply = Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
            one.origins[0].will(reply)
            headers = CIMultiDict({"Host": "api.example"})
            response = await one.group.fetch(Outbound("GET", "/", headers))
            assert (await one.failed()).reason is Reason.ORIGIN_OVERLOADED
            assert one.group.members[0].in_flight == 1
            match end:
                case "read" | "break":
                    with suppress(BodyAborted):
                        await read(response)
                case "close":
                    await response.aclose()
                    await response.aclose()
            del response
            assert one.group.members[0].in_flight == 0
            assert await one.get() == "0"

    @pytest.mark.parametrize("reply", [Reply(204), Reply(304), Reply(), Reply(body=b"whole")])
    async def test_a_response_that_is_here_with_its_head_is_over(self, reply: Reply) -> None:
        async with rig(1, limit=self.limit(queue=0)) as one:
            one.origins[0].will(reply)
            headers = CIMultiDict({"Host": "api.example"})
            response = await one.group.fetch(Outbound("GET", "/", headers))
            assert one.group.admission.taken == one.group.members[0].in_flight == 0
            assert await read(response) == reply.body

    async def test_a_tunnel_holds_no_place(self) -> None:
        raw = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhi"
        async with rig(1, limit=self.limit(queue=0)) as one:
            one.origins[0].will(Reply(raw=raw))
            headers = CIMultiDict({"Host": "api.example", "Upgrade": "echo"})
            response = await one.group.fetch(Outbound("GET", "/", headers, upgrade=True))
            assert response.tunnel is not None
            assert one.group.admission.taken == one.group.members[0].in_flight == 0
            assert await one.get() == "0"
            await response.aclose()

    async def test_who_is_cancelled_takes_no_place(self) -> None:
        async with rig(1, limit=self.limit(queue=5)) as one:
            gate = asyncio.Event()
            one.origins[0].will(Reply(wait=gate))
            asking = [asyncio.create_task(one.get()) for _ in range(4)]
            await one.origins[0].asked()
            for task in asking[:3]:
                task.cancel()
            async with asyncio.timeout(PATIENCE):
                assert await asking[3] == "0"
            assert (one.group.admission.taken, one.group.admission.waiting) == (0, 0)


class TestTotal:
    @ON_A_STEADY_LOOP
    async def test_before_the_head_it_is_an_error_of_the_origin(self) -> None:
        async with rig(2, total_timeout=0.05, breaker=breaker(failures=1)) as one:
            one.origins[0].will(Reply(wait=asyncio.Event()))
            error = await one.failed()
            assert (error.reason, error.status) == (Reason.ORIGIN_TOTAL_TIMEOUT, 504)
            assert not error.unsent
            assert one.states == ["down", "up"]
            assert one.origins[1].seen == []  # there is no time for that
            assert one.group.members[0].in_flight == 0

    async def test_after_it_the_body_is_cut_short(self) -> None:
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"
        async with rig(1, total_timeout=LONG) as one:
            one.origins[0].will(Reply(interim=raw, wait=asyncio.Event()))
            headers = CIMultiDict({"Host": "api.example"})
            response = await one.group.fetch(Outbound("GET", "/", headers))
            assert isinstance(response.body, WatchedBody)
            response.body._deadline = asyncio.get_running_loop().time() + 0.1
            got, how = await aborted(response)
            assert (got, how.reason) == (b"part", Reason.ORIGIN_TOTAL_TIMEOUT)
            with pytest.raises(BodyAborted) as again:
                await anext(aiter(response.body))
            assert again.value.reason is Reason.ORIGIN_TOTAL_TIMEOUT
            assert one.group.members[0].in_flight == 0
            assert one.states == ["up"]

    async def test_what_is_in_time_is_whole(self) -> None:
        async with rig(1, total_timeout=LONG) as one:
            assert await one.get() == "0"

    async def test_it_bounds_the_wait_for_a_place(self) -> None:
        limit = LimitOptions(concurrent=1, queue=1, queue_timeout=LONG)
        async with rig(1, total_timeout=0.05, limit=limit) as one:
            await one.group.admission.enter()
            async with asyncio.timeout(PATIENCE):
                assert (await one.failed()).reason is Reason.ORIGIN_OVERLOADED

"""One request to the origin for all that want the same: what others get of it, and when not."""

import asyncio
from collections.abc import Sequence

import pytest

from proxy.purging import Mode, host_scope, tag_scope, url_scope
from proxy.rfc9111.policy import ClientDirectives, Policy
from tests.apparatus import Answer, Proxied, Reply, Seen, eventually, proxied

Line = tuple[str, str]
FRESH = ("Cache-Control", "max-age=60")
TAGGED = ("Cache-Tag", "product:42")
ETAG = ("ETag", '"v"')


def gated(
    *lines: Line, body: bytes = b"one", status: int = 200, **more: bytes
) -> tuple[Reply, asyncio.Event]:
    gate = asyncio.Event()
    return Reply(status=status, headers=lines, body=body, wait=gate, **more), gate


async def waiting(front: Proxied, number: int) -> None:
    """Until so many wait for somebody else's answer."""

    async def all_wait() -> bool:
        return front.gateway._flights.waiting == number

    await eventually(all_wait)


async def joined(
    front: Proxied, number: int, *lines: Line, leader: Sequence[Line] = ()
) -> list[asyncio.Task[Answer]]:
    """A leader whose request is at the origin, and so many that wait for what it gets."""
    asked = len(front.origin.seen)
    tasks = [asyncio.create_task(front.get("/", *leader))]
    await front.origin.asked(asked + 1)
    tasks += [asyncio.create_task(front.get("/", *lines)) for _ in range(number)]
    await waiting(front, number)
    return tasks


async def answers(tasks: Sequence[asyncio.Task[Answer]]) -> list[Answer]:
    async with asyncio.timeout(5):
        return await asyncio.gather(*tasks)


class TestACrowd:
    async def test_one_asks_for_all(self) -> None:
        reply, gate = gated(FRESH)
        async with proxied() as front:
            front.origin.will(reply)
            tasks = await joined(front, 9)
            gate.set()
            first, *others = await answers(tasks)
            assert len(front.origin.seen) == 1
            assert (await front.get()).hit
        assert {answer.body for answer in (first, *others)} == {b"one"}
        assert "; stored" in first.cache_status
        assert {answer.cache_status for answer in others} == {
            "warmfront; fwd=uri-miss; collapsed; ttl=60; detail=uri-miss"
        }

    async def test_what_may_not_be_shared_is_fetched_side_by_side(self) -> None:
        """And from then on nobody waits at all."""
        together = asyncio.Event()
        first, gate = gated(("Cache-Control", "no-store"))

        def answer(_: Seen) -> Reply:
            if len(front.origin.seen) == 10:
                together.set()
            return Reply(headers=[("Cache-Control", "no-store")], body=b"mine", wait=together)

        async with proxied() as front:
            front.origin.will(first)
            front.origin.always = answer
            tasks = await joined(front, 9)
            gate.set()
            assert {one.body for one in await answers(tasks)} == {b"one", b"mine"}
            assert len(front.origin.seen) == 10
            together.clear()
            later = [asyncio.create_task(front.get()) for _ in range(5)]
            await front.origin.asked(15)
            together.set()
            await answers(later)

    @pytest.mark.parametrize(
        "lines",
        [
            pytest.param([("Cache-Control", "no-cache"), ETAG], id="5.2.2.4-no-cache"),
            pytest.param([("Cache-Control", "max-age=0"), ETAG], id="4.2-stale at once"),
            pytest.param([("Cache-Control", "private")], id="5.2.2.7-private"),
            pytest.param([FRESH, ("Set-Cookie", "a=b")], id="a cookie"),
            pytest.param([FRESH, ("Vary", "*")], id="4.1-Vary any"),
            pytest.param([], id="4.2.2-silence"),
        ],
    )
    async def test_what_the_head_does_not_prove_shareable_is_for_one(
        self, lines: list[Line]
    ) -> None:
        reply, gate = gated(*lines)
        async with proxied() as front:
            front.origin.will(reply)
            front.origin.always = lambda _: Reply(headers=lines, body=b"mine")
            tasks = await joined(front, 3)
            gate.set()
            first, *others = await answers(tasks)
            assert len(front.origin.seen) == 4
        assert (first.body, {one.body for one in others}) == (b"one", {b"mine"})

    async def test_other_variants_are_fetched_for_those_that_want_them(self) -> None:
        reply, gate = gated(FRESH, ("Vary", "Accept-Language"))
        async with proxied() as front:
            front.origin.will(reply, Reply(headers=[FRESH], body=b"fr"))
            tasks = await joined(front, 1, ("Accept-Language", "fr"))
            same = asyncio.create_task(front.get())
            await waiting(front, 2)
            gate.set()
            first, french = await answers(tasks)
            assert (first.body, french.body, (await same).body) == (b"one", b"fr", b"one")
            assert len(front.origin.seen) == 2

    async def test_what_is_for_the_authorized_is_not_for_others(self) -> None:
        reply, gate = gated(FRESH)
        async with proxied() as front:
            front.origin.will(reply, Reply(headers=[FRESH], body=b"public"))
            tasks = await joined(front, 1, leader=[("Authorization", "secret")])
            gate.set()
            first, other = await answers(tasks)
        assert (first.body, other.body) == (b"one", b"public")

    async def test_credentials_that_get_nothing_shareable_do_not_set_others_apart(self) -> None:
        """The note that nothing can be shared is for requests with credentials only."""
        async with proxied() as front:
            front.origin.will(Reply(headers=[FRESH], body=b"secret"))
            await front.get("/", ("Authorization", "secret"))
            reply, gate = gated(FRESH)
            front.origin.will(reply)
            tasks = await joined(front, 3)
            gate.set()
            await answers(tasks)
            assert len(front.origin.seen) == 2

    @pytest.mark.parametrize(
        ("method", "lines", "status"),
        [
            pytest.param("HEAD", (), 200, id="HEAD"),
            pytest.param("OPTIONS", (), 204, id="OPTIONS"),
            pytest.param("POST", (), 200, id="POST"),
            pytest.param("GET", [("If-None-Match", '"v"')], 304, id="a condition"),
            pytest.param("GET", [("Range", "bytes=0-1")], 416, id="a range"),
            pytest.param("GET", [("Cache-Control", "no-store")], 200, id="no-store"),
            pytest.param("GET", [("X", "\xff")], 400, id="an error that it provokes"),
        ],
    )
    async def test_what_fits_one_request_only_sets_no_others_apart(
        self, method: str, lines: Sequence[Line], status: int
    ) -> None:
        """Or anybody could have every client ask the origin, by a request before each."""
        async with proxied() as front:
            front.origin.will(Reply(status=status, headers=[FRESH], body=b""))
            await front.ask(method, "/", *lines)
            reply, gate = gated(FRESH)
            front.origin.will(reply)
            tasks = await joined(front, 3)
            gate.set()
            await answers(tasks)
            assert len(front.origin.seen) == 2

    @pytest.mark.parametrize(
        "line",
        [
            ("If-None-Match", '"v"'),
            ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("Range", "bytes=0-1"),
            ("Cache-Control", "no-store"),
        ],
    )
    async def test_nobody_waits_for_an_answer_that_fits_one_request_only(self, line: Line) -> None:
        reply, gate = gated(FRESH)
        async with proxied() as front:
            front.origin.will(reply, Reply(headers=[FRESH], body=b"for all"))
            special = asyncio.create_task(front.get("/", line))
            await front.origin.asked()
            assert (await front.get()).body == b"for all"
            gate.set()
            await special

    async def test_the_conditions_of_one_that_waited_are_answered(self) -> None:
        reply, gate = gated(FRESH, ETAG)
        async with proxied() as front:
            front.origin.will(reply)
            tasks = await joined(front, 1, ("If-None-Match", '"v"'))
            part = asyncio.create_task(front.get("/", ("Range", "bytes=1-1")))
            await waiting(front, 2)
            gate.set()
            _, conditional = await answers(tasks)
            partial = await part
            assert len(front.origin.seen) == 1
        assert conditional.status == 304
        assert (partial.status, partial.body) == (206, b"n")

    async def test_who_demands_validation_does_not_wait_for_what_was_asked_before(self) -> None:
        policy = Policy(client_directives=ClientDirectives.HONOR)
        reply, gate = gated(FRESH)
        async with proxied(policy) as front:
            front.origin.will(reply, Reply(headers=[FRESH], body=b"new"))
            tasks = await joined(front, 1, ("Cache-Control", "no-cache"))
            gate.set()
            assert [one.body for one in await answers(tasks)] == [b"one", b"new"]


class TestStreaming:
    async def test_others_read_along_from_the_first_byte(self) -> None:
        gate = asyncio.Event()
        head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 6\r\n\r\nabc"
        async with proxied() as front:
            front.origin.will(Reply(interim=head, wait=gate, raw=b"def"))
            streams = [
                await asyncio.open_connection("127.0.0.1", front.listener.port) for _ in range(3)
            ]
            for reader, writer in streams:
                writer.write(b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
                async with asyncio.timeout(5):
                    await reader.readuntil(b"\r\n\r\n")
                    assert await reader.readexactly(3) == b"abc"
            # The leader leaves; nobody else loses a byte.
            streams[0][1].transport.abort()
            gate.set()
            for reader, writer in streams[1:]:
                async with asyncio.timeout(5):
                    assert await reader.readexactly(3) == b"def"
                writer.close()
            await front.settled()
            assert (await front.get()).hit
            assert len(front.origin.seen) == 1

    async def test_a_body_cut_short_is_cut_short_for_all(self) -> None:
        gate = asyncio.Event()
        raw = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 6\r\n\r\nabc"
        async with proxied() as front:
            front.origin.will(Reply(raw=raw, wait=gate))
            tasks = await joined(front, 3)
            gate.set()
            assert not any(one.complete for one in await answers(tasks))
            front.origin.will(Reply(headers=[FRESH], body=b"whole"))
            assert (await front.get()).body == b"whole"

    async def test_what_turns_out_too_large_is_whole_for_all_that_began(self) -> None:
        gate = asyncio.Event()
        body = b"x" * 5000
        head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
        rest = b"1388\r\n" + body + b"\r\n0\r\n\r\n"
        async with proxied(max_object_size=1000) as front:
            front.origin.will(Reply(raw=head + rest, wait=gate))
            front.origin.always = lambda _: Reply(raw=head + rest)
            tasks = await joined(front, 3)
            gate.set()
            assert {(one.complete, one.body) for one in await answers(tasks)} == {(True, body)}

    async def test_a_body_of_nothing_is_shared_too(self) -> None:
        reply, gate = gated(FRESH, body=b"")
        async with proxied() as front:
            front.origin.will(reply)
            tasks = await joined(front, 3)
            gate.set()
            assert {(one.status, one.body) for one in await answers(tasks)} == {(200, b"")}
            assert len(front.origin.seen) == 1


class TestValidation:
    async def test_one_validates_for_all(self) -> None:
        async with proxied() as front:
            front.origin.will(Reply(headers=[FRESH, ETAG], body=b"one"))
            await front.get()
            front.clock.now += 61
            reply, gate = gated(FRESH, ETAG, status=304)
            front.origin.will(reply)
            tasks = await joined(front, 5)
            gate.set()
            first, *others = await answers(tasks)
            assert len(front.origin.seen) == 2
        assert "detail=validated" in first.cache_status
        assert {(one.status, one.body) for one in others} == {(200, b"one")}
        assert all("; collapsed" in one.cache_status for one in others)

    async def test_a_new_version_is_for_all(self) -> None:
        async with proxied() as front:
            front.origin.will(Reply(headers=[FRESH, ETAG], body=b"one"))
            await front.get()
            front.clock.now += 61
            reply, gate = gated(FRESH, body=b"two")
            front.origin.will(reply)
            tasks = await joined(front, 5)
            gate.set()
            assert {one.body for one in await answers(tasks)} == {b"two"}
            assert len(front.origin.seen) == 2

    async def test_what_must_be_validated_each_time_is_validated_side_by_side(self) -> None:
        lines = [("Cache-Control", "no-cache"), ETAG]
        async with proxied() as front:
            front.origin.will(Reply(headers=lines, body=b"one"))
            await front.get()
            together = asyncio.Event()
            front.origin.always = lambda _: Reply(status=304, headers=lines, wait=together)
            tasks = [asyncio.create_task(front.get()) for _ in range(5)]
            await front.origin.asked(6)
            together.set()
            assert {one.body for one in await answers(tasks)} == {b"one"}

    @pytest.mark.parametrize("status", [500, 503])
    async def test_an_error_that_may_be_bridged_is_met_once(self, status: int) -> None:
        async with proxied(Policy(stale_if_error=600)) as front:
            front.origin.will(Reply(headers=[FRESH, ETAG], body=b"one"))
            await front.get()
            front.clock.now += 61
            reply, gate = gated(status=status)
            front.origin.will(reply)
            tasks = await joined(front, 5)
            gate.set()
            got = await answers(tasks)
            assert len(front.origin.seen) == 2
        assert {one.body for one in got} == {b"one"}
        assert all("detail=stale-if-error" in one.cache_status for one in got)

    async def test_an_origin_that_is_gone_is_found_out_once(self) -> None:
        async with proxied(Policy(grace=600)) as front:
            front.origin.will(Reply(headers=[FRESH, ETAG], body=b"one"))
            await front.get()
            front.clock.now += 61
            await front.origin.stop()
            got = await answers([asyncio.create_task(front.get()) for _ in range(5)])
            await front.origin.start()
        assert {one.body for one in got} == {b"one"}

    async def test_an_origin_error_that_nothing_can_bridge_is_each_one_s_own(self) -> None:
        reply, gate = gated(status=500, body=b"oops")
        async with proxied() as front:
            front.origin.will(reply)
            front.origin.always = lambda _: Reply(headers=[FRESH], body=b"fine")
            tasks = await joined(front, 3)
            gate.set()
            first, *others = await answers(tasks)
        assert (first.status, {one.body for one in others}) == (500, {b"fine"})


class TestPurges:
    @pytest.mark.parametrize(
        "scope",
        [
            tag_scope("product:42"),
            url_scope("http://api.example/"),
            host_scope("api.example"),
            tag_scope("something else"),
        ],
    )
    async def test_who_comes_after_a_purge_does_not_join_what_began_before(
        self, scope: str
    ) -> None:
        """While nobody knows the tags of what is on its way, any purge may concern it."""
        reply, gate = gated(FRESH, TAGGED, body=b"old")
        async with proxied() as front:
            front.origin.will(reply, Reply(headers=[FRESH], body=b"new"))
            tasks = await joined(front, 0)
            await front.log.append([scope], Mode.HARD)
            assert (await front.get()).body == b"new"
            gate.set()
            await answers(tasks)

    @pytest.mark.parametrize(
        ("scope", "joins"),
        [(tag_scope("product:42"), False), (tag_scope("something else"), True)],
    )
    async def test_once_the_head_is_here_only_a_purge_of_its_own_counts(
        self,
        scope: str,
        joins: bool,  # noqa: FBT001 - a case
    ) -> None:
        gate = asyncio.Event()
        head = (
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nCache-Tag: product:42\r\n"
            b"Content-Length: 3\r\n\r\n"
        )
        async with proxied() as front:
            front.origin.will(
                Reply(interim=head, wait=gate, raw=b"old"), Reply(headers=[FRESH], body=b"new")
            )
            reader, writer = await asyncio.open_connection("127.0.0.1", front.listener.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
            async with asyncio.timeout(5):
                await reader.readuntil(b"\r\n\r\n")
            await front.log.append([scope], Mode.HARD)
            asyncio.get_running_loop().call_later(0.05, gate.set)
            answer = await front.get()
            writer.close()
        assert answer.body == (b"old" if joins else b"new")

    async def test_those_that_waited_through_a_purge_send_one_to_ask_anew(self) -> None:
        reply, gate = gated(FRESH, TAGGED, body=b"old")
        async with proxied() as front:
            front.origin.will(reply)
            front.origin.always = lambda _: Reply(headers=[FRESH, TAGGED], body=b"new")
            tasks = await joined(front, 8)
            await front.log.append([tag_scope("product:42")], Mode.HARD)
            gate.set()
            first, *others = await answers(tasks)
            assert (first.body, {one.body for one in others}) == (b"old", {b"new"})
            assert len(front.origin.seen) == 2
            assert (await front.get()).body == b"new"

    async def test_nothing_is_left_over(self) -> None:
        replies = [gated(FRESH), gated(("Cache-Control", "no-store")), gated(status=500)]
        async with proxied() as front:
            for reply, gate in replies:
                front.origin.will(reply)
                tasks = await joined(front, 2)
                gate.set()
                await answers(tasks)
                await front.log.append(["*"], Mode.HARD)
                front.gateway._coalescing._unshareable._until.clear()
                assert (len(front.gateway._flights), front.gateway._flights.waiting) == (0, 0)


class TestWithoutNewsOfPurges:
    """Nothing that is stored is trusted, and no answer that was asked for before one came."""

    @pytest.mark.parametrize("stored", [False, True], ids=["cold", "stored"])
    async def test_those_that_come_meanwhile_send_one_of_them_next(self, stored: bool) -> None:  # noqa: FBT001
        async with proxied() as front:
            front.log.trusted = False
            if stored:
                front.origin.will(Reply(headers=[FRESH, ETAG], body=b"zero"))
                await front.get()
            first, gate = gated(FRESH, ETAG, body=b"one")
            second, later = gated(FRESH, ETAG, body=b"two")
            front.origin.will(first, second)
            asked = len(front.origin.seen)
            tasks = await joined(front, 5)
            gate.set()
            await front.origin.asked(asked + 2)
            await waiting(front, 4)
            later.set()
            leader, *others = await answers(tasks)
            assert len(front.origin.seen) == asked + 2
        assert (leader.body, {one.body for one in others}) == (b"one", {b"two"})

    async def test_what_is_stored_is_confirmed_once_for_all_that_wait(self) -> None:
        async with proxied() as front:
            front.log.trusted = False
            front.origin.will(Reply(headers=[FRESH, ETAG], body=b"one"))
            await front.get()
            gates = []
            for _ in range(2):
                reply, gate = gated(FRESH, ETAG, status=304)
                gates.append(gate)
                front.origin.will(reply)
            tasks = await joined(front, 5)
            gates[0].set()
            await front.origin.asked(3)
            await waiting(front, 4)
            gates[1].set()
            assert {one.body for one in await answers(tasks)} == {b"one"}
            assert len(front.origin.seen) == 3

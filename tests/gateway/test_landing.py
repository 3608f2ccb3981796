"""What lands in the store when several answers are on their way, or only parts of one."""

import asyncio
from dataclasses import replace

import pytest

from proxy.events import NotStored
from proxy.purging import Mode, tag_scope
from proxy.rfc9111.policy import KeyPolicy, Policy
from proxy.rfc9111.reasons import Reason
from proxy.routes import Route
from tests.apparatus import Reply, proxied

MAX_AGE = ("Cache-Control", "max-age=60")
ETAG = ("ETag", '"v"')
WHOLE = b"0123456789"


def part(first: int, last: int, *lines: tuple[str, str]) -> Reply:
    content_range = ("Content-Range", f"bytes {first}-{last}/10")
    return Reply(
        status=206, headers=[MAX_AGE, ETAG, content_range, *lines], body=WHOLE[first : last + 1]
    )


class TestRaces:
    async def test_an_older_answer_that_comes_later_does_not_replace_a_newer_one(self) -> None:
        gate = asyncio.Event()
        async with proxied() as front:
            front.origin.will(
                Reply(headers=[MAX_AGE], body=b"old", wait=gate),
                Reply(headers=[MAX_AGE], body=b"new"),
            )
            alone = ("If-None-Match", '"another"')  # nobody waits for the answer to that
            slow = asyncio.create_task(front.get("/", alone))
            await front.origin.asked()
            front.clock.now += 1
            await front.get()
            gate.set()
            assert (await slow).body == b"old"
            answer = await front.get()
        assert (answer.hit, answer.body) == (True, b"new")
        assert NotStored("http://api.example/", Reason.OUTDATED) in front.events

    async def test_an_invalidated_fill_says_why_it_is_not_there(self) -> None:
        gate = asyncio.Event()
        async with proxied() as front:
            front.origin.will(Reply(headers=[MAX_AGE], body=b"old", wait=gate), Reply(status=204))
            slow = asyncio.create_task(front.get())
            await front.origin.asked()
            await front.ask("DELETE")
            gate.set()
            status = (await slow).cache_status
        assert status == "warmfront; fwd=uri-miss; fwd-status=200; detail=outdated"
        assert NotStored("http://api.example/", Reason.OUTDATED) in front.events

    async def test_a_part_that_comes_later_does_not_replace_the_whole(self) -> None:
        gate = asyncio.Event()
        async with proxied() as front:
            first = replace(part(0, 1), wait=gate)
            front.origin.will(first, Reply(headers=[MAX_AGE, ETAG], body=WHOLE))
            slow = asyncio.create_task(front.get("/", ("Range", "bytes=0-1")))
            await front.origin.asked()
            await front.get()
            gate.set()
            assert (await slow).status == 206
            answer = await front.get()
        assert (answer.hit, answer.body) == (True, WHOLE)

    async def test_a_part_of_another_representation_does(self) -> None:
        gate = asyncio.Event()
        async with proxied() as front:
            first = replace(part(0, 1), wait=gate)
            old = Reply(headers=[MAX_AGE, ("ETag", '"old"')], body=WHOLE)
            front.origin.will(first, old, part(2, 9))
            slow = asyncio.create_task(front.get("/", ("Range", "bytes=0-1")))
            await front.origin.asked()
            await front.get()
            gate.set()
            await slow
            answer = await front.get("/", ("Range", "bytes=0-0"))
        assert (answer.hit, answer.headers["ETag"]) == (True, '"v"')

    async def test_a_body_cut_short_leaves_what_it_was_to_replace(self) -> None:
        cut = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhalf"
        lines = [("Cache-Control", "max-age=60, stale-if-error=600"), ETAG]
        async with proxied() as front:
            front.origin.will(Reply(headers=lines, body=b"one"), Reply(raw=cut), Reply(status=503))
            await front.get()
            front.clock.now += 61
            broken = await front.get()
            answer = await front.get()
        assert not broken.complete
        assert (answer.status, answer.body) == (200, b"one")
        assert "detail=stale-if-error" in answer.cache_status


class TestParts:
    async def test_a_206_to_if_range_need_not_repeat_what_is_held(self) -> None:
        """RFC 9110 §15.3.7: it should not even, beyond what it must."""
        async with proxied() as front:
            front.origin.will(part(0, 4, ("Content-Type", "text/x"), ("X-Own", "1")), part(5, 9))
            await front.get("/", ("Range", "bytes=0-4"))
            whole = await front.get()
            again = await front.get()
        for answer in (whole, again):
            assert (answer.status, answer.body) == (200, WHOLE)
            assert (answer.headers["Content-Type"], answer.headers["X-Own"]) == ("text/x", "1")
        assert again.hit

    async def test_parts_do_not_grow_beyond_the_limit_of_an_object(self) -> None:
        async with proxied(max_object_size=6) as front:
            front.origin.will(part(0, 4), part(5, 9))
            await front.get("/", ("Range", "bytes=0-4"))
            await front.get("/", ("Range", "bytes=5-9"))
            answer = await front.get("/", ("Range", "bytes=5-6"))
            assert (answer.hit, answer.body) == (True, b"56")
        assert len(front.origin.seen) == 2

    async def test_parts_of_different_variants_are_not_joined(self) -> None:
        vary = ("Vary", "Accept-Language")
        async with proxied() as front:
            german, french = ("Accept-Language", "de"), ("Accept-Language", "fr")
            front.origin.will(part(0, 4, vary), part(5, 9, vary), part(0, 4, vary))
            await front.get("/", ("Range", "bytes=0-4"), german)
            await front.get("/", ("Range", "bytes=5-9"), french)
            miss = await front.get("/", ("Range", "bytes=0-4"), french)
            held = await front.get("/", ("Range", "bytes=1-2"), german)
            joined = await front.get("/", ("Range", "bytes=0-9"), french)
        assert (miss.hit, held.hit, held.body) == (False, True, b"12")
        assert (joined.hit, joined.body) == (True, WHOLE)
        assert len(front.origin.seen) == 3

    @pytest.mark.parametrize(
        "rest",
        [
            pytest.param(
                Reply(
                    raw=b'HTTP/1.1 206 Partial\r\nCache-Control: max-age=60\r\nETag: "v"\r\n'
                    b"Content-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n56"
                ),
                id="3.3-cut short",
            ),
            pytest.param(part(5, 9, ("Set-Cookie", "a=b")), id="7.3-not to be stored"),
            pytest.param(
                Reply(status=416, headers=[("Content-Range", "bytes */5")]), id="3.4-it ends here"
            ),
            pytest.param(
                Reply(status=206, headers=[MAX_AGE, ETAG, ("Content-Range", "bytes 7-9/10")]),
                id="3.4-a gap",
            ),
        ],
    )
    async def test_what_does_not_complete_a_part_is_no_answer(self, rest: Reply) -> None:
        async with proxied() as front:
            front.origin.will(part(0, 4), rest, Reply(headers=[MAX_AGE], body=b"all new"))
            await front.get("/", ("Range", "bytes=0-4"))
            whole = await front.get()
            again = await front.get()
        assert (whole.status, whole.body, whole.complete) == (200, b"all new", True)
        assert front.origin.seen[2].values("Range") == []
        assert (again.hit, again.body) == (True, b"all new")

    async def test_what_grows_too_large_is_fetched_and_passed_on(self) -> None:
        async with proxied(max_object_size=8) as front:
            front.origin.will(part(0, 4), part(5, 9), Reply(headers=[MAX_AGE], body=WHOLE))
            await front.get("/", ("Range", "bytes=0-4"))
            whole = await front.get()
        assert (whole.status, whole.body) == (200, WHOLE)
        assert "detail=too-large" in whole.cache_status

    async def test_an_origin_that_fails_does_not_take_the_part(self) -> None:
        async with proxied() as front:
            front.origin.will(part(0, 4), Reply(raw=b"not HTTP\r\n\r\n"))
            await front.get("/", ("Range", "bytes=0-4"))
            failed = await front.get()
            held = await front.get("/", ("Range", "bytes=1-2"))
        assert failed.status == 502
        assert "fwd=partial" in failed.cache_status
        assert (held.hit, held.body) == (True, b"12")

    async def test_a_head_is_not_answered_from_a_part(self) -> None:
        async with proxied() as front:
            front.origin.will(part(0, 4), Reply(headers=[MAX_AGE], body=WHOLE))
            await front.get("/", ("Range", "bytes=0-4"))
            answer = await front.ask("HEAD")
        assert (answer.status, answer.headers["Content-Length"]) == (200, "10")
        assert front.origin.seen[1].values("Range") == []

    async def test_a_range_that_cannot_be_satisfied_is_nobody_else_s_answer(self) -> None:
        async with proxied() as front:
            front.origin.will(Reply(status=416, headers=[MAX_AGE]), Reply(body=WHOLE))
            refused = await front.get("/", ("Range", "bytes=99-"))
            answer = await front.get()
        assert "detail=status-never-stored" in refused.cache_status
        assert (answer.status, answer.body) == (200, WHOLE)

    async def test_a_stale_part_is_validated_as_it_is(self) -> None:
        async with proxied() as front:
            front.origin.will(part(0, 4), Reply(status=304, headers=[ETAG]))
            await front.get("/", ("Range", "bytes=0-4"))
            front.clock.now += 61
            answer = await front.get("/", ("Range", "bytes=1-2"))
            again = await front.get("/", ("Range", "bytes=3-4"))
        assert (answer.status, answer.body) == (206, b"12")
        assert (again.hit, again.body) == (True, b"34")


class TestPosts:
    def own(self) -> Reply:
        return Reply(headers=[MAX_AGE, ("Content-Location", "/a")], body=b"posted")

    async def test_what_a_post_stores_has_the_key_of_the_gets_that_it_answers(self) -> None:
        posts = Route(name="posts", methods=frozenset({"POST"}))
        gets = Policy(key=KeyPolicy(headers=("x-tenant",)))
        async with proxied(gets, [posts]) as front:
            front.origin.will(self.own(), Reply(headers=[MAX_AGE], body=b"nobody's"))
            await front.ask("POST", "/a", ("X-Tenant", "1"), body=b"")
            mine = await front.get("/a", ("X-Tenant", "1"))
            nobody_s = await front.get("/a")
        assert (mine.hit, mine.body) == (True, b"posted")
        assert (nobody_s.hit, nobody_s.body) == (False, b"nobody's")

    async def test_a_write_elsewhere_does_not_keep_it_out(self) -> None:
        await self.while_posting("/elsewhere", stored=True)

    async def test_another_write_to_the_same_url_does(self) -> None:
        await self.while_posting("/a", stored=False)

    async def test_a_purge_of_its_tag_while_it_was_on_its_way_does_too(self) -> None:
        gate = asyncio.Event()
        tagged = replace(self.own(), wait=gate)
        tagged.headers = [*tagged.headers, ("Cache-Tag", "a")]
        async with proxied() as front:
            front.origin.will(tagged)
            posting = asyncio.create_task(front.ask("POST", "/a", body=b""))
            await front.origin.asked()
            await front.log.append([tag_scope("a")], Mode.HARD)
            gate.set()
            await posting
            assert not (await front.get("/a")).hit

    async def while_posting(self, target: str, *, stored: bool) -> None:
        gate = asyncio.Event()
        async with proxied() as front:
            front.origin.will(replace(self.own(), wait=gate), Reply(status=204))
            posting = asyncio.create_task(front.ask("POST", "/a", body=b""))
            await front.origin.asked()
            await front.ask("PUT", target, body=b"")
            gate.set()
            await posting
            assert (await front.get("/a")).hit is stored

    async def test_nothing_is_stored_for_gets_that_are_not_cached(self) -> None:
        posts = Route(name="posts", methods=frozenset({"POST"}))
        async with proxied(Policy(cache=False), [posts]) as front:
            front.origin.will(self.own())
            answer = await front.ask("POST", "/a", body=b"")
        assert "detail=cache-off" in answer.cache_status
        assert len(front.store) == 0


class TestLostAnswers:
    @pytest.mark.parametrize("raw", [b"", b"not HTTP\r\n\r\n"])
    async def test_a_write_whose_answer_got_lost_may_have_happened(self, raw: bytes) -> None:
        async with proxied() as front:
            front.origin.will(
                Reply(headers=[MAX_AGE], body=b"before"),
                Reply(raw=raw),
                Reply(headers=[MAX_AGE], body=b"after"),
            )
            await front.get()
            written = await front.ask("PUT", "/", body=b"after")
            answer = await front.get()
        assert written.status == 502
        assert (answer.hit, answer.body) == (False, b"after")

    async def test_a_write_that_was_never_sent_has_not(self) -> None:
        async with proxied() as front:
            front.origin.will(Reply(headers=[MAX_AGE], body=b"before"))
            await front.get()
            await front.origin.stop()
            written = await front.ask("PUT", "/", body=b"after")
            answer = await front.get()
            await front.origin.start()
        assert written.status == 502
        assert (answer.hit, answer.body) == (True, b"before")

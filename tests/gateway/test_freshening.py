"""What a 304 or a HEAD does to what is stored, and who gets what of it."""

import pytest

from proxy.purging import Mode, tag_scope
from proxy.rfc9111.policy import Policy, SetCookie
from tests.apparatus import Reply, proxied

MAX_AGE = ("Cache-Control", "max-age=60")
ETAG = ("ETag", '"v"')


async def test_a_client_that_asks_with_the_same_tag_freshens_for_all() -> None:
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[MAX_AGE, ETAG], body=b"one"), Reply(status=304, headers=[ETAG])
        )
        await front.get()
        front.clock.now += 61
        asked = await front.get("/", ("If-None-Match", '"v"'))
        answer = await front.get()
    assert asked.status == 304
    assert "detail=validated" in asked.cache_status
    assert (answer.hit, answer.body) == (True, b"one")


async def test_a_304_that_changes_vary_moves_the_variant() -> None:
    vary = ("Vary", "X-V")
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[MAX_AGE, ETAG], body=b"one"),
            Reply(status=304, headers=[ETAG, vary]),
            Reply(headers=[MAX_AGE, ETAG, vary], body=b"two"),
        )
        await front.get()
        front.clock.now += 61
        await front.get("/", ("X-V", "1"))
        other = await front.get("/", ("X-V", "2"))
        same = await front.get("/", ("X-V", "1"))
    assert "fwd=vary-miss" in other.cache_status
    assert other.body == b"two"
    assert (same.hit, same.body) == (True, b"one")


async def test_a_variant_found_by_its_language_stays_in_its_place() -> None:
    lines = [MAX_AGE, ETAG, ("Vary", "Accept-Language"), ("Content-Language", "de")]
    first, later = ("Accept-Language", "de, fr;q=0.5"), ("Accept-Language", "de-AT;q=0.1, de")
    async with proxied() as front:
        front.origin.will(Reply(headers=lines, body=b"de"), Reply(status=304, headers=lines))
        await front.get("/", first)
        front.clock.now += 61
        validated = await front.get("/", later)
        hits = [await front.get("/", language) for language in (first, later)]
    assert "fwd-status=304" in validated.cache_status
    assert [(hit.hit, hit.body) for hit in hits] == [(True, b"de"), (True, b"de")]


async def test_surrogate_control_outlasts_a_304_that_leaves_it_out() -> None:
    lines = [("Cache-Control", "no-cache"), ETAG]
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[*lines, ("Surrogate-Control", "max-age=60")], body=b"one"),
            Reply(status=304, headers=lines),
        )
        await front.get()
        front.clock.now += 61
        validated = await front.get()
        hit = await front.get()
    assert "ttl=60" in validated.cache_status
    assert hit.hit
    assert "Surrogate-Control" not in validated.headers
    assert "Surrogate-Control" not in hit.headers


async def test_who_validates_gets_the_cookie_that_is_not_stored() -> None:
    async with proxied(Policy(set_cookie=SetCookie.STRIP)) as front:
        front.origin.will(
            Reply(headers=[MAX_AGE, ETAG], body=b"one"),
            Reply(status=304, headers=[ETAG, ("Set-Cookie", "id=2")]),
        )
        await front.get()
        front.clock.now += 61
        validated = await front.get()
        hit = await front.get()
    assert validated.headers["Set-Cookie"] == "id=2"
    assert hit.hit
    assert "Set-Cookie" not in hit.headers


async def test_a_head_freshens_the_stored_get() -> None:
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[MAX_AGE, ETAG], body=b"one"),
            Reply(headers=[MAX_AGE, ETAG, ("X-New", "1")], body=b"one"),
        )
        await front.get()
        front.clock.now += 61
        await front.ask("HEAD")
        answer = await front.get()
    assert (answer.hit, answer.body, answer.headers["X-New"]) == (True, b"one", "1")


async def test_tags_follow_a_head() -> None:
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[MAX_AGE, ETAG, ("Cache-Tag", "old")], body=b"one"),
            Reply(headers=[MAX_AGE, ETAG, ("Cache-Tag", "new")], body=b"one"),
            Reply(headers=[MAX_AGE], body=b"two"),
        )
        await front.get()
        front.clock.now += 61
        await front.ask("HEAD")
        await front.log.append([tag_scope("old")], Mode.HARD)
        assert (await front.get()).hit
        await front.log.append([tag_scope("new")], Mode.HARD)
        assert (await front.get()).body == b"two"


async def test_a_head_that_says_nothing_of_it_leaves_the_stored_get() -> None:
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[MAX_AGE, ETAG], body=b"one"),
            Reply(headers=[MAX_AGE], body=b"one"),
            Reply(status=304, headers=[ETAG]),
        )
        await front.get()
        front.clock.now += 61
        await front.ask("HEAD")
        answer = await front.get()
    assert (answer.status, answer.body) == (200, b"one")
    assert "fwd-status=304" in answer.cache_status


async def test_a_304_that_weakens_the_date_of_a_part_ends_its_if_range() -> None:
    part = [MAX_AGE, ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")]
    asked = [("Range", "bytes=0-1"), ("If-Range", "Sun, 06 Nov 1994 08:49:37 GMT")]
    async with proxied() as front:
        front.origin.will(
            Reply(status=206, headers=[*part, ("Content-Range", "bytes 0-1/4")], body=b"01"),
            Reply(status=304, headers=[("Date", "Sun, 06 Nov 1994 08:49:38 GMT")]),
            Reply(headers=[MAX_AGE], body=b"0123"),
        )
        await front.get("/", *asked)
        front.clock.now += 61
        answer = await front.get("/", *asked)
    assert (answer.status, answer.body) == (200, b"0123")
    assert "fwd=partial; fwd-status=200" in answer.cache_status


async def test_only_if_cached_does_not_wait_for_validation() -> None:
    async with proxied() as front:
        front.origin.will(Reply(headers=[MAX_AGE, ETAG], body=b"one"))
        await front.get()
        front.clock.now += 61
        answer = await front.get("/", ("Cache-Control", "only-if-cached"))
    assert answer.status == 504
    assert len(front.origin.seen) == 1


async def test_without_a_validator_a_304_answers_the_client_s_own_question() -> None:
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[MAX_AGE], body=b"one"),
            Reply(status=304, headers=[ETAG]),
            Reply(headers=[MAX_AGE], body=b"two"),
        )
        await front.get()
        front.clock.now += 61
        own = await front.get("/", ("If-None-Match", '"v"'))
        answer = await front.get()
    assert (own.status, own.headers["ETag"]) == (304, '"v"')
    assert (answer.hit, answer.body) == (False, b"two")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_conditions_of_every_method_are_answered_after_validation(method: str) -> None:
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[MAX_AGE, ETAG], body=b"one"), Reply(status=304, headers=[ETAG])
        )
        await front.get()
        front.clock.now += 61
        answer = await front.ask(
            method, "/", ("If-None-Match", '"v0", W/"v"'), ("Range", "bytes=0-0")
        )
    assert (answer.status, answer.body) == (304, b"")
    assert front.origin.seen[1].method == method
    assert front.origin.seen[1].values("If-None-Match") == ['"v"']
    assert front.origin.seen[1].values("Range") == []


async def test_a_range_is_cut_from_what_was_just_validated() -> None:
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[MAX_AGE, ETAG], body=b"0123"), Reply(status=304, headers=[ETAG])
        )
        await front.get()
        front.clock.now += 61
        answer = await front.get("/", ("Range", "bytes=1-2"), ("If-Range", '"v"'))
    assert (answer.status, answer.body) == (206, b"12")
    assert answer.headers["Content-Range"] == "bytes 1-2/4"


async def test_a_304_that_forbids_storing_is_the_last_answer() -> None:
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[MAX_AGE, ETAG], body=b"one"),
            Reply(status=304, headers=[ETAG, ("Cache-Control", "no-store")]),
            Reply(body=b"two"),
        )
        await front.get()
        front.clock.now += 61
        last = await front.get()
        answer = await front.get()
    assert (last.status, last.body) == (200, b"one")
    assert "; stored" not in last.cache_status
    assert answer.body == b"two"
    assert "fwd=uri-miss" in answer.cache_status

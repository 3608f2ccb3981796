"""What one user's request leaves in the store, and what another user then gets of it."""

import pytest

from proxy.rfc9111.policy import Policy
from tests.apparatus import Reply, proxied

COOKIE = ("Cookie", "session=1")
KNOWN = [COOKIE, ("Authorization", "Basic eDp5")]


@pytest.mark.parametrize("credentials", KNOWN)
@pytest.mark.parametrize("policy", [Policy(), Policy(default_ttl=60.0)])
async def test_a_known_user_gets_nothing_whose_lifetime_was_only_assumed(
    credentials: tuple[str, str], policy: Policy
) -> None:
    async with proxied(policy) as front:
        front.origin.will(
            Reply(headers=[("Last-Modified", front.clock.date(-1000))], body=b"welcome, stranger"),
            Reply(headers=[("Last-Modified", front.clock.date(-1000))], body=b"welcome back"),
        )
        await front.get()
        known = await front.get("/", credentials)
        stranger = await front.get()
    assert known.body == b"welcome back"
    assert "fwd=request; fwd-status=200" in known.cache_status
    assert (stranger.hit, stranger.body) == (True, b"welcome, stranger")


@pytest.mark.parametrize("credentials", KNOWN)
async def test_a_known_user_s_question_is_not_answered_by_last_modified_alone(
    credentials: tuple[str, str],
) -> None:
    async with proxied() as front:
        modified = ("Last-Modified", front.clock.date())
        front.origin.will(
            Reply(headers=[modified], body=b"stranger"), Reply(headers=[modified], body=b"mine")
        )
        await front.get()
        front.clock.now += 10
        known = await front.get("/", credentials)
    assert known.body == b"mine"
    assert front.origin.seen[1].values("If-Modified-Since") == []


@pytest.mark.parametrize("credentials", KNOWN)
async def test_a_known_user_gets_what_is_stated_to_be_shared(credentials: tuple[str, str]) -> None:
    async with proxied() as front:
        front.origin.will(Reply(headers=[("Cache-Control", "max-age=60")], body=b"for all"))
        await front.get()
        assert (await front.get("/", credentials)).hit


async def test_an_answer_to_authorization_is_shared_only_where_it_says_so() -> None:
    who = ("Authorization", "Bearer a")
    async with proxied() as front:
        front.origin.always = lambda seen: Reply(
            headers=[("Cache-Control", "max-age=60" if seen.target == "/own" else "s-maxage=60")],
            body=seen.headers.get("Authorization", "nobody").encode(),
        )
        await front.get("/own", who)
        await front.get("/shared", who)
        own = await front.get("/own")
        shared = await front.get("/shared")
    assert (own.hit, own.body) == (False, b"nobody")
    assert (shared.hit, shared.body) == (True, b"Bearer a")


async def test_a_304_to_a_known_user_says_to_others_nothing_and_to_them_everything() -> None:
    """The cookie and the new age are for who asked; what is stored stays as it was."""
    cache = ("Cache-Control", "max-age=60")
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[cache, ("ETag", '"v"')], body=b"one"),
            Reply(status=304, headers=[("ETag", '"v"'), ("Set-Cookie", "id=2")]),
            Reply(status=304, headers=[("ETag", '"v"')]),
        )
        await front.get()
        front.clock.now += 100
        known = await front.get("/", COOKIE)
        other = await front.get()
    assert (known.status, known.body, known.headers["Set-Cookie"]) == (200, b"one", "id=2")
    assert known.headers["Age"] == "0"
    assert "; stored" not in known.cache_status
    assert "ttl=60" in known.cache_status
    assert "Set-Cookie" not in other.headers
    assert "fwd=stale; fwd-status=304; stored" in other.cache_status


@pytest.mark.parametrize("status", [400, 401, 429])
async def test_an_error_about_one_request_does_not_take_the_stored_response(status: int) -> None:
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[("Cache-Control", "max-age=60"), ("ETag", '"v"')], body=b"one"),
            Reply(status=status),
            Reply(status=304, headers=[("ETag", '"v"')]),
        )
        await front.get()
        front.clock.now += 61
        refused = await front.get("/", ("Authorization", "Bearer wrong"))
        answer = await front.get()
    assert refused.status == status
    assert (answer.status, answer.body) == (200, b"one")


@pytest.mark.parametrize("status", [403, 404, 410, 451])
async def test_an_error_about_the_resource_does(status: int) -> None:
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[("Cache-Control", "max-age=60, stale-if-error=600")], body=b"one"),
            Reply(status=status),
            Reply(status=503),
        )
        await front.get()
        front.clock.now += 61
        await front.get()
        assert (await front.get()).status == 503


async def test_vary_by_the_way_of_a_request_matches_nobody() -> None:
    """The origin sees X-Forwarded-For with the client's address; the client has sent none."""
    async with proxied() as front:
        front.origin.always = lambda seen: Reply(
            headers=[("Cache-Control", "max-age=60"), ("Vary", "X-Forwarded-For")],
            body=seen.headers["X-Forwarded-For"].encode(),
        )
        await front.get()
        answer = await front.get()
    assert not answer.hit
    assert "detail=vary-any" in answer.cache_status

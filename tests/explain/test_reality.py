"""What is explained is what happens: the same requests through a real proxy, told and answered."""

from dataclasses import dataclass, field

import pytest

from proxy.explain import Explanation
from proxy.explain.facts import Outcome
from proxy.purging import Mode
from proxy.rfc9111.cache_status import forward_of
from proxy.rfc9111.policy import ClientDirectives, KeyPolicy, Policy, SetCookie
from proxy.rfc9111.reasons import Reason
from tests.apparatus import Answer, Proxied, Reply
from tests.explain.apparatus import Explained, Line, explained, request

MINUTE = ("Cache-Control", "max-age=60")
ETAG = ("ETag", '"1"')
MODIFIED = ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
COOKIE = ("Cookie", "user=1")
REFUSED = Reply(raw=b"")
HONOR = Policy(client_directives=ClientDirectives.HONOR)


@dataclass(frozen=True)
class Case:
    """The requests before, the request, and why what becomes of it.

    Attributes:
        before: What the origin answers to as many requests for the same, first.
        earlier: What those requests say.
        later: Seconds that pass then.
        reply: What the origin answers to the request, if it is asked.
        reason: Why it is asked, or is not.
        not_stored: Why its answer is not stored.
        detail: What Cache-Status says where that is neither of both.
    """

    reason: Reason
    outcome: Outcome
    reply: Reply = field(default_factory=lambda: Reply(headers=[MINUTE], body=b"x"))
    lines: tuple[Line, ...] = ()
    method: str = "GET"
    target: str = "/p?a=1"
    before: tuple[Reply, ...] = ()
    earlier: tuple[Line, ...] = ()
    later: float = 0.0
    purge: tuple[str, Mode] | None = None
    policy: Policy = field(default_factory=Policy)
    not_stored: Reason | None = None
    detail: Reason | None = None


def fresh(*lines: Line) -> tuple[Reply, ...]:
    return (Reply(headers=[MINUTE, *lines], body=b"stored"),)


def unstored(reason: Reason, *headers: Line, lines: tuple[Line, ...] = (), **more: object) -> Case:
    status = more.pop("status", 200)
    assert isinstance(status, int)
    reply = Reply(status, headers=[*headers], body=b"x")
    about: dict[str, object] = {"outcome": Outcome.MISS, "reply": reply, "lines": lines} | more
    return Case(Reason.URI_MISS, not_stored=reason, **about)  # type: ignore[arg-type]


R, O = Reason, Outcome  # noqa: E741 - short, for the table

CASES = {
    "§4 nothing is stored": Case(R.URI_MISS, O.MISS),
    "§4 stored and fresh": Case(R.FRESH, O.HIT, before=fresh()),
    "§4 ten seconds later": Case(R.FRESH, O.HIT, before=fresh(), later=10.5),
    "§4 HEAD of a stored GET": Case(R.FRESH, O.HIT, before=fresh(), method="HEAD"),
    "§4.1 another variant": Case(
        R.VARY_MISS, O.MISS, before=fresh(("Vary", "X-Kind")), lines=(("X-Kind", "b"),)
    ),
    "§4.2 expired": Case(R.EXPIRED, O.REVALIDATE, before=fresh(ETAG), later=61),
    "§4.3.3 expired and confirmed": Case(
        R.EXPIRED,
        O.REVALIDATE,
        before=fresh(ETAG),
        later=61,
        reply=Reply(304, [MINUTE, ETAG]),
        detail=R.VALIDATED,
    ),
    "§4.2.4 expired and unreachable": Case(
        R.EXPIRED, O.REVALIDATE, before=fresh(ETAG), later=61, reply=REFUSED, detail=R.GRACE
    ),
    "RFC 5861 §3": Case(
        R.STALE_WHILE_REVALIDATE,
        O.STALE,
        before=fresh(),
        later=70,
        policy=Policy(stale_while_revalidate=30),
    ),
    "RFC 5861 §4": Case(
        R.EXPIRED,
        O.REVALIDATE,
        before=fresh(),
        later=70,
        reply=Reply(503),
        policy=Policy(stale_if_error=30),
        detail=R.STALE_IF_ERROR,
    ),
    "§5.2.2.4 no-cache": Case(
        R.NO_CACHE, O.REVALIDATE, before=(Reply(headers=[("Cache-Control", "no-cache"), ETAG]),)
    ),
    "§5.2.1.4 honored": Case(
        R.REQUEST_NO_CACHE,
        O.REVALIDATE,
        before=fresh(),
        lines=(("Cache-Control", "no-cache"),),
        policy=HONOR,
    ),
    "§5.2.1.4 ignored": Case(
        R.FRESH, O.HIT, before=fresh(), lines=(("Cache-Control", "no-cache"),)
    ),
    "§5.2.1.1": Case(
        R.REQUEST_MAX_AGE,
        O.REVALIDATE,
        before=fresh(),
        later=5,
        lines=(("Cache-Control", "max-age=4"),),
        policy=HONOR,
    ),
    "§5.2.1.2": Case(
        R.REQUEST_MAX_STALE,
        O.STALE,
        before=fresh(),
        later=65,
        lines=(("Cache-Control", "max-stale=10"),),
        policy=HONOR,
    ),
    "§5.2.1.7": Case(
        R.ONLY_IF_CACHED, O.GATEWAY_TIMEOUT, lines=(("Cache-Control", "only-if-cached"),)
    ),
    "§4.2.2 credentials": Case(
        R.CREDENTIALS,
        O.MISS,
        before=(Reply(headers=[MODIFIED], body=b"x"),),
        lines=(COOKIE,),
        reply=Reply(headers=[MODIFIED]),
        not_stored=R.NO_FRESHNESS,
    ),
    "a key with less": Case(
        R.FRESH,
        O.HIT,
        before=fresh(),
        policy=Policy(key=KeyPolicy(ignore_query=("utm_*",))),
        target="/p?a=1&utm_source=x",
    ),
    "a key with more": Case(
        R.URI_MISS,
        O.MISS,
        before=fresh(),
        policy=Policy(key=KeyPolicy(cookies=("user",))),
        lines=(COOKIE,),
    ),
    "purged": Case(R.URI_MISS, O.MISS, before=fresh(), purge=("*", Mode.HARD)),
    "purged softly": Case(
        R.EXPIRED, O.REVALIDATE, before=fresh(ETAG), purge=("host:api.example", Mode.SOFT), later=1
    ),
    "cache: off": Case(R.CACHE_OFF, O.BYPASS, policy=Policy(cache=False)),
    "If-Match": Case(R.REQUEST_PRECONDITION, O.BYPASS, lines=(("If-Match", "*"),)),
    "X-Original-URL": Case(R.REQUEST_OVERRIDE, O.BYPASS, lines=(("X-Original-URL", "/x"),)),
    "§3 no-store": unstored(R.NO_STORE, ("Cache-Control", "no-store")),
    "§3 private": unstored(R.PRIVATE, ("Cache-Control", "private, max-age=60")),
    "§3 silence": unstored(R.NO_FRESHNESS),
    "§3 a cookie": unstored(R.SET_COOKIE, MINUTE, ("Set-Cookie", "a=1")),
    "§3 a cookie, stripped": Case(
        R.URI_MISS,
        O.MISS,
        reply=Reply(headers=[MINUTE, ("Set-Cookie", "a=1")]),
        policy=Policy(set_cookie=SetCookie.STRIP),
    ),
    "§3.5": unstored(R.AUTHORIZATION, MINUTE, lines=(("Authorization", "Basic x"),)),
    "§4.1 Vary: *": unstored(R.VARY_ANY, MINUTE, ("Vary", "*")),
    "RFC 6585": unstored(R.STATUS_NEVER_STORED, MINUTE, status=429),
    "the client's no-store": unstored(
        R.REQUEST_NO_STORE, MINUTE, lines=(("Cache-Control", "no-store"),)
    ),
    "a ttl of zero": unstored(R.TTL_ZERO, MINUTE, policy=Policy(ttl=0.0)),
    "too large": Case(
        R.URI_MISS,
        O.MISS,
        reply=Reply(headers=[MINUTE], body=b"x" * 2000),
        not_stored=R.TOO_LARGE,
    ),
    "§4.2.2 a guessed lifetime": Case(
        R.URI_MISS, O.MISS, reply=Reply(headers=[MODIFIED], body=b"x")
    ),
    "default_ttl": Case(
        R.URI_MISS, O.MISS, reply=Reply(body=b"x"), policy=Policy(default_ttl=30.0)
    ),
    "§4.2.3 old already": Case(
        R.URI_MISS, O.MISS, reply=Reply(headers=[MINUTE, ("Age", "20")], body=b"x")
    ),
    "the origin is down": Case(R.URI_MISS, O.MISS, reply=REFUSED, detail=R.ORIGIN_BROKEN),
}

WRITES = {
    "a write": Case(R.METHOD, O.BYPASS, method="DELETE", before=fresh(), not_stored=None),
    "§7.6.2": Case(R.MAX_FORWARDS, O.BYPASS, method="OPTIONS", lines=(("Max-Forwards", "0"),)),
}


async def brought_about(case: Case, proxy: Proxied) -> None:
    """All that comes before the request."""
    proxy.origin.will(*case.before)
    for _ in case.before:
        await proxy.get("/p?a=1", *case.earlier)
    if case.purge is not None:
        proxy.clock.now += case.later
        await proxy.log.append([case.purge[0]], case.purge[1])
        proxy.clock.now -= case.later
    proxy.clock.now += case.later
    proxy.origin.script.clear()
    proxy.origin.always = lambda _seen: case.reply


def detail_of(case: Case) -> Reason:
    return case.detail or case.not_stored or case.reason


def ttl_of(status: str) -> int | None:
    _, found, rest = status.partition("ttl=")
    return int(rest.partition(";")[0]) if found else None


def check_verdict(case: Case, told: Explanation) -> None:
    assert (told.reuse.why.reason, told.reuse.outcome) == (case.reason, case.outcome)


def check_answer(case: Case, answer: Answer) -> None:
    """The proxy itself, so that the table is true."""
    status = answer.cache_status
    assert f"detail={detail_of(case)}" in status
    if case.outcome in {Outcome.MISS, Outcome.REVALIDATE, Outcome.BYPASS} and "fwd" in status:
        stale = case.detail in {Reason.GRACE, Reason.STALE_IF_ERROR}
        assert f"fwd={'stale' if stale else forward_of(case.reason)}" in status


@pytest.mark.parametrize("name", [*CASES, *WRITES])
async def test_a_simulation_foretells_the_answer(name: str) -> None:
    case = (CASES | WRITES)[name]
    async with explained(case.policy, max_object_size=1000) as it:
        await brought_about(case, it.proxy)
        seen, events = len(it.proxy.origin.seen), len(it.proxy.events)
        told = await it.simulate(case.target, *case.lines, method=case.method)
        assert (len(it.proxy.origin.seen), len(it.proxy.events)) == (seen, events)
        check_verdict(case, told)
        answer = await it.proxy.ask(case.method, case.target, *case.lines)
        check_answer(case, answer)
        if told.reuse.outcome in {Outcome.HIT, Outcome.STALE}:
            assert told.freshness is not None
            assert int(told.freshness.ttl) == ttl_of(answer.cache_status)
            assert int(told.freshness.age) == int(answer.headers["Age"])
            assert it.proxy.origin.seen[seen:] == [] or told.reuse.outcome is Outcome.STALE


@pytest.mark.parametrize("name", CASES)
async def test_what_is_sent_is_told_as_every_client_gets_it(name: str) -> None:
    case = CASES[name]
    async with explained(case.policy, max_object_size=1000) as one:
        await brought_about(case, one.proxy)
        answer = await one.proxy.ask(case.method, case.target, *case.lines)
        check_answer(case, answer)
    async with explained(case.policy, max_object_size=1000) as it:
        await brought_about(case, it.proxy)
        asked = request(case.target, *case.lines, method=case.method)
        told = await it.explainer.send(asked, probe=False)
        check_verdict(case, told)
        assert told.answer is not None
        assert told.answer.cache_status == answer.cache_status
        assert told.answer.status == answer.status
        check_storing(case, told, answer)


def check_storing(case: Case, told: Explanation, answer: Answer) -> None:
    storing = told.storing
    if "; stored" in answer.cache_status:
        assert storing.stored
        assert storing.freshness is not None
        assert int(storing.freshness.ttl) == ttl_of(answer.cache_status)
    if case.not_stored is not None:
        assert not storing.stored
        assert storing.why is not None
        assert storing.why.reason == case.not_stored
        assert "; stored" not in answer.cache_status


@pytest.mark.parametrize("name", CASES)
async def test_a_past_request_is_told_as_its_client_got_it(name: str) -> None:
    case = CASES[name]
    async with explained(case.policy, max_object_size=1000) as it:
        await brought_about(case, it.proxy)
        answer = await it.proxy.ask(case.method, case.target, *case.lines)
        told = it.explainer.recall(answer.headers["Warmfront-Request-Id"])
        assert told is not None
        check_verdict(case, told)
        assert told.answer is not None
        assert told.answer.cache_status == answer.cache_status
        assert told.answer.status == answer.status
        assert f"[{detail_of(case)}]" in told.summary
        check_storing(case, told, answer)


async def test_hits_of_the_shortest_path_are_told_with_their_own_numbers() -> None:
    async with explained() as it:
        it.proxy.origin.will(Reply(headers=[MINUTE], body=b"x"))
        for _ in range(4):
            await it.proxy.get()
        it.proxy.clock.now += 7
        answer = await it.proxy.get()
        told = it.explainer.recall(answer.headers["Warmfront-Request-Id"])
        assert told is not None
        assert told.answer is not None
        assert told.answer.cache_status == answer.cache_status
        assert told.freshness is not None
        assert (told.freshness.age, told.freshness.ttl) == (7.0, 53.0)


async def test_a_probe_tells_the_second_answer() -> None:
    async with explained() as it:
        it.proxy.origin.will(Reply(headers=[MINUTE], body=b"x" * 100))
        told = await it.explainer.send(request(), probe=True)
        assert told.reuse.outcome is Outcome.HIT
        assert len(it.proxy.origin.seen) == 1
        assert told.advice == ()


CHUNKED = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("past", [False, True], ids=["sent", "past"])
@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"14\r\n" + b"x" * 20 + b"\r\n0\r\n\r\n", R.TOO_LARGE), (b"14\r\nx", R.ORIGIN_BROKEN)],
    ids=["too large", "broken off"],
)
async def test_what_was_announced_as_stored_and_was_not_is_told(
    body: bytes, reason: Reason, *, past: bool
) -> None:
    async with explained(max_object_size=10) as it:
        it.proxy.origin.will(Reply(raw=CHUNKED + body))
        told: Explanation | None
        if past:
            answer = await it.proxy.get()
            told = it.explainer.recall(answer.headers["Warmfront-Request-Id"])
        else:
            told = await it.explainer.send(request(), probe=False)
        assert told is not None
        assert told.answer is not None
        assert "; stored" in told.answer.cache_status
        assert told.storing.why is not None
        assert (told.storing.stored, told.storing.why.reason) == (False, reason)
        assert f"[{reason}]" in told.summary


async def test_a_simulation_is_no_use_of_what_is_stored() -> None:
    async with explained() as it:
        it.proxy.origin.will(Reply(headers=[MINUTE], body=b"x"))
        await it.proxy.get("/p")
        assert [await hits(it) for _ in range(3)] == [0, 0, 0]


async def hits(it: Explained) -> int | None:
    told = await it.simulate()
    assert told.stored is not None
    (variant,) = told.stored.variants
    return variant.hits

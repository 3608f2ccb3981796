"""Answers that are of no use to others, at once and the longer way: nobody can tell them apart.

As in test_missing: two proxies, the same requests, origins that say the same.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.gateway.unshared import Unshared
from proxy.purging import Mode
from proxy.server import writing
from tests.apparatus import START
from tests.scripted_origin import PATIENCE
from tests.server.wire import eventually
from tests.wire.conftest import RunAlone
from tests.wire.test_missing import SAYS, WARM, Step, both, fetched, side
from tests.wire.test_passing import DATE, OK, Says, get, whole

MORE: Final[dict[str, Says]] = {
    "no-store, oddly": whole(OK + DATE + b"cache-control:\tpublic\r\nCACHE-CONTROL: No-Store \r\n"),
    "no-store, dated": whole(OK + b"Cache-Control: no-store, max-age=9\r\nETag: 1\r\n", b"abc"),
    "no-store for caches like us": whole(
        OK + DATE + b"Cache-Control: max-age=9\r\nCDN-Cache-Control: no-store\r\n", b"abc"
    ),
    "no-store for others": whole(
        OK + DATE + b"Cache-Control: no-store\r\nCDN-Cache-Control: max-age=9\r\n", b"abc"
    ),
    "no-store for surrogates": whole(
        OK + DATE + b"Cache-Control: max-age=9\r\nSurrogate-Control: no-store\r\n", b"abc"
    ),
    "no-store and understood": whole(
        OK + DATE + b"Cache-Control: no-store, must-understand, max-age=9\r\n", b"abc"
    ),
    "private with cookie": whole(
        OK + DATE + b"Cache-Control: private\r\nSet-Cookie: a=1\r\nVary: *\r\n", b"abc"
    ),
    "private in part": whole(OK + DATE + b'Cache-Control: max-age=9, private="x-a"\r\n', b"abc"),
    "no-store 404": whole(b"HTTP/1.1 404 No\r\nCache-Control: no-store\r\n" + DATE, b"gone"),
    "no-store 503": whole(b"HTTP/1.1 503 No\r\nCache-Control: no-store\r\n" + DATE, b"busy"),
    "no-store 304": Says((b"HTTP/1.1 304 No\r\nCache-Control: no-store\r\n\r\n",)),
    "no-store 204": Says((b"HTTP/1.1 204 No\r\nCache-Control: no-store\r\n\r\n",)),
    "no-store, at length": whole(
        OK + DATE + b"Cache-Control: no-store, x=" + b"x" * 2000 + b"\r\n", b"abc"
    ),
    "no-store in two": Says((OK + b"Cache-Control: no-store\r\nContent-Length: 3\r\n\r\na", b"bc")),
}
LINES: Final = (
    *("Accept: */*", "Connection: keep-alive", "Accept-Language: en", "Cookie: shop=1"),
    *("Authorization: Basic eDp5", 'If-None-Match: "1"', "Cache-Control: no-cache"),
    *("Cache-Control: only-if-cached", "Cache-Control: no-store", "Pragma: no-cache"),
    *("Range: bytes=0-1", "X-Host: b.example", "X-Tenant: b", "X_Odd: 1", "Connection: close"),
)
PLAIN: Final = ("no-store", "private", "no-store, oddly", "no-store, dated")
TARGETS: Final = ("/a/1", "/edited/1?id=7", "/keyed/1?utm_x=1&b=2", "/beta/1", "/timed/1")


@pytest.fixture(autouse=True)
def _more_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, says in MORE.items():
        monkeypatch.setitem(SAYS, name, says)
    monkeypatch.setattr(writing, "wall", lambda: START)


@pytest.mark.parametrize("say", [*MORE, "fresh", "vary", "cookie", "stale", "assumed", "hints"])
async def test_whatever_an_origin_says_at_last(say: str) -> None:
    told = [get("no-store", target="/a")] * 5
    steps: list[Step] = [WARM, ("ask", [*told, get(say, target="/a"), get(say, target="/a")])]
    steps += [("ask", told), ("purge", ("*", Mode.HARD)), ("ask", told)]
    assert await both(steps, decisions=True) > 5


@st.composite
def stories(draw: st.DrawFn, target: str) -> list[Step]:
    """What happens around one target, whose answers seldom are of use to others."""
    beta = ("X-Beta: yes",) if "beta" in target else ()
    says = st.sampled_from([*PLAIN * 4, *MORE, *SAYS])
    fields = st.lists(st.sampled_from([*LINES[:4], *LINES]), max_size=1)
    asked = st.builds(lambda say, lines: get(say, *beta, *lines, target=target), says, fields)
    steps = st.one_of(
        st.lists(asked, min_size=1, max_size=4).map(lambda pieces: ("ask", pieces)),
        st.lists(asked, min_size=2, max_size=3).map(lambda pieces: ("ask", [b"".join(pieces)])),
        st.sampled_from([0.5, 10.0, 59.0, 61.0]).map(lambda seconds: ("advance", seconds)),
        st.sampled_from([("*", Mode.HARD), ("*", Mode.SOFT)]).map(lambda purge: ("purge", purge)),
    )
    lines = draw(st.sampled_from([(), ("Cookie: id=3",), ("Authorization: Basic eDp5",)]))
    usual = get(draw(st.sampled_from(PLAIN)), *beta, *lines, target=target)
    story: list[Step] = [WARM, ("ask", [usual] * 5)]
    for _ in range(draw(st.integers(1, 3))):
        story += draw(st.lists(steps, min_size=1, max_size=3))
        story.append(("ask", [usual] * 3))
    return story


def test_nothing_tells_which_way_a_request_took(run_alone: RunAlone) -> None:
    passed = 0

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(TARGETS).flatmap(stories), st.booleans())
    def run(steps: Sequence[Step], decisions: bool) -> None:  # noqa: FBT001 - drawn
        nonlocal passed
        passed += run_alone(both(steps, decisions=decisions))

    run()
    assert passed > 60, "the fast way was hardly taken: nothing was compared"


async def test_what_turns_cacheable_is_stored_and_given_again() -> None:
    async with side(hot=True) as one:
        with fetched() as given:
            await one.converse([get("no-store", target="/a")] * 6)
        passed = [each for each in given if isinstance(getattr(each, "_passing", None), Unshared)]
        assert len(passed) == 3
        said = await one.converse([get("fresh", target="/a")] * 6)
        assert said.count(b"stored") == 1
        assert said.count(b"hit") == 5
        assert len(one.origin.requests) == 7


async def test_what_was_born_before_a_purge_is_not_given_after_it() -> None:
    go_on = asyncio.Event()
    async with side(hot=True, go_on=go_on) as one:
        for _ in range(5):
            await one.converse([get("no-store", target="/a")])
        waiting = asyncio.create_task(one.converse([get("fresh", "X-Wait: 1", target="/a")]))
        await eventually(lambda: len(one.origin.requests) == 6)
        await one.front.log.append(["*"], Mode.HARD)
        go_on.set()
        async with asyncio.timeout(PATIENCE):
            await waiting
        await one.converse([get("fresh", target="/a")])
        assert len(one.origin.requests) == 7

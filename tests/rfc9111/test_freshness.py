"""Freshness lifetime and age: RFC 9111 §4.2, RFC 9213, RFC 5861, Surrogate-Control."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.freshness import age_value, evaluate, governing
from proxy.rfc9111.messages import Request, Response
from proxy.rfc9111.policy import Policy
from proxy.rfc9111.stored import Freshness, LifetimeSource

NOW = 1_750_000_000.0
DAY = 86_400.0

Lines = Sequence[tuple[str, str]]


def date(offset: float = 0.0) -> str:
    return format_http_date(NOW + offset)


def freshness(
    lines: Lines,
    *,
    policy: Policy | None = None,
    status: int = 200,
    request: Lines = (),
    delay: float = 0.0,
) -> Freshness:
    return evaluate(
        Request("GET", "http", "api.example", "/", CIMultiDict(request)),
        Response(status, "", CIMultiDict(lines)),
        policy or Policy(),
        request_time=NOW - delay,
        response_time=NOW,
    )


CC = "Cache-Control"
CDN = "CDN-Cache-Control"
SURROGATE = "Surrogate-Control"


@pytest.mark.parametrize(
    ("lines", "lifetime", "source"),
    [
        pytest.param([(CC, "max-age=60")], 60, "max-age", id="4.2.1-max-age"),
        pytest.param(
            [(CC, "max-age=60, s-maxage=5")], 5, "s-maxage", id="4.2.1-s-maxage over max-age"
        ),
        pytest.param(
            [(CC, "s-maxage=5"), (CC, "max-age=60")],
            5,
            "s-maxage",
            id="4.2.1-s-maxage over max-age, two lines",
        ),
        pytest.param(
            [(CC, "max-age=60"), ("Expires", date(-10))],
            60,
            "max-age",
            id="5.3-max-age over a past Expires",
        ),
        pytest.param(
            [(CC, "max-age=0"), ("Expires", date(DAY))],
            0,
            "max-age",
            id="5.3-max-age=0 over a future Expires",
        ),
        pytest.param(
            [(CC, "max-age=0, s-maxage=60"), ("Expires", date(-10))],
            60,
            "s-maxage",
            id="5.3-s-maxage over everything",
        ),
        pytest.param(
            [(CC, "s-maxage=x, max-age=60")],
            0,
            "s-maxage",
            id="4.2.1-an invalid s-maxage is stale, not absent",
        ),
        pytest.param(
            [("Expires", date(60)), ("Date", date())], 60, "expires", id="5.3-Expires less Date"
        ),
        pytest.param(
            [("Expires", date(300)), ("Date", date(400))],
            0,
            "expires",
            id="5.3-Expires before Date",
        ),
        pytest.param(
            [("Expires", date()), ("Date", date())], 0, "expires", id="5.3-Expires is Date"
        ),
        pytest.param([("Expires", date(60))], 60, "expires", id="5.3-Expires without Date"),
        pytest.param(
            [("Expires", date(60)), ("Date", "foo")], 60, "expires", id="5.3-Expires, invalid Date"
        ),
        pytest.param([("Expires", "0")], 0, "expires", id="5.3-Expires: 0"),
        pytest.param([("Expires", "soon")], 0, "expires", id="5.3-invalid Expires"),
        pytest.param(
            [("Expires", date(60)), ("Expires", date(60))], 60, "expires", id="4.2.1-Expires twice"
        ),
        pytest.param(
            [("Expires", date(60)), ("Expires", date(90))],
            0,
            "expires",
            id="4.2.1-conflicting Expires",
        ),
        pytest.param([("Pragma", "no-cache")], 0, "none", id="5.4-Pragma means nothing here"),
        pytest.param([], 0, "none", id="4.2.2-nothing at all"),
    ],
)
def test_what_the_origin_states(lines: Lines, lifetime: float, source: str) -> None:
    found = freshness(lines)
    assert (found.lifetime, found.source) == (lifetime, source)


@pytest.mark.parametrize(
    ("lines", "lifetime", "source"),
    [
        pytest.param(
            [(CC, "max-age=1"), (CDN, "max-age=60")], 60, "targeted", id="RFC9213-2.2-longer"
        ),
        pytest.param(
            [(CC, "max-age=60"), (CDN, "max-age=1")], 1, "targeted", id="RFC9213-2.2-shorter"
        ),
        pytest.param(
            [(CC, "no-store"), (CDN, "max-age=60"), ("Expires", "0")],
            60,
            "targeted",
            id="RFC9213-2.2-in place of no-store and Expires",
        ),
        pytest.param(
            [(CDN, "s-maxage=5, max-age=60")], 5, "targeted", id="RFC9213-2.2-s-maxage in it"
        ),
        pytest.param(
            [(CDN, "public"), (CC, "max-age=60"), ("Expires", date(60))],
            0,
            "none",
            id="RFC9213-2.2-Expires is not used beside it",
        ),
        pytest.param(
            [(CDN, "max-age=60, &"), (CC, "max-age=1")],
            1,
            "max-age",
            id="RFC9213-2.1-invalid, so Cache-Control",
        ),
        pytest.param(
            [(SURROGATE, "max-age=60"), (CC, "max-age=1"), ("Expires", "0")],
            60,
            "surrogate-control",
            id="surrogate-over Cache-Control",
        ),
        pytest.param(
            [(SURROGATE, "max-age=60"), (CC, "s-maxage=1")],
            60,
            "surrogate-control",
            id="surrogate-over s-maxage",
        ),
        pytest.param(
            [(SURROGATE, "max-age=60"), (CDN, "max-age=5")],
            5,
            "targeted",
            id="surrogate-under a targeted field",
        ),
        pytest.param(
            [(SURROGATE, 'content="ESI/1.0"'), (CC, "max-age=1")],
            1,
            "max-age",
            id="surrogate-without max-age",
        ),
    ],
)
def test_fields_for_caches_like_this_one_go_first(
    lines: Lines, lifetime: float, source: str
) -> None:
    found = freshness(lines)
    assert (found.lifetime, found.source) == (lifetime, source)


def test_rfc9213_2_2_which_fields_are_obeyed_is_policy() -> None:
    lines = [(CC, "max-age=1"), (CDN, "max-age=2"), (SURROGATE, "max-age=3"), ("Mine", "max-age=4")]
    assert freshness(lines, policy=Policy(targeted_fields=())).lifetime == 3
    assert (
        freshness(lines, policy=Policy(targeted_fields=("mine", "cdn-cache-control"))).lifetime == 4
    )
    off = Policy(targeted_fields=(), surrogate_control=False)
    assert freshness(lines, policy=off).lifetime == 1


def test_surrogate_control_replaces_no_cache_but_not_private_or_no_store() -> None:
    lines = [(CC, "no-cache, no-store, private, must-revalidate"), (SURROGATE, "max-age=60")]
    found = governing(CIMultiDict(lines), Policy()).directives
    assert (found.no_cache, found.no_store, found.private, found.must_revalidate) == (
        *(False, True, True, True),
    )


def test_surrogate_control_without_max_age_leaves_no_cache() -> None:
    lines = [(CC, "no-cache"), (SURROGATE, "stale-if-error=60")]
    found = governing(CIMultiDict(lines), Policy()).directives
    assert (found.no_cache, found.stale_if_error) == (True, 60)


def test_surrogate_control_no_store_is_not_lifted_by_must_understand() -> None:
    lines = [(CC, "must-understand, max-age=60"), (SURROGATE, "no-store")]
    found = governing(CIMultiDict(lines), Policy()).directives
    assert (found.no_store, found.must_understand) == (True, False)


def test_surrogate_control_keeps_the_other_meanings_of_s_maxage() -> None:
    assert freshness([(CC, "s-maxage=1"), (SURROGATE, "max-age=60")]).s_maxage
    assert not freshness([(CC, "max-age=1"), (SURROGATE, "max-age=60")]).s_maxage


MODIFIED = ("Last-Modified", date(-1000))


@pytest.mark.parametrize(
    ("lines", "status", "lifetime", "source"),
    [
        *(
            pytest.param([MODIFIED], status, 100, "heuristic", id=f"RFC9110-15.1-{status}")
            for status in (200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501)
        ),
        pytest.param([MODIFIED], 451, 100, "heuristic", id="RFC7725-3-451"),
        *(
            pytest.param([MODIFIED], status, 0, "none", id=f"RFC9110-15.1-not {status}")
            for status in (201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599)
        ),
        pytest.param([MODIFIED, (CC, "public")], 599, 100, "heuristic", id="4.2.2-public"),
        pytest.param(
            [("Last-Modified", date(-100 * DAY))], 200, DAY, "heuristic", id="4.2.2-capped"
        ),
        pytest.param(
            [("Last-Modified", date(-500)), ("Date", date(500))],
            200,
            100,
            "heuristic",
            id="4.2.2-counted from Date",
        ),
        pytest.param(
            [("Last-Modified", date(60))], 200, 0, "heuristic", id="4.2.2-modified in the future"
        ),
        pytest.param([("Last-Modified", "x")], 200, 0, "none", id="4.2.2-invalid Last-Modified"),
        pytest.param([("ETag", '"a"')], 200, 0, "none", id="4.2.2-an ETag is no date"),
        pytest.param([MODIFIED, ("Expires", "0")], 200, 0, "expires", id="4.2.2-Expires was given"),
        pytest.param(
            [MODIFIED, (CC, "max-age=x")], 200, 0, "max-age", id="4.2.2-invalid max-age was given"
        ),
        pytest.param([MODIFIED, (CDN, "none")], 200, 100, "heuristic", id="RFC9213-3.1-silent"),
    ],
)
def test_heuristic_freshness(lines: Lines, status: int, lifetime: float, source: str) -> None:
    found = freshness(lines, status=status)
    assert (found.lifetime, found.source) == (lifetime, source)


def test_4_2_2_heuristic_policy() -> None:
    assert freshness([MODIFIED], policy=Policy(heuristic_fraction=0.5)).lifetime == 500
    assert freshness([MODIFIED], policy=Policy(heuristic_max=7)).lifetime == 7


@pytest.mark.parametrize("name", ["Cookie", "Authorization"])
def test_4_2_2_nothing_is_assumed_about_answers_to_known_users(name: str) -> None:
    policy = Policy(default_ttl=60, negative_ttl={404: 60})
    credentials = [(name, "x")]
    assert freshness([MODIFIED], request=credentials).source is LifetimeSource.NONE
    assert freshness([MODIFIED], request=credentials, policy=policy).lifetime == 0
    assert freshness([], request=credentials, policy=policy, status=404).lifetime == 0
    assert freshness([(CC, "max-age=9")], request=credentials, policy=policy).lifetime == 9
    assert freshness([], request=credentials, policy=Policy(ttl=5)).lifetime == 5


@pytest.mark.parametrize(
    ("policy", "lines", "status", "lifetime", "source"),
    [
        pytest.param(Policy(ttl=5), [(CC, "max-age=60")], 200, 5, "route", id="ttl-for max-age"),
        pytest.param(Policy(ttl=5), [(CDN, "max-age=60")], 200, 5, "route", id="ttl-for targeted"),
        pytest.param(Policy(ttl=5), [], 200, 5, "route", id="ttl-for silence"),
        pytest.param(Policy(ttl=5), [], 302, 0, "none", id="ttl-not for any status"),
        pytest.param(Policy(ttl=5), [(CC, "max-age=1")], 302, 5, "route", id="ttl-302 that states"),
        pytest.param(Policy(ttl=5), [(CC, "public")], 302, 5, "route", id="ttl-302 that is public"),
        pytest.param(
            Policy(ttl=5), [(CC, "max-age=1")], 500, 1, "max-age", id="ttl-not for errors"
        ),
        pytest.param(Policy(ttl=5), [], 500, 0, "none", id="ttl-not for silent errors"),
        pytest.param(Policy(ttl=-1), [], 200, 0, "route", id="ttl-never negative"),
        pytest.param(
            Policy(ttl=5, negative_ttl={404: 1}),
            [],
            404,
            1,
            "route-default",
            id="negative-with ttl",
        ),
        pytest.param(Policy(default_ttl=5), [], 200, 5, "route-default", id="default-for silence"),
        pytest.param(
            Policy(default_ttl=5), [MODIFIED], 200, 5, "route-default", id="default-no heuristics"
        ),
        pytest.param(
            Policy(default_ttl=5),
            [(CC, "max-age=1")],
            200,
            1,
            "max-age",
            id="default-not for words",
        ),
        pytest.param(Policy(default_ttl=5), [], 500, 0, "none", id="default-not for any status"),
        pytest.param(
            Policy(default_ttl=-5), [], 200, 0, "route-default", id="default-not negative"
        ),
        pytest.param(
            Policy(negative_ttl={500: 5}), [], 500, 5, "route-default", id="negative-for silence"
        ),
        pytest.param(
            Policy(negative_ttl={500: 5}),
            [(CC, "max-age=1")],
            500,
            1,
            "max-age",
            id="negative-not for words",
        ),
        pytest.param(
            Policy(negative_ttl={404: 1}, default_ttl=5),
            [],
            404,
            1,
            "route-default",
            id="negative-over default",
        ),
        pytest.param(
            Policy(negative_ttl={404: -1}),
            [],
            404,
            0,
            "route-default",
            id="negative-never negative",
        ),
    ],
)
def test_what_the_route_says(
    policy: Policy, lines: Lines, status: int, lifetime: float, source: str
) -> None:
    found = freshness(lines, policy=policy, status=status)
    assert (found.lifetime, found.source) == (lifetime, source)


@pytest.mark.parametrize(
    ("values", "age"),
    [
        pytest.param([], 0, id="5.1-absent"),
        pytest.param(["7200"], 7200, id="5.1-plain"),
        pytest.param(["7200, 0"], 7200, id="5.1-first member"),
        pytest.param(["0 ,7200"], 0, id="5.1-first member, the other way"),
        pytest.param(["7200", "0"], 7200, id="5.1-first line"),
        pytest.param(["0", "7200"], 0, id="5.1-first line, the other way"),
        pytest.param(["2147483649"], 2**31, id="1.2.2-no overflow"),
        *(
            pytest.param([value], 0, id=f"5.1-invalid {value!r}")
            for value in ("abc", "-7200", "7200.0", "7200;foo=bar", "", ", 7200", "+1", "٣")
        ),
    ],
)
def test_age_field(values: list[str], age: int) -> None:
    assert age_value(CIMultiDict([("Age", value) for value in values])) == age


@pytest.mark.parametrize(
    ("lines", "delay", "initial_age"),
    [
        pytest.param([], 0, 0, id="4.2.3-nothing known"),
        pytest.param([("Age", "30")], 0, 30, id="4.2.3-age_value"),
        pytest.param([], 2.5, 2.5, id="4.2.3-response_delay"),
        pytest.param([("Age", "30")], 2.5, 32.5, id="4.2.3-corrected_age_value"),
        pytest.param([("Date", date(-40))], 2.5, 40, id="4.2.3-apparent_age"),
        pytest.param([("Date", date(-40)), ("Age", "50")], 0, 50, id="4.2.3-the older of both"),
        pytest.param([("Date", date(40))], 0, 0, id="4.2.3-Date in the future"),
        pytest.param([("Date", "x"), ("Age", "x")], 0, 0, id="4.2.3-nothing valid"),
        pytest.param([], -5, 0, id="4.2.3-the clock stepped back"),
    ],
)
def test_corrected_initial_age(lines: Lines, delay: float, initial_age: float) -> None:
    assert freshness(lines, delay=delay).initial_age == initial_age


@pytest.mark.parametrize(
    ("lines", "policy", "windows"),
    [
        pytest.param([], Policy(), (0, 0), id="RFC5861-none"),
        pytest.param(
            [(CC, "stale-while-revalidate=1, stale-if-error=2")],
            Policy(stale_while_revalidate=3, stale_if_error=4),
            (1, 2),
            id="RFC5861-stated",
        ),
        pytest.param(
            [], Policy(stale_while_revalidate=3, stale_if_error=4), (3, 4), id="RFC5861-by route"
        ),
        pytest.param(
            [(CC, "stale-while-revalidate=0, stale-if-error=x")],
            Policy(stale_while_revalidate=3, stale_if_error=4),
            (0, 0),
            id="RFC5861-zero or invalid is stated too",
        ),
        pytest.param(
            [],
            Policy(stale_while_revalidate=-3, stale_if_error=-4),
            (0, 0),
            id="RFC5861-not negative",
        ),
        pytest.param(
            [(CC, "stale-if-error=2"), (SURROGATE, "max-age=60+30")],
            Policy(),
            (30, 30),
            id="surrogate-stale bound",
        ),
    ],
)
def test_stale_windows(lines: Lines, policy: Policy, windows: tuple[float, float]) -> None:
    found = freshness(lines, policy=policy)
    assert (found.stale_while_revalidate, found.stale_if_error) == windows


@pytest.mark.parametrize(
    ("lines", "policy", "grace"),
    [
        pytest.param([], Policy(), 60, id="4.2.4-default"),
        pytest.param([(CC, "max-age=1")], Policy(grace=5), 5, id="4.2.4-by route"),
        pytest.param([], Policy(grace=-5), 0, id="4.2.4-not negative"),
        pytest.param([(CC, "s-maxage=1")], Policy(grace=5), 0, id="5.2.2.10-nobody asked for it"),
    ],
)
def test_grace(lines: Lines, policy: Policy, grace: float) -> None:
    assert freshness(lines, policy=policy).grace == grace


@pytest.mark.parametrize(("value", "public"), [("public", True), ("max-age=1", False)])
def test_5_2_2_9_public(value: str, public: bool) -> None:  # noqa: FBT001
    assert freshness([(CC, value)]).public is public


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        pytest.param("no-cache", (True, False, False), id="5.2.2.4-no-cache"),
        pytest.param('no-cache="a"', (False, False, False), id="5.2.2.4-qualified"),
        pytest.param("must-revalidate", (False, True, False), id="5.2.2.2-must-revalidate"),
        pytest.param("proxy-revalidate", (False, True, False), id="5.2.2.8-proxy-revalidate"),
        pytest.param("s-maxage=1", (False, False, True), id="5.2.2.10-s-maxage"),
    ],
)
def test_flags_for_reuse(value: str, flags: tuple[bool, bool, bool]) -> None:
    for policy in (Policy(), Policy(ttl=60)):
        found = freshness([(CC, value)], policy=policy)
        assert (found.no_cache, found.must_revalidate, found.s_maxage) == flags


NAMES = st.sampled_from(["Age", CC, CDN, "Date", "Expires", "Last-Modified", SURROGATE])
VALUES = st.text(max_size=20) | st.sampled_from(
    [date(), date(-DAY), date(DAY), "60", "99999999999", "-1", "max-age=60", "max-age=-1", "public"]
)
OFFSETS = st.floats(min_value=-1e9, max_value=1e9)


@given(
    st.lists(st.tuples(NAMES, VALUES)),
    st.sampled_from([200, 404, 500]),
    OFFSETS,
    OFFSETS,
    st.builds(Policy, ttl=st.none() | OFFSETS, default_ttl=st.none() | OFFSETS),
)
def test_lifetime_and_age_are_never_negative(
    lines: Lines, status: int, delay: float, later: float, policy: Policy
) -> None:
    found = freshness(lines, status=status, delay=delay, policy=policy)
    assert found.lifetime >= 0
    assert found.initial_age >= 0
    assert found.current_age(NOW + later) >= found.initial_age


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1e6))
def test_4_2_3_an_older_age_never_makes_it_younger(age: int, more: int, delay: float) -> None:
    younger = freshness([("Age", str(age))], delay=delay)
    assert freshness([("Age", str(age + more))], delay=delay).initial_age >= younger.initial_age

from dataclasses import replace
from math import exp, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rfc9111.messages import Headers, Request
from proxy.rfc9111.policy import ClientDirectives, Policy
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.reuse import (
    Fresh,
    GatewayTimeout,
    Miss,
    OriginFailure,
    ReuseDecision,
    Revalidate,
    ServeStale,
    after_failure,
    bypass_reason,
    decide,
    refresh_window,
    refreshes_early,
)
from proxy.rfc9111.stored import Freshness, LifetimeSource, StoredResponse, packed

IGNORE, HONOR = Policy(), Policy(client_directives=ClientDirectives.HONOR)
UNREACHABLE, ERROR_STATUS = OriginFailure.UNREACHABLE, OriginFailure.ERROR_STATUS
FRESHNESS = Freshness(
    lifetime=60, source=LifetimeSource.MAX_AGE, initial_age=0, response_time=0, grace=60
)


def stored(**facts: object) -> StoredResponse:
    """Received at 0, stale from 60 on."""
    return StoredResponse(
        status=200,
        reason="OK",
        **packed(Headers()),
        request_time=0,
        freshness=replace(FRESHNESS, **facts),  # type: ignore[arg-type]
        variant=(),
        date=0,
    )


def get(cache_control: str | None = None, **fields: str) -> Request:
    headers = Headers(fields)
    if cache_control is not None:
        headers["Cache-Control"] = cache_control
    return Request("GET", "http", "example.com", "/", headers)


@pytest.mark.parametrize(
    ("facts", "now", "expected"),
    [
        pytest.param({}, 0, Fresh(0), id="4.2-new"),
        pytest.param({}, 59.5, Fresh(59.5), id="4.2-last moment"),
        pytest.param({}, 60, Revalidate(Reason.EXPIRED), id="4.2-lifetime must exceed age"),
        pytest.param({"initial_age": 60}, 0, Revalidate(Reason.EXPIRED), id="4.2.3-came old"),
        pytest.param({"lifetime": 0}, 0, Revalidate(Reason.EXPIRED), id="4.2.1-lifetime zero"),
        pytest.param({}, -9, Fresh(0), id="4.2.3-clock stepped back"),
        pytest.param({"no_cache": True}, 0, Revalidate(Reason.NO_CACHE), id="5.2.2.4-no-cache"),
        pytest.param({"must_revalidate": True}, 59, Fresh(59), id="5.2.2.2-fresh all the same"),
        pytest.param({"s_maxage": True}, 59, Fresh(59), id="5.2.2.10-fresh all the same"),
        pytest.param(
            {"stale_while_revalidate": 10},
            60,
            ServeStale(60, Reason.STALE_WHILE_REVALIDATE),
            id="RFC 5861 3-just stale",
        ),
        pytest.param(
            {"stale_while_revalidate": 10},
            70,
            Revalidate(Reason.EXPIRED),
            id="RFC 5861 3-window over",
        ),
        pytest.param(
            {"stale_while_revalidate": 10, "s_maxage": True},
            65,
            ServeStale(65, Reason.STALE_WHILE_REVALIDATE),
            id="5.2.2.10-asked for beside s-maxage",
        ),
        pytest.param(
            {"stale_while_revalidate": 10, "must_revalidate": True},
            65,
            Revalidate(Reason.EXPIRED),
            id="5.2.2.2-must-revalidate over stale-while-revalidate",
        ),
        pytest.param(
            {"stale_while_revalidate": 10, "no_cache": True},
            65,
            Revalidate(Reason.NO_CACHE),
            id="5.2.2.4-no-cache over stale-while-revalidate",
        ),
        pytest.param(
            {"stale_if_error": 10}, 65, Revalidate(Reason.EXPIRED), id="RFC 5861 4-no error yet"
        ),
    ],
)
def test_by_the_response(facts: dict[str, object], now: float, expected: ReuseDecision) -> None:
    assert decide(get(), stored(**facts), IGNORE, now=now, any_variant=True) == expected


SWR = {"stale_while_revalidate": 100}


@pytest.mark.parametrize(
    ("cache_control", "facts", "now", "expected"),
    [
        pytest.param("no-cache", {}, 9, Revalidate(Reason.REQUEST_NO_CACHE), id="5.2.1.4"),
        pytest.param("max-age=9", {}, 9, Fresh(9), id="5.2.1.1-just young enough"),
        pytest.param("max-age=9", {}, 10, Revalidate(Reason.REQUEST_MAX_AGE), id="5.2.1.1-too old"),
        pytest.param(
            "max-age=9, max-stale",
            {},
            10,
            Revalidate(Reason.REQUEST_MAX_AGE),
            id="5.2.1.1-max-stale does not lift max-age",
        ),
        pytest.param("min-fresh=9", {}, 51, Fresh(51), id="5.2.1.3-fresh enough"),
        pytest.param(
            "min-fresh=9", {}, 52, Revalidate(Reason.REQUEST_MIN_FRESH), id="5.2.1.3-not for long"
        ),
        pytest.param(
            "min-fresh=0", SWR, 61, Revalidate(Reason.EXPIRED), id="5.2.1.3-not when stale"
        ),
        pytest.param(
            "max-age=900", SWR, 61, Revalidate(Reason.EXPIRED), id="5.2.1.1-nothing stale"
        ),
        pytest.param(
            "max-age=900, max-stale=5",
            SWR,
            61,
            ServeStale(61, Reason.STALE_WHILE_REVALIDATE),
            id="5.2.1.1-stale with max-stale",
        ),
        pytest.param(
            "max-stale=5", {}, 65, ServeStale(65, Reason.REQUEST_MAX_STALE), id="5.2.1.2-within"
        ),
        pytest.param("max-stale=5", {}, 66, Revalidate(Reason.EXPIRED), id="5.2.1.2-beyond"),
        pytest.param(
            "max-stale", {}, 9e9, ServeStale(9e9, Reason.REQUEST_MAX_STALE), id="5.2.1.2-any"
        ),
        pytest.param("max-stale", {}, 9, Fresh(9), id="5.2.1.2-fresh is fresh"),
        pytest.param(
            "max-stale",
            {"must_revalidate": True},
            61,
            Revalidate(Reason.EXPIRED),
            id="5.2.2.2-over max-stale",
        ),
        pytest.param(
            "max-stale",
            {"s_maxage": True},
            61,
            Revalidate(Reason.EXPIRED),
            id="5.2.2.10-over max-stale",
        ),
        pytest.param(
            "max-stale",
            {"no_cache": True},
            61,
            Revalidate(Reason.NO_CACHE),
            id="5.2.2.4-over max-stale",
        ),
    ],
)
def test_by_the_request(
    cache_control: str, facts: dict[str, object], now: float, expected: ReuseDecision
) -> None:
    request, response = get(cache_control), stored(**facts)
    assert decide(request, response, HONOR, now=now, any_variant=True) == expected
    ignored = decide(request, response, IGNORE, now=now, any_variant=True)
    assert ignored == decide(get(), response, IGNORE, now=now, any_variant=True)


def test_pragma_where_honored() -> None:
    request = get(Pragma="no-cache")
    decision = decide(request, stored(), HONOR, now=0, any_variant=True)
    assert decision == Revalidate(Reason.REQUEST_NO_CACHE)
    assert decide(request, stored(), IGNORE, now=0, any_variant=True) == Fresh(0)


@pytest.mark.parametrize("policy", [IGNORE, HONOR])
@pytest.mark.parametrize(
    ("response", "now", "expected"),
    [
        pytest.param(None, 0, GatewayTimeout(Reason.ONLY_IF_CACHED), id="5.2.1.7-nothing stored"),
        pytest.param(stored(), 1, Fresh(1), id="5.2.1.7-fresh"),
        pytest.param(stored(), 61, GatewayTimeout(Reason.ONLY_IF_CACHED), id="5.2.1.7-stale"),
        pytest.param(
            stored(**SWR),
            61,
            ServeStale(61, Reason.STALE_WHILE_REVALIDATE),
            id="5.2.1.7-stale and permitted",
        ),
        pytest.param(
            stored(no_cache=True), 1, GatewayTimeout(Reason.ONLY_IF_CACHED), id="5.2.1.7-no-cache"
        ),
    ],
)
def test_only_if_cached(
    policy: Policy, response: StoredResponse | None, now: float, expected: ReuseDecision
) -> None:
    request = get("only-if-cached")
    assert decide(request, response, policy, now=now, any_variant=False) == expected


ASSUMED = [LifetimeSource.HEURISTIC, LifetimeSource.ROUTE_DEFAULT, LifetimeSource.NONE]


@pytest.mark.parametrize("name", ["Cookie", "Authorization"])
@pytest.mark.parametrize("source", LifetimeSource)
def test_4_2_2_credentials_get_nothing_of_an_assumed_lifetime(
    source: LifetimeSource, name: str
) -> None:
    response = stored(source=source, **SWR)
    for now in (1, 61):
        own = decide(get(**{name: "x"}), response, IGNORE, now=now, any_variant=True)
        anyone_s = decide(get(), response, IGNORE, now=now, any_variant=True)
        assert isinstance(anyone_s, Fresh | ServeStale)
        assert own == (Miss(Reason.CREDENTIALS) if source in ASSUMED else anyone_s)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"public": True}, id="5.2.2.9-public"),
        pytest.param({"no_cache": True}, id="5.2.2.4-no-cache"),
    ],
)
@pytest.mark.parametrize("source", ASSUMED)
def test_4_2_2_what_is_called_shared_is_validated_for_credentials(
    source: LifetimeSource, facts: dict[str, object]
) -> None:
    response = stored(source=source, **facts)
    decision = decide(get(Cookie="a=b"), response, IGNORE, now=1, any_variant=True)
    assert decision == Revalidate(Reason.CREDENTIALS)


def test_4_2_2_a_failure_does_not_excuse_an_assumption_about_a_known_user() -> None:
    response = stored(source=LifetimeSource.HEURISTIC, public=True, stale_if_error=99)
    for now in (1, 61):
        answers = [
            after_failure(response, IGNORE, UNREACHABLE, now=now, request=request)
            for request in (get(), get(Cookie="a=b"))
        ]
        assert [answer is None for answer in answers] == [False, True]


def test_4_2_2_credentials_that_want_nothing_of_the_origin() -> None:
    request = get("only-if-cached", Cookie="a=b")
    response = stored(source=LifetimeSource.HEURISTIC)
    decision = decide(request, response, IGNORE, now=1, any_variant=True)
    assert decision == GatewayTimeout(Reason.ONLY_IF_CACHED)


@pytest.mark.parametrize(
    ("any_variant", "reason"),
    [
        pytest.param(False, Reason.URI_MISS, id="4-nothing stored"),
        pytest.param(True, Reason.VARY_MISS, id="4.1-no variant matches"),
    ],
)
def test_miss(*, any_variant: bool, reason: Reason) -> None:
    assert decide(get(), None, IGNORE, now=0, any_variant=any_variant) == Miss(reason)


@pytest.mark.parametrize(
    ("facts", "policy", "failure", "now", "reason"),
    [
        pytest.param({}, IGNORE, UNREACHABLE, 119, Reason.GRACE, id="4.2.4-grace"),
        pytest.param({}, IGNORE, UNREACHABLE, 120, None, id="4.2.4-grace is over"),
        pytest.param({"grace": 0}, IGNORE, UNREACHABLE, 60, None, id="4.2.4-no grace"),
        pytest.param({}, IGNORE, ERROR_STATUS, 61, None, id="4.2.4-an answer is an answer"),
        pytest.param(
            {"stale_if_error": 9},
            IGNORE,
            ERROR_STATUS,
            61,
            Reason.STALE_IF_ERROR,
            id="RFC 5861 4-status",
        ),
        pytest.param(
            {"stale_if_error": 9},
            IGNORE,
            UNREACHABLE,
            61,
            Reason.STALE_IF_ERROR,
            id="RFC 5861 4-unreachable",
        ),
        pytest.param(
            {"stale_if_error": 9}, IGNORE, ERROR_STATUS, 69, None, id="RFC 5861 4-window over"
        ),
        pytest.param(
            {"stale_if_error": 9},
            IGNORE,
            UNREACHABLE,
            69,
            Reason.GRACE,
            id="4.2.4-grace outlasts stale-if-error",
        ),
        pytest.param(
            {"stale_if_error": 9, "s_maxage": True},
            IGNORE,
            ERROR_STATUS,
            61,
            Reason.STALE_IF_ERROR,
            id="5.2.2.10-asked for beside s-maxage",
        ),
        pytest.param(
            {"stale_if_error": 9, "must_revalidate": True},
            IGNORE,
            UNREACHABLE,
            61,
            None,
            id="5.2.2.2-must-revalidate",
        ),
        pytest.param(
            {"stale_if_error": 9, "no_cache": True},
            IGNORE,
            UNREACHABLE,
            1,
            None,
            id="5.2.2.4-no-cache",
        ),
    ],
)
def test_after_failure(
    facts: dict[str, object],
    policy: Policy,
    failure: OriginFailure,
    now: float,
    reason: Reason | None,
) -> None:
    expected = None if reason is None else ServeStale(now, reason)
    assert after_failure(stored(**facts), policy, failure, now=now, request=get()) == expected


@pytest.mark.parametrize("cache_control", ["no-cache", "max-age=9", "min-fresh=9"])
def test_a_demand_for_validation_outlasts_failure_where_honored(cache_control: str) -> None:
    response, request = stored(stale_if_error=99), get(cache_control)
    assert after_failure(response, HONOR, UNREACHABLE, now=61, request=request) is None
    assert after_failure(response, IGNORE, UNREACHABLE, now=61, request=request) is not None


@pytest.mark.parametrize(
    ("method", "fields", "policy", "has_body", "upgrade", "reason"),
    [
        pytest.param("GET", {}, IGNORE, False, False, None, id="4-GET"),
        pytest.param("HEAD", {}, IGNORE, False, False, None, id="4-HEAD"),
        pytest.param("POST", {}, IGNORE, True, False, Reason.METHOD, id="4-POST"),
        pytest.param("get", {}, IGNORE, False, False, Reason.METHOD, id="4-case of method"),
        pytest.param("GET", {}, Policy(cache=False), False, False, Reason.CACHE_OFF, id="4-off"),
        pytest.param("GET", {}, IGNORE, False, True, Reason.REQUEST_UPGRADE, id="4-upgrade"),
        pytest.param("GET", {}, IGNORE, True, False, Reason.REQUEST_BODY, id="4-body"),
        pytest.param(
            "GET",
            {"If-Match": '"a"'},
            IGNORE,
            False,
            False,
            Reason.REQUEST_PRECONDITION,
            id="4.3.2-If-Match",
        ),
        pytest.param(
            "HEAD",
            {"if-unmodified-since": "x"},
            IGNORE,
            False,
            False,
            Reason.REQUEST_PRECONDITION,
            id="4.3.2-If-Unmodified-Since",
        ),
        pytest.param("GET", {"If-None-Match": "*"}, IGNORE, False, False, None, id="4.3.2-ours"),
    ],
)
def test_bypass_reason(
    method: str,
    fields: dict[str, str],
    policy: Policy,
    *,
    has_body: bool,
    upgrade: bool,
    reason: Reason | None,
) -> None:
    request = Request(method, "http", "example.com", "/", Headers(fields))
    assert bypass_reason(request, policy, has_body=has_body, upgrade=upgrade) is reason


SECONDS = st.floats(0, 1e6)
RESPONSES = st.builds(
    Freshness,
    lifetime=SECONDS,
    source=st.just(LifetimeSource.MAX_AGE),
    initial_age=SECONDS,
    response_time=SECONDS,
    no_cache=st.booleans(),
    must_revalidate=st.booleans(),
    s_maxage=st.booleans(),
    stale_while_revalidate=SECONDS,
    stale_if_error=SECONDS,
    grace=SECONDS,
).map(lambda freshness: stored().with_changes(freshness=freshness))
POLICIES = st.builds(Policy, client_directives=st.sampled_from(ClientDirectives))
DIRECTIVES = st.sampled_from(
    ["no-cache", "max-age=9", "max-stale", "max-stale=99", "min-fresh=9", "only-if-cached"]
)
REQUESTS = st.lists(DIRECTIVES, max_size=3).map(lambda members: get(", ".join(members)))
NOW = st.floats(-1e6, 3e6)


@given(REQUESTS, RESPONSES, POLICIES, NOW)
def test_never_reused_against_a_directive_that_forbids_it(
    request: Request, response: StoredResponse, policy: Policy, now: float
) -> None:
    freshness = response.freshness
    match decide(request, response, policy, now=now, any_variant=True):
        case Fresh():
            assert not freshness.no_cache
            assert freshness.ttl(now) > 0
        case ServeStale(reason=reason):
            assert not freshness.no_cache
            assert not freshness.must_revalidate
            assert freshness.ttl(now) <= 0
            if freshness.s_maxage:
                assert reason is Reason.STALE_WHILE_REVALIDATE
        case _:
            pass


@given(REQUESTS, RESPONSES, POLICIES, NOW, st.sampled_from(OriginFailure))
def test_no_failure_excuses_what_is_forbidden(
    request: Request,
    response: StoredResponse,
    policy: Policy,
    now: float,
    failure: OriginFailure,
) -> None:
    freshness = response.freshness
    answer = after_failure(response, policy, failure, now=now, request=request)
    if answer is not None:
        assert not freshness.no_cache
        assert not freshness.must_revalidate
        bound = freshness.grace if answer.reason is Reason.GRACE else freshness.stale_if_error
        assert -freshness.ttl(now) < bound < inf
        assert answer.age >= 0


@pytest.mark.parametrize(
    ("beta", "cost", "now", "draw", "early"),
    [
        pytest.param(0.0, 10, 59.9, 1e-300, False, id="off"),
        pytest.param(1.0, 2, 58.1, exp(-1), True, id="near the end"),
        pytest.param(1.0, 2, 57.9, exp(-1), False, id="not near enough"),
        pytest.param(2.0, 2, 56.1, exp(-1), True, id="beta makes it earlier"),
        pytest.param(1.0, 9, 51.1, exp(-1), True, id="so does a dear answer"),
        pytest.param(1.0, 2, 0, 1.0, False, id="the luckiest draw"),
        pytest.param(1.0, 0, 59.9995, exp(-1), True, id="an answer that cost no time at all"),
        pytest.param(1.0, -5, 59, exp(-1), False, id="a clock that stepped back"),
    ],
)
def test_refreshed_early_by_chance(
    beta: float,
    cost: float,
    now: float,
    draw: float,
    early: bool,  # noqa: FBT001 - a case
) -> None:
    response = stored().with_changes(request_time=-cost)
    policy = Policy(refresh_ahead=beta)
    assert refreshes_early(response, policy, now=now, draw=draw) is early


@given(RESPONSES, st.floats(0.1, 10), st.floats(0, 1e6), st.floats(1e-9, 1.0))
def test_the_nearer_the_end_the_likelier_an_early_refresh(
    response: StoredResponse, beta: float, now: float, draw: float
) -> None:
    policy = Policy(refresh_ahead=beta)
    if refreshes_early(response, policy, now=now, draw=draw):
        assert refreshes_early(response, policy, now=now + 1, draw=draw)
        assert refreshes_early(response, policy, now=now, draw=draw / 2)


@pytest.mark.parametrize("policy", [Policy(), Policy(refresh_ahead=1.0)])
def test_outside_its_window_nothing_is_refreshed_early(policy: Policy) -> None:
    response = stored().with_changes(request_time=-2)
    window = refresh_window(response, policy)
    assert (window > 0) is bool(policy.refresh_ahead)
    assert not refreshes_early(response, policy, now=60 - window - 1, draw=1e-12)

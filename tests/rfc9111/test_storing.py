"""What may be stored, and what of it: RFC 9111 §3."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.messages import Request, Response
from proxy.rfc9111.policy import Policy, SetCookie
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import ByteRange, LifetimeSource
from proxy.rfc9111.storing import (
    NEVER_STORED,
    NotStorable,
    Storable,
    StorageDecision,
    decide,
    directive_fields,
    forbidden,
    stored_response,
)

NOW = 1_750_000_000.0

Lines = Sequence[tuple[str, str]]

CC = "Cache-Control"
CDN = "CDN-Cache-Control"
SURROGATE = "Surrogate-Control"
FRESH = (CC, "max-age=60")
MODIFIED = ("Last-Modified", format_http_date(NOW - 1000))
ETAG = ("ETag", '"a"')
COOKIE = ("Set-Cookie", "a=b")
AUTHORIZED = [("Authorization", "Bearer x")]
RANGE = ("Content-Range", "bytes 0-4/10")


def request_for(
    method: str = "GET", lines: Lines = (), target: str = "/a?b=c", authority: str = "api.example"
) -> Request:
    return Request(method, "http", authority, target, CIMultiDict(lines))


def decision(
    lines: Lines,
    *,
    status: int = 200,
    request: Request | None = None,
    policy: Policy | None = None,
) -> StorageDecision:
    return decide(
        request or request_for(),
        Response(status, "", CIMultiDict(lines)),
        policy or Policy(),
        request_time=NOW,
        response_time=NOW,
    )


def stored(lines: Lines, *, policy: Policy | None = None, status: int = 200) -> Storable:
    found = decision(lines, policy=policy, status=status)
    assert isinstance(found, Storable)
    return found


def refusal(found: StorageDecision) -> Reason | None:
    """None when it is stored."""
    return found.reason if isinstance(found, NotStorable) else None


@pytest.mark.parametrize(
    "status",
    [200, 203, 204, 299, 301, 302, 303, 307, 308, 404, 405, 410, 499, 500, 502, 503, 504, 599],
)
def test_3_any_final_status_with_explicit_freshness(status: int) -> None:
    assert refusal(decision([FRESH], status=status)) is None


@pytest.mark.parametrize(
    ("lines", "status", "reason"),
    [
        pytest.param([FRESH], 103, Reason.STATUS_NOT_FINAL, id="3-interim"),
        pytest.param([FRESH], 304, Reason.NOT_MODIFIED_PASSED, id="4.3.3-304 on its own"),
        *(
            pytest.param(
                [FRESH], status, Reason.STATUS_NEVER_STORED, id=f"3-{status} is about one request"
            )
            for status in sorted(NEVER_STORED)
        ),
        pytest.param([(CC, "max-age=9, No-Store")], 200, Reason.NO_STORE, id="5.2.2.5-no-store"),
        pytest.param([(CC, "private, max-age=9")], 200, Reason.PRIVATE, id="5.2.2.7-private"),
        pytest.param(
            [(CC, "s-maxage=9, private")], 200, Reason.PRIVATE, id="5.2.2.7-over s-maxage"
        ),
        pytest.param([(CC, "public, private")], 200, Reason.PRIVATE, id="5.2.2.7-over public"),
        pytest.param([FRESH, ("Vary", "*")], 200, Reason.VARY_ANY, id="4.1-Vary: *"),
        pytest.param([FRESH, ("Vary", "A, *")], 200, Reason.VARY_ANY, id="4.1-* among others"),
        pytest.param(
            [FRESH, ("Vary", ""), ("Vary", "*")], 200, Reason.VARY_ANY, id="4.1-* on a later line"
        ),
        pytest.param([FRESH, COOKIE], 200, Reason.SET_COOKIE, id="7.3-Set-Cookie"),
        pytest.param([], 200, Reason.NO_FRESHNESS, id="3-neither freshness nor validator"),
        pytest.param([(CC, "public")], 200, Reason.NO_FRESHNESS, id="3-public alone"),
        pytest.param([ETAG], 200, None, id="3-validator, to be validated on every use"),
        pytest.param([ETAG], 302, Reason.NO_FRESHNESS, id="3-validator, status not cacheable"),
        pytest.param([ETAG, (CC, "public")], 302, None, id="3-validator with public"),
        pytest.param([MODIFIED], 404, None, id="4.2.2-heuristic"),
        pytest.param(
            [MODIFIED], 500, Reason.NO_FRESHNESS, id="4.2.2-heuristic, status not cacheable"
        ),
        pytest.param([(CC, "max-age=0")], 200, None, id="3-stale at once, for stale answers only"),
        pytest.param([("Expires", "0")], 200, None, id="3-Expires in the past"),
        pytest.param(
            [(CC, "no-cache, max-age=9")], 200, Reason.NO_CACHE, id="5.2.2.4-no validator"
        ),
        pytest.param([(CC, "no-cache"), ETAG], 200, None, id="5.2.2.4-with a validator"),
        pytest.param([(CC, "no-cache"), MODIFIED], 200, None, id="5.2.2.4-with Last-Modified"),
    ],
)
def test_what_the_response_allows(lines: Lines, status: int, reason: Reason | None) -> None:
    assert refusal(decision(lines, status=status)) is reason


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        pytest.param(request_for("HEAD"), Reason.METHOD_NOT_STORABLE, id="3-HEAD"),
        pytest.param(request_for("PUT"), Reason.METHOD_NOT_STORABLE, id="3-PUT"),
        pytest.param(request_for("get"), Reason.METHOD_NOT_STORABLE, id="RFC9110-9.1-case"),
        pytest.param(
            request_for(lines=[(CC, "x, no-store")]), Reason.REQUEST_NO_STORE, id="5.2.1.5-no-store"
        ),
        pytest.param(request_for(lines=[(CC, "no-cache")]), None, id="5.2.1.4-no-cache"),
        pytest.param(request_for(lines=[("Cookie", "a=b")]), None, id="7.3-Cookie"),
    ],
)
def test_what_the_request_allows(request_: Request, reason: Reason | None) -> None:
    assert refusal(decision([FRESH], request=request_)) is reason


def test_a_route_without_cache_stores_nothing() -> None:
    assert refusal(decision([FRESH], policy=Policy(cache=False))) is Reason.CACHE_OFF


@pytest.mark.parametrize(
    ("lines", "status", "reason"),
    [
        pytest.param(
            [(CC, "max-age=60, no-store, must-understand")], 200, None, id="5.2.2.3-understood"
        ),
        pytest.param([(CC, "max-age=60, must-understand")], 200, None, id="5.2.2.3-no no-store"),
        pytest.param(
            [(CC, "max-age=60, no-store, must-understand")],
            599,
            Reason.STATUS_NOT_UNDERSTOOD,
            id="5.2.2.3-not understood",
        ),
        pytest.param(
            [(CC, "max-age=60, must-understand")],
            299,
            Reason.STATUS_NOT_UNDERSTOOD,
            id="5.2.2.3-not understood, no no-store",
        ),
        pytest.param(
            [(CC, "max-age=60, no-store, must-understand, private")],
            200,
            Reason.PRIVATE,
            id="5.2.2.3-private stands",
        ),
        pytest.param(
            [(CC, "no-store, must-understand=1")], 200, Reason.NO_STORE, id="5.2.2.3-malformed"
        ),
    ],
)
def test_must_understand(lines: Lines, status: int, reason: Reason | None) -> None:
    assert refusal(decision(lines, status=status)) is reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param("max-age=60", Reason.AUTHORIZATION, id="3.5-max-age"),
        pytest.param(
            "max-age=60, proxy-revalidate", Reason.AUTHORIZATION, id="3.5-proxy-revalidate"
        ),
        pytest.param("max-age=60, public", None, id="3.5-public"),
        pytest.param("max-age=60, must-revalidate", None, id="3.5-must-revalidate"),
        pytest.param("s-maxage=60", None, id="3.5-s-maxage"),
    ],
)
def test_authorization(value: str, reason: Reason | None) -> None:
    authorized = request_for(lines=AUTHORIZED)
    assert refusal(decision([(CC, value)], request=authorized)) is reason
    overridden = decision([(CC, value)], request=authorized, policy=Policy(ttl=60))
    assert refusal(overridden) is reason
    targeted = decision([(CDN, value), (CC, "public")], request=authorized)
    assert refusal(targeted) is reason


def test_3_5_surrogate_control_does_not_lift_authorization() -> None:
    authorized = request_for(lines=AUTHORIZED)
    lines = [(SURROGATE, "max-age=60")]
    assert refusal(decision(lines, request=authorized)) is Reason.AUTHORIZATION
    shared = [*lines, (CC, "s-maxage=5")]
    assert refusal(decision(shared, request=authorized)) is None


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param([ETAG], Reason.NO_FRESHNESS, id="silence"),
        pytest.param([ETAG, MODIFIED], Reason.NO_FRESHNESS, id="silence, with Last-Modified"),
        pytest.param([ETAG, (CC, "no-cache")], None, id="no-cache"),
        pytest.param([ETAG, (CC, "public")], None, id="public"),
        pytest.param([FRESH], None, id="explicit freshness"),
    ],
)
def test_an_answer_to_a_known_user_is_kept_only_if_the_origin_spoke(
    lines: Lines, reason: Reason | None
) -> None:
    known = request_for(lines=[("Cookie", "session=1")])
    assert refusal(decision(lines, request=known)) is reason


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param([(CC, "no-store"), (CDN, "max-age=9")], None, id="RFC9213-2.2-lifts no-store"),
        pytest.param([(CC, "private"), (CDN, "max-age=9")], None, id="RFC9213-2.2-lifts private"),
        pytest.param([FRESH, (CDN, "private")], Reason.PRIVATE, id="RFC9213-2.2-private"),
        pytest.param([FRESH, (CDN, "no-store")], Reason.NO_STORE, id="RFC9213-2.2-no-store"),
        pytest.param([FRESH, (CDN, "no-cache")], Reason.NO_FRESHNESS, id="RFC9213-2.2-no-cache"),
        pytest.param(
            [(CC, "no-store"), (CDN, "max-age=9, &&&&&")], Reason.NO_STORE, id="RFC9213-2.1-invalid"
        ),
        pytest.param(
            [(CC, "no-store"), (CDN, 'max-age="9"')], Reason.NO_STORE, id="RFC9213-2.1-type"
        ),
        pytest.param([FRESH, (SURROGATE, "no-store")], Reason.NO_STORE, id="surrogate-no-store"),
        pytest.param(
            [(CC, "no-store"), (SURROGATE, "max-age=9")],
            Reason.NO_STORE,
            id="surrogate-lifts nothing",
        ),
        pytest.param([(CC, "no-cache"), (SURROGATE, "max-age=9")], None, id="surrogate-no-cache"),
    ],
)
def test_fields_for_caches_like_this_one(lines: Lines, reason: Reason | None) -> None:
    assert refusal(decision(lines)) is reason


@pytest.mark.parametrize(
    ("lines", "part", "reason"),
    [
        pytest.param([FRESH, RANGE], ByteRange(0, 4, 10), None, id="3.3-one range"),
        pytest.param([MODIFIED, RANGE], ByteRange(0, 4, 10), None, id="4.2.2-heuristic"),
        pytest.param([FRESH], None, Reason.PARTIAL_UNUSABLE, id="3.3-no Content-Range"),
        pytest.param(
            [FRESH, RANGE, RANGE], None, Reason.PARTIAL_UNUSABLE, id="3.3-two Content-Range"
        ),
        pytest.param(
            [FRESH, ("Content-Range", "bytes 0-4/*")],
            None,
            Reason.PARTIAL_UNUSABLE,
            id="3.3-complete length unknown",
        ),
        pytest.param(
            [FRESH, RANGE, ("Content-Type", "Multipart/Byteranges; boundary=x")],
            None,
            Reason.PARTIAL_UNUSABLE,
            id="RFC9110-15.3.7.2-several parts",
        ),
    ],
)
def test_partial_content(lines: Lines, part: ByteRange | None, reason: Reason | None) -> None:
    found = decision(lines, status=206)
    assert refusal(found) is reason
    assert not isinstance(found, Storable) or found.part == part


def test_14_4_content_range_in_a_200_means_nothing() -> None:
    assert stored([FRESH, RANGE]).part is None


OWN = ("Content-Location", "/a?b=c")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param([FRESH, OWN], None, id="9.3.3-path"),
        pytest.param([("Expires", format_http_date(NOW + 60)), OWN], None, id="9.3.3-Expires"),
        *(
            pytest.param([FRESH, ("Content-Location", value)], None, id=f"9.3.3-{value}")
            for value in (
                "HTTP://API.example/a?b=c",
                "//api.example/a?b=c",
                "a?b=c",
                "?b=c",
                "./a?b=c",
            )
        ),
        *(
            pytest.param(
                [FRESH, ("Content-Location", value)],
                Reason.POST_WITHOUT_LOCATION,
                id=f"9.3.3-not {value!r}",
            )
            for value in (
                *(
                    "/b",
                    "/A?b=c",
                    "/a",
                    "/a?b=c#d",
                    "/a?b=c#",
                    "/a?b=\tc",
                    "https://api.example/a?b=c",
                ),
                *("http://other.example/a?b=c", "http://u@api.example/a?b=c", "http://[", "*"),
            )
        ),
        pytest.param([FRESH], Reason.POST_WITHOUT_LOCATION, id="9.3.3-no Content-Location"),
        pytest.param([FRESH, OWN, OWN], Reason.POST_WITHOUT_LOCATION, id="9.3.3-two of them"),
        pytest.param([MODIFIED, OWN], Reason.POST_WITHOUT_LOCATION, id="9.3.3-only heuristic"),
        pytest.param([ETAG, OWN], Reason.POST_WITHOUT_LOCATION, id="9.3.3-no freshness"),
        pytest.param([(CC, "no-store"), OWN], Reason.NO_STORE, id="9.3.3-no-store"),
    ],
)
def test_post(lines: Lines, reason: Reason | None) -> None:
    assert refusal(decision(lines, request=request_for("POST"))) is reason


def test_9_3_3_only_a_200_to_post_is_what_get_would_give() -> None:
    post = request_for("POST")
    assert refusal(decision([FRESH, OWN], status=201, request=post)) is Reason.METHOD_NOT_STORABLE


def test_9_3_3_a_lifetime_that_is_only_assumed_is_not_stated() -> None:
    found = decision([OWN], request=request_for("POST"), policy=Policy(default_ttl=60))
    assert refusal(found) is Reason.POST_WITHOUT_LOCATION
    assert refusal(decision([OWN], request=request_for("POST"), policy=Policy(ttl=60))) is None


def test_9_3_3_an_empty_query_is_not_the_same_as_none() -> None:
    post = request_for("POST", target="/a")
    found = decision([FRESH, ("Content-Location", "/a?")], request=post)
    assert refusal(found) is Reason.POST_WITHOUT_LOCATION


def test_9_3_3_a_path_of_two_slashes_is_no_authority() -> None:
    post = request_for("POST", target="//b/c")
    found = decision([FRESH, ("Content-Location", "//b/c")], request=post)
    assert refusal(found) is Reason.POST_WITHOUT_LOCATION


@pytest.mark.parametrize(
    ("policy", "lines", "reason"),
    [
        pytest.param(Policy(ttl=60), [], None, id="ttl-for silence"),
        pytest.param(Policy(ttl=60), [(CC, "no-store")], Reason.NO_STORE, id="ttl-no-store"),
        pytest.param(Policy(ttl=60), [(CC, "private")], Reason.PRIVATE, id="ttl-private"),
        pytest.param(Policy(ttl=60), [COOKIE], Reason.SET_COOKIE, id="ttl-Set-Cookie"),
        pytest.param(Policy(ttl=0), [FRESH], Reason.TTL_ZERO, id="ttl-zero"),
        pytest.param(Policy(ttl=0), [FRESH, ETAG], None, id="ttl-zero with a validator"),
        pytest.param(
            Policy(ttl=0, stale_while_revalidate=9),
            [FRESH],
            None,
            id="ttl-zero with a stale window",
        ),
        pytest.param(Policy(default_ttl=60), [], None, id="default_ttl"),
        pytest.param(Policy(default_ttl=0), [], Reason.TTL_ZERO, id="default_ttl-zero"),
    ],
)
def test_what_the_route_says(policy: Policy, lines: Lines, reason: Reason | None) -> None:
    assert refusal(decision(lines, policy=policy)) is reason


def test_negative_ttl() -> None:
    policy = Policy(negative_ttl={500: 5, 429: 5})
    assert refusal(decision([], status=500, policy=policy)) is None
    assert refusal(decision([], status=502, policy=policy)) is Reason.NO_FRESHNESS
    assert refusal(decision([], status=429, policy=policy)) is Reason.STATUS_NEVER_STORED


@pytest.mark.parametrize(
    ("set_cookie", "value", "kept"),
    [
        pytest.param(SetCookie.STORE, "max-age=9", True, id="7.3-store"),
        pytest.param(SetCookie.STRIP, "max-age=9", False, id="7.3-strip"),
        pytest.param(
            SetCookie.BYPASS, 'max-age=9, private="set-cookie"', False, id="5.2.2.7-left out"
        ),
        pytest.param(
            SetCookie.BYPASS, 'max-age=9, no-cache="Set-Cookie"', False, id="5.2.2.4-left out"
        ),
    ],
)
def test_set_cookie(set_cookie: SetCookie, value: str, kept: bool) -> None:  # noqa: FBT001
    found = stored([(CC, value), COOKIE, COOKIE], policy=Policy(set_cookie=set_cookie))
    assert found.headers.getall("Set-Cookie", []) == (["a=b", "a=b"] if kept else [])


def test_3_1_what_is_stored_of_the_fields() -> None:
    lines = [
        (CC, 'max-age=9, no-cache="a, B", private="c"'),
        ("Age", "3"),
        ("A", "1"),
        ("b", "2"),
        ("C", "3"),
        ("X-Kept", "1"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Authentication-Info", "x"),
        ("Proxy-Authorization", "x"),
        ("x-kept", "2"),
        (SURROGATE, "max-age=9"),
        (CDN, "max-age=9"),
    ]
    kept = [lines[0], ("X-Kept", "1"), ("x-kept", "2"), *lines[-2:]]
    without_targets = Policy(targeted_fields=())
    assert list(stored(lines, policy=without_targets).headers.items()) == kept


def test_the_response_itself_is_not_changed() -> None:
    headers = CIMultiDict([FRESH, ("Age", "1")])
    decide(request_for(), Response(200, "", headers), Policy(), request_time=NOW, response_time=NOW)
    assert list(headers.items()) == [FRESH, ("Age", "1")]


def test_what_goes_into_the_store() -> None:
    request = request_for(lines=[("X-Tenant", "de")])
    lines = [FRESH, ("Vary", "X-Tenant"), ("Date", format_http_date(NOW - 5)), RANGE]
    response = Response(206, "Partial Content", CIMultiDict(lines))
    storable = decide(request, response, Policy(), request_time=NOW - 1, response_time=NOW)
    assert isinstance(storable, Storable)
    found = stored_response(
        response,
        storable,
        request_time=NOW - 1,
        response_time=NOW,
        tags=("t",),
        groups=("g",),
        born=7,
    )
    assert (found.status, found.reason, found.part) == (206, "Partial Content", ByteRange(0, 4, 10))
    assert (found.request_time, found.date, found.born) == (NOW - 1, NOW - 5, 7)
    assert (found.tags, found.groups) == (("t",), ("g",))
    assert found.variant == (("x-tenant", "de"),)
    assert found.headers == storable.headers
    assert found.fields == list(storable.headers.items())
    assert found.freshness is storable.freshness
    assert found.freshness.source is LifetimeSource.MAX_AGE


def test_4_1_without_vary_every_request_matches() -> None:
    response = Response(200, "OK", CIMultiDict([FRESH]))
    found = stored_response(response, stored([FRESH]), request_time=NOW, response_time=NOW)
    assert found.variant == ()
    assert found.date == NOW


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [CC, SURROGATE, "Expires", "ETag", "Vary", "Set-Cookie", "Content-Range", "Pragma"]
        ),
        st.text(max_size=20)
        | st.sampled_from(
            ["public, s-maxage=60", "max-age=60", "no-cache", "must-revalidate", "a"]
        ),
    )
)
POLICIES = st.builds(
    Policy,
    ttl=st.none() | st.floats(0, 1e6),
    default_ttl=st.none() | st.floats(0, 1e6),
    set_cookie=st.sampled_from(SetCookie),
)
STATUSES = st.integers(100, 999)


@given(HEADERS, HEADERS, st.sampled_from(["no-store", "Private"]), STATUSES, POLICIES)
def test_no_store_and_private_hold_whatever_stands_beside_them(
    before: Lines, after: Lines, directive: str, status: int, policy: Policy
) -> None:
    lines = [*before, (CC, "max-age=60"), (CC, directive), (CC, "public"), *after]
    # Text in quotes is not a directive, so an odd quote in another line could hide this one.
    lines = [(name, value.replace('"', "")) for name, value in lines]
    found = decision(lines, status=status, policy=policy)
    assert isinstance(found, NotStorable)


REQUESTS = st.builds(
    request_for,
    st.sampled_from(["GET", "POST", "HEAD", "X"]),
    st.lists(st.tuples(st.sampled_from([CC, "Cookie", "Authorization"]), st.text(max_size=20))),
)


@given(REQUESTS, st.text(max_size=20), HEADERS, STATUSES, POLICIES)
def test_deciding_never_raises(
    request_: Request, location: str, lines: Lines, status: int, policy: Policy
) -> None:
    lines = [*lines, FRESH, ("Content-Location", location)]
    decision(lines, status=status, request=request_, policy=policy)


@given(HEADERS, POLICIES)
def test_3_5_an_authorized_answer_needs_the_origins_word(lines: Lines, policy: Policy) -> None:
    # None of the spellings of the three directives contains this.
    lines = [(name, value.replace("-", "").replace("public", "")) for name, value in lines]
    found = decision([*lines, FRESH], request=request_for(lines=AUTHORIZED), policy=policy)
    assert isinstance(found, NotStorable)


@given(REQUESTS, HEADERS, STATUSES, POLICIES)
def test_what_directives_forbid_is_seen_without_the_rest(
    request_: Request, lines: Lines, status: int, policy: Policy
) -> None:
    fields = directive_fields(policy)
    said = Response(status, "", CIMultiDict((n, v) for n, v in lines if n.lower() in fields))
    reason = forbidden(request_, said, policy)
    if reason is not None:
        assert decision(lines, status=status, request=request_, policy=policy) == NotStorable(
            reason
        )


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param([], None, id="nothing said"),
        pytest.param([(CC, "no-cache")], None, id="5.2.2.4-of use once"),
        pytest.param([(CC, "no-store")], Reason.NO_STORE, id="5.2.2.5"),
        pytest.param([(CC, "private")], Reason.PRIVATE, id="5.2.2.7"),
        pytest.param([(CC, "no-store"), (CDN, "max-age=1")], None, id="9213-2.2-targeted"),
        pytest.param([(SURROGATE, "no-store")], Reason.NO_STORE, id="surrogate"),
        pytest.param([("Vary", "*")], None, id="4.1-not a directive"),
    ],
)
def test_what_directives_forbid(lines: Lines, reason: Reason | None) -> None:
    response = Response(200, "", CIMultiDict(lines))
    assert forbidden(request_for(), response, Policy()) is reason


def test_which_fields_have_directives() -> None:
    assert directive_fields(Policy()) == {"cache-control", "cdn-cache-control", "surrogate-control"}
    others = Policy(targeted_fields=("My-Control",), surrogate_control=False)
    assert directive_fields(others) == {"cache-control", "my-control"}

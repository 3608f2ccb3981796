"""From one exchange to a later request: storing, freshening, selecting and reuse together.

What the directives mean is said here once more, as rules over a set of words, apart from the code
that reads them off header lines.
"""

from dataclasses import dataclass

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from proxy.rfc9111 import keys, preconditions, ranges, reuse, storing, validation
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.messages import Headers, Request, Response
from proxy.rfc9111.policy import ClientDirectives, Policy, SetCookie
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import StoredResponse

NOW = 1_800_000_000
Fields = list[tuple[str, str]]

FORBIDDING = ("no-store", "private", "must-understand")
OTHERS = (
    "no-cache",
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "immutable",
    "unknown",
)
NUMBERS = ("max-age", "s-maxage", "stale-while-revalidate", "stale-if-error")
DELTAS = st.sampled_from([0, 1, 10, 60, 1000])


@dataclass(frozen=True)
class Said:
    """What a message says about caching, before it is put into words."""

    flags: frozenset[str] = frozenset()
    numbers: tuple[tuple[str, int], ...] = ()

    def __contains__(self, name: str) -> bool:
        return name in self.flags or name in dict(self.numbers)

    def __getitem__(self, name: str) -> int:
        return dict(self.numbers)[name]


FIGURES = st.dictionaries(st.sampled_from(NUMBERS), DELTAS).map(lambda found: tuple(found.items()))
SAID = st.builds(Said, st.frozensets(st.sampled_from([*FORBIDDING, *OTHERS]), max_size=3), FIGURES)
SAID_OF_SHARED = st.builds(Said, st.frozensets(st.sampled_from(OTHERS), max_size=2), FIGURES)


@st.composite
def spelled(draw: st.DrawFn, said: Said) -> Fields:
    """Cache-Control lines that say so: in any order and case, on one line or several."""
    members = [*said.flags, *(f"{name}={value}" for name, value in said.numbers)]
    lines: list[list[str]] = [[]]
    for member in draw(st.permutations(members)):
        if draw(st.booleans()):
            lines.append([])
        lines[-1].append(member.upper() if draw(st.booleans()) else member)
    comma = draw(st.sampled_from([",", ", ", " ,\t", ", ,"]))
    return [("Cache-Control", comma.join(line)) for line in lines if line]


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, at NOW, and what was said in both."""

    request: Request
    response: Response
    said: Said
    forbids_storing: bool


CREDENTIALS = st.sampled_from([[], [("Authorization", "x")], [("Cookie", "a=b")]])
VARYING = st.sampled_from(["1", "2", None])
STATUSES = st.sampled_from([200, 200, 200, 203, 299, 301, 404, 418, 500, 503])
EXTRAS = st.lists(
    st.sampled_from(
        [
            ("Vary", "X-Vary"),
            ("ETag", '"a"'),
            ("Last-Modified", format_http_date(NOW - 10_000)),
            ("Expires", format_http_date(NOW + 60)),
            ("Expires", "0"),
            ("Age", "5"),
        ]
    ),
    max_size=3,
)
HINDRANCES = st.lists(st.sampled_from([("Set-Cookie", "a=b"), ("Vary", "*")]), max_size=1)


def request_of(fields: Fields, varying: str | None, method: str = "GET") -> Request:
    extra = [] if varying is None else [("X-Vary", varying)]
    return Request(method, "http", "api.example", "/", Headers([*fields, *extra]))


@st.composite
def exchanges(draw: st.DrawFn, *, shared: bool = False) -> Exchange:
    """Any exchange, or with `shared` one in which nothing plainly forbids to store."""
    said = draw(SAID_OF_SHARED if shared else SAID)
    forbids = not shared and draw(st.booleans())
    asked: Fields = [("Cache-Control", "no-store")] if forbids else []
    request = request_of([*asked, *draw(CREDENTIALS)], draw(VARYING))
    lines = [("Date", format_http_date(NOW)), *draw(EXTRAS), *draw(spelled(said))]
    lines += [] if shared else draw(HINDRANCES)
    return Exchange(request, Response(draw(STATUSES), "", Headers(lines)), said, forbids)


WINDOWS = st.sampled_from([None, 0.0, 30.0, 500.0])
POLICIES = st.builds(
    Policy,
    ttl=st.sampled_from([None, None, 30.0]),
    default_ttl=WINDOWS,
    stale_while_revalidate=WINDOWS,
    stale_if_error=WINDOWS,
    grace=st.sampled_from([0.0, 60.0]),
    set_cookie=st.sampled_from(SetCookie),
    client_directives=st.sampled_from(ClientDirectives),
)


@st.composite
def later_requests(draw: st.DrawFn) -> Request:
    wishes = st.sampled_from(["no-cache", "max-age=5", "max-stale", "max-stale=99", "min-fresh=9"])
    wished = draw(st.lists(wishes, max_size=2))
    fields = [("Cache-Control", ", ".join(wished))] if wished else []
    return request_of([*fields, *draw(CREDENTIALS)], draw(VARYING), draw(METHODS))


METHODS = st.sampled_from(["GET", "HEAD"])
DELAYS = st.sampled_from([0, 1, 9, 11, 59, 61, 100, 999, 1001, 5000])


def store(exchange: Exchange, policy: Policy) -> StoredResponse | None:
    decision = storing.decide(
        exchange.request, exchange.response, policy, request_time=NOW, response_time=NOW
    )
    if isinstance(decision, storing.NotStorable):
        return None
    return storing.stored_response(exchange.response, decision, request_time=NOW, response_time=NOW)


def carries(request: Request, *names: str) -> bool:
    return any(name in request.headers for name in names)


@settings(max_examples=400)
@given(exchanges(), POLICIES)
def test_3_nothing_is_stored_against_a_directive_that_forbids_it(
    exchange: Exchange, policy: Policy
) -> None:
    stored = store(exchange, policy)
    if stored is None:
        return
    said, fields = exchange.said, exchange.response.headers
    assert not exchange.forbids_storing
    assert "private" not in said
    assert "no-store" not in said or "must-understand" in said
    if "must-understand" in said:
        assert exchange.response.status in storing.UNDERSTOOD
    assert "*" not in fields.getall("Vary", [])
    if carries(exchange.request, "Authorization"):
        assert "public" in said or "must-revalidate" in said or "s-maxage" in said
    if "Set-Cookie" in fields:
        assert policy.set_cookie is not SetCookie.BYPASS
        assert ("Set-Cookie" in stored.headers) == (policy.set_cookie is SetCookie.STORE)


def usable(
    stored: StoredResponse, request: Request, policy: Policy, now: float
) -> dict[str, reuse.Fresh | reuse.ServeStale]:
    """Every way in which `stored` would be used for `request` unvalidated at `now`."""
    if keys.select_variant([stored], request.headers) is None:
        return {}
    decision = reuse.decide(request, stored, policy, now=now, any_variant=True)
    if isinstance(decision, reuse.Fresh | reuse.ServeStale):
        return {"at once": decision}
    if not isinstance(decision, reuse.Revalidate):
        return {}
    failures = {
        failure.value: reuse.after_failure(stored, policy, failure, now=now, request=request)
        for failure in reuse.OriginFailure
    }
    return {name: found for name, found in failures.items() if found is not None}


@settings(max_examples=400)
@given(exchanges(shared=True), POLICIES, later_requests(), DELAYS)
def test_4_nothing_is_reused_against_a_directive_that_forbids_it(
    exchange: Exchange, policy: Policy, later: Request, delay: int
) -> None:
    stored = store(exchange, policy)
    assume(stored is not None)
    assert stored is not None
    said = exchange.said
    for how, found in usable(stored, later, policy, NOW + delay).items():
        event(how)
        assert "no-cache" not in said
        assert found.age >= delay
        if "Vary" in exchange.response.headers:
            assert later.headers.get("X-Vary") == exchange.request.headers.get("X-Vary")
        if isinstance(found, reuse.ServeStale):
            assert_stale_is_allowed(found, said, policy)
        elif policy.ttl is None:
            assert_fresh(exchange, later, policy, delay)
        if policy.client_directives is ClientDirectives.HONOR:
            assert "no-cache" not in later.headers.get("Cache-Control", "")


def assert_fresh(exchange: Exchange, later: Request, policy: Policy, delay: int) -> None:
    """§4.2.1, said once more: s-maxage, max-age, Expires, or what is assumed."""
    said, fields = exchange.said, exchange.response.headers
    for name in ("s-maxage", "max-age"):
        if name in said:
            assert delay < said[name]
            return
    if "Expires" in fields:
        assert set(fields.getall("Expires")) == {format_http_date(NOW + 60)}
        assert delay < 60
        return
    assert not carries(exchange.request, "Cookie", "Authorization")
    assert not carries(later, "Cookie", "Authorization")
    assert delay < (policy.default_ttl if policy.default_ttl is not None else 1000)


def assert_stale_is_allowed(found: reuse.ServeStale, said: Said, policy: Policy) -> None:
    assert "must-revalidate" not in said
    assert "proxy-revalidate" not in said
    match found.reason:
        case Reason.STALE_WHILE_REVALIDATE | Reason.STALE_IF_ERROR as name:
            asked_for = name.value in said
            by_route = (
                policy.stale_while_revalidate
                if name is Reason.STALE_WHILE_REVALIDATE
                else policy.stale_if_error
            )
            assert said[name.value] if asked_for else by_route
        case Reason.GRACE:
            assert "s-maxage" not in said
            assert policy.grace
        case Reason.REQUEST_MAX_STALE:
            assert "s-maxage" not in said
            assert policy.client_directives is ClientDirectives.HONOR
        case _:
            raise AssertionError(found.reason)


@given(exchanges(shared=True), exchanges(), POLICIES, later_requests(), DELAYS)
def test_4_3_4_nothing_is_reused_against_what_a_304_has_said_since(
    exchange: Exchange, update: Exchange, policy: Policy, later: Request, delay: int
) -> None:
    """What a 304 says replaces what was said before, whoever asked for it."""
    stored = store(exchange, policy)
    assume(stored is not None and "Cache-Control" in update.response.headers)
    assert stored is not None
    fresh = validation.freshen(
        update.request,
        stored,
        Response(304, "", update.response.headers),
        policy,
        request_time=NOW,
        response_time=NOW,
    )
    if fresh is None or fresh is stored:
        return
    said = update.said
    assert "private" not in said
    assert "no-store" not in said or "must-understand" in said
    assert not update.forbids_storing
    for found in usable(fresh, later, policy, NOW + delay).values():
        assert "no-cache" not in said
        if isinstance(found, reuse.ServeStale):
            assert_stale_is_allowed(found, said, policy)


@given(exchanges(shared=True), exchanges(), POLICIES)
def test_3_2_freshening_twice_is_freshening_once(
    exchange: Exchange, update: Exchange, policy: Policy
) -> None:
    stored = store(exchange, policy)
    assume(stored is not None)
    assert stored is not None
    response = Response(304, "", update.response.headers)

    def freshen(old: StoredResponse) -> StoredResponse | None:
        return validation.freshen(
            update.request, old, response, policy, request_time=NOW, response_time=NOW
        )

    once = freshen(stored)
    if once is not None and once is not stored:
        twice = freshen(once)
        assert twice is not None
        assert list(twice.headers.items()) == list(once.headers.items())
        assert twice.with_changes(headers=once.headers) == once


NAMES = st.sampled_from(
    [
        "Accept",
        "Accept-Language",
        "Age",
        "CDN-Cache-Control",
        "Cache-Control",
        "Cache-Groups",
        "Content-Language",
        "Content-Length",
        "Content-Location",
        "Content-Range",
        "Cookie",
        "Date",
        "ETag",
        "Expires",
        "If-Modified-Since",
        "If-None-Match",
        "If-Range",
        "Last-Modified",
        "Pragma",
        "Range",
        "Set-Cookie",
        "Surrogate-Control",
        "Vary",
    ]
)
ODD = st.text(st.characters(codec="latin-1"), max_size=30) | st.sampled_from(
    [
        "Fri, 31 Dec 9999 23:59:60 GMT",
        "Monday, 01-Jan-00 00:00:00 GMT",
        "max-age=" + "9" * 5000,
        "bytes=" + "9" * 5000 + "-",
        'W/"',
        "q=" + "0" * 50,
    ]
)
ODD_FIELDS = st.lists(st.tuples(NAMES, ODD), max_size=8)


@given(ODD_FIELDS, ODD_FIELDS, ODD_FIELDS, POLICIES, st.sampled_from([200, 206, 404]))
def test_nothing_that_two_strangers_send_makes_anything_raise(
    asked: Fields, answered: Fields, later_asked: Fields, policy: Policy, status: int
) -> None:
    request = request_of(asked, None)
    lines = [("Cache-Control", "max-age=60"), *answered]
    exchange = Exchange(
        request, Response(status, "", Headers(lines)), Said(), forbids_storing=False
    )
    stored = store(exchange, policy)
    if stored is None:
        return
    later = request_of(later_asked, None)
    keys.select_variant([stored], later.headers)
    decision = reuse.decide(later, stored, policy, now=NOW + 1, any_variant=True)
    assert getattr(decision, "age", 0.0) >= 0
    preconditions.evaluate(later.headers, stored, now=NOW + 1)
    ranges.select(later, stored, 10, now=NOW + 1)
    validation.conditional_headers(later.headers, stored)
    update = Response(304, "", Headers(later_asked))
    validation.confirms(update, stored)
    times = {"request_time": NOW + 1.0, "response_time": NOW + 2.0}
    now = validation.confirmed(later, stored, update, policy, **times)
    assert now.freshness.current_age(NOW) >= 0
    validation.freshen(later, stored, update, policy, **times)
    validation.update_from_head(
        later, stored, 10, Response(200, "", update.headers), policy, **times
    )

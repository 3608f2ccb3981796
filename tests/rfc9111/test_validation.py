from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.keys import variant_key, vary_names
from proxy.rfc9111.messages import Headers, Request, Response
from proxy.rfc9111.policy import Policy, SetCookie
from proxy.rfc9111.stored import ByteRange, Freshness, LifetimeSource, StoredResponse, packed
from proxy.rfc9111.validation import (
    Freshened,
    HeadUpdate,
    Invalidated,
    Untouched,
    conditional_headers,
    confirmed,
    confirms,
    freshen,
    update_from_head,
    updated_headers,
)

NOW = 1_800_000_000.0
POLICY = Policy()
FRESHNESS = Freshness(lifetime=60, source=LifetimeSource.MAX_AGE, initial_age=0, response_time=NOW)
MODIFIED = format_http_date(NOW - 86_400)
Fields = list[tuple[str, str]]


def stored(
    *fields: tuple[str, str],
    status: int = 200,
    part: ByteRange | None = None,
    age: float = 100,
    request: Fields | None = None,
) -> StoredResponse:
    """Received `age` seconds ago."""
    headers = Headers([("Date", format_http_date(NOW - age)), *fields])
    return StoredResponse(
        status=status,
        reason="Fine",
        **packed(headers),
        request_time=NOW - age,
        freshness=replace(FRESHNESS, response_time=NOW - age),
        variant=variant_key(vary_names(headers) or (), Headers(request or [])),
        date=NOW - age,
        part=part,
        tags=("tag",),
        groups=("old",),
        born=7,
    )


def request(*fields: tuple[str, str], method: str = "GET") -> Request:
    return Request(method, "http", "example.com", "/", Headers(fields))


def not_modified(*fields: tuple[str, str]) -> Response:
    return Response(304, "", Headers([("Date", format_http_date(NOW)), *fields]))


def updated(
    response: StoredResponse,
    update: Response,
    *,
    policy: Policy = POLICY,
    asking: Request | None = None,
) -> StoredResponse | None:
    asking = asking or request()
    return freshen(asking, response, update, policy, request_time=NOW, response_time=NOW)


ETAG, OTHER, WEAK = ("ETag", '"a"'), ("ETag", '"b"'), ("ETag", 'W/"a"')
LAST_MODIFIED = ("Last-Modified", MODIFIED)
PART = ByteRange(0, 4, 10)


# The conditional request


@pytest.mark.parametrize(
    ("asked", "selected", "expected"),
    [
        pytest.param([], stored(ETAG), [("If-None-Match", '"a"')], id="4.3.1-ETag"),
        pytest.param([], stored(WEAK), [("If-None-Match", 'W/"a"')], id="4.3.1-weak ETag"),
        pytest.param(
            [],
            stored(LAST_MODIFIED),
            [("If-Modified-Since", MODIFIED)],
            id="4.3.1-Last-Modified",
        ),
        pytest.param(
            [],
            stored(ETAG, LAST_MODIFIED),
            [("If-None-Match", '"a"'), ("If-Modified-Since", MODIFIED)],
            id="4.3.1-both",
        ),
        pytest.param(
            [],
            stored(("Last-Modified", "Sunday, 06-Nov-94 08:49:37 GMT")),
            [("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")],
            id="4.3.1-Last-Modified as it came",
        ),
        pytest.param(
            [("If-None-Match", '"old"'), ("X", "1"), ("If-Modified-Since", "then")],
            stored(ETAG),
            [("X", "1"), ("If-None-Match", '"a"')],
            id="4.3.1-in place of the client's",
        ),
        pytest.param(
            [("If-None-Match", '"old"')],
            stored(LAST_MODIFIED),
            [("If-Modified-Since", MODIFIED)],
            id="4.3.1-no tag of the client's beside our date",
        ),
        pytest.param(
            [("Range", "bytes=0-1"), ("If-Range", '"a"'), ("Abc", "123")],
            stored(ETAG),
            [("Abc", "123"), ("If-None-Match", '"a"')],
            id="4.3.1-the whole is to be renewed",
        ),
        pytest.param(
            [("Range", "bytes=0-1")],
            stored(ETAG, status=206, part=PART),
            [("Range", "bytes=0-1"), ("If-None-Match", '"a"')],
            id="4.3.2-the part that is wanted",
        ),
    ],
)
def test_conditions_for_the_selected_response(
    asked: Fields, selected: StoredResponse, expected: Fields
) -> None:
    headers = Headers(asked)
    conditional = conditional_headers(headers, selected)
    assert conditional is not None
    assert list(conditional.items()) == expected
    assert list(headers.items()) == asked


@pytest.mark.parametrize(
    "selected",
    [
        pytest.param(stored(), id="4.3.1-no validator"),
        pytest.param(
            stored(("ETag", "a"), ("Last-Modified", "never")),
            id="4.3.1-invalid validators are none",
        ),
    ],
)
def test_nothing_to_validate_by(selected: StoredResponse) -> None:
    assert conditional_headers(Headers({"If-None-Match": '"old"'}), selected) is None


# Which response a 304 is about


@pytest.mark.parametrize(
    ("selected", "fields", "confirmed"),
    [
        pytest.param(stored(ETAG), [ETAG], True, id="4.3.4-same strong tag"),
        pytest.param(stored(ETAG), [OTHER], False, id="4.3.4-other strong tag"),
        pytest.param(
            stored(ETAG, LAST_MODIFIED),
            [OTHER, LAST_MODIFIED],
            False,
            id="4.3.4-other strong tag, same date",
        ),
        pytest.param(stored(WEAK), [ETAG], False, id="4.3.4-strong against weak"),
        pytest.param(stored(ETAG), [WEAK], True, id="4.3.4-weak tag corresponds"),
        pytest.param(stored(OTHER), [WEAK], False, id="4.3.4-other weak tag"),
        pytest.param(stored(LAST_MODIFIED), [LAST_MODIFIED], True, id="4.3.4-same date"),
        pytest.param(
            stored(LAST_MODIFIED),
            [("Last-Modified", format_http_date(NOW))],
            False,
            id="4.3.4-other date",
        ),
        pytest.param(
            stored(ETAG, LAST_MODIFIED), [LAST_MODIFIED], True, id="4.3.4-date alone agrees"
        ),
        pytest.param(stored(ETAG), [LAST_MODIFIED], False, id="4.3.4-a date that is not stored"),
        pytest.param(
            stored(LAST_MODIFIED), [ETAG, LAST_MODIFIED], False, id="4.3.4-a tag not stored"
        ),
        pytest.param(
            stored(LAST_MODIFIED), [WEAK, LAST_MODIFIED], True, id="4.3.4-weak tag, same date"
        ),
        pytest.param(stored(ETAG), [], True, id="4.3.4-no validator: what was asked about"),
        pytest.param(stored(ETAG), [("ETag", "a")], True, id="4.3.4-an invalid tag is none"),
    ],
)
def test_a_304_for_the_selected_response(
    selected: StoredResponse, fields: Fields, *, confirmed: bool
) -> None:
    assert confirms(not_modified(*fields), selected) is confirmed


# Freshening


def test_fields_are_replaced_name_by_name() -> None:
    before = Headers([("A", "1"), ("B", "1"), ("b", "2"), ("C", "1")])
    after = updated_headers(before, Headers([("b", "3"), ("D", "1"), ("D", "2")]))
    assert list(after.items()) == [("A", "1"), ("C", "1"), ("b", "3"), ("D", "1"), ("D", "2")]
    assert len(before) == 4


@pytest.mark.parametrize(
    ("name", "replaced"),
    [
        pytest.param("Test-Header", True, id="3.2-any field"),
        pytest.param("Content-Foo", True, id="3.2-unknown Content- field"),
        pytest.param("Content-Location", True, id="3.2-Content-Location"),
        pytest.param("Content-Security-Policy", True, id="3.2-Content-Security-Policy"),
        pytest.param("Expires", True, id="3.2-Expires"),
        pytest.param("Content-Length", False, id="3.2-Content-Length"),
        pytest.param("content-encoding", False, id="3.2-Content-Encoding"),
        pytest.param("Content-Type", False, id="3.2-Content-Type"),
        pytest.param("Content-Range", False, id="3.2-Content-Range"),
        pytest.param("Content-MD5", False, id="3.2-Content-MD5"),
        pytest.param("Content-Digest", False, id="3.2-Content-Digest"),
    ],
)
def test_what_describes_the_stored_bytes_stays(name: str, *, replaced: bool) -> None:
    after = updated_headers(Headers({name: "stored"}), Headers({name: "update"}))
    assert after.getall(name) == ["update" if replaced else "stored"]


def test_freshening() -> None:
    old = stored(ETAG, ("Cache-Control", "max-age=60"), ("A", "1"), ("B", "1"))
    update = not_modified(
        ETAG,
        ("Cache-Control", "max-age=99"),
        ("Age", "5"),
        ("A", "2"),
        ("Cache-Groups", '"new"'),
        ("Connection-Test", "x"),
    )
    new = freshen(request(), old, update, POLICY, request_time=NOW - 1, response_time=NOW)
    assert new is not None
    assert new.freshness.lifetime == 99
    assert new.freshness.initial_age == 6
    assert new.freshness.response_time == NOW
    assert (new.status, new.reason, new.request_time, new.date) == (200, "Fine", NOW - 1, NOW)
    assert (new.tags, new.groups, new.born) == (("tag",), ("new",), 7)
    assert (new.headers["A"], new.headers["B"]) == ("2", "1")
    assert "Age" not in new.headers
    assert old.headers["A"] == "1"


def test_a_silent_304_makes_fresh_again() -> None:
    """What the 304 does not repeat still holds, counted from its own Date (§3.2)."""
    new = updated(stored(ETAG, ("Cache-Control", "max-age=60")), not_modified())
    assert new is not None
    assert new.freshness.ttl(NOW) == 60


def test_a_part_stays_a_part() -> None:
    old = stored(
        ETAG,
        ("Cache-Control", "max-age=60"),
        ("Content-Range", "bytes 0-9/10"),
        status=206,
        part=PART,
    )
    new = updated(old, not_modified(ETAG))
    assert new is not None
    assert (new.status, new.part) == (206, PART)


@pytest.mark.parametrize(
    ("before", "after", "variant"),
    [
        pytest.param([("Vary", "A")], [], (("a", "1"),), id="4.1-kept"),
        pytest.param([("Vary", "A")], [("Vary", "A, B")], (("a", "1"), ("b", "2")), id="4.1-more"),
        pytest.param([("Vary", "A")], [("Vary", "")], (), id="4.1-less"),
    ],
)
def test_the_variant_follows_vary(
    before: Fields, after: Fields, variant: tuple[tuple[str, str], ...]
) -> None:
    asking = request(("A", " 1"), ("B", "2"))
    old = stored(("Cache-Control", "max-age=60"), *before, request=[("A", "1")])
    new = updated(old, not_modified(*after), asking=asking)
    assert new is not None
    assert new.variant == variant


def test_a_variant_stays_what_it_was_though_another_request_was_answered_with_it() -> None:
    old = stored(ETAG, ("Vary", "A"), ("Cache-Control", "max-age=60"), request=[("A", "1")])
    new = updated(old, not_modified(ETAG), asking=request(("A", "2")))
    assert new is not None
    assert new.variant == (("a", "1"),)


def test_who_asked_gets_all_that_the_304_says() -> None:
    """Also what is for this client alone, and an age that counts from now (§4.3.3, §4.2.3)."""
    old = stored(ETAG, ("Cache-Control", "max-age=60"), ("A", "1"))
    update = not_modified(("Set-Cookie", "a=b"), ("A", "2"), ("Age", "3"))
    asking = request(("Authorization", "x"))
    now = confirmed(asking, old, update, POLICY, request_time=NOW, response_time=NOW)
    assert (now.headers["A"], now.headers["Set-Cookie"]) == ("2", "a=b")
    assert (now.freshness.initial_age, now.freshness.ttl(NOW)) == (3, 57)
    assert (now.date, now.request_time, now.variant) == (NOW, NOW, old.variant)


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(("Cache-Control", "no-store"), id="5.2.2.5-no-store"),
        pytest.param(("Cache-Control", "private"), id="5.2.2.7-private"),
        pytest.param(("Vary", "*"), id="4.1-Vary any"),
    ],
)
def test_a_304_can_end_storage(field: tuple[str, str]) -> None:
    old = stored(ETAG, ("Cache-Control", "max-age=60"))
    assert updated(old, not_modified(field)) is None
    personal = request(("Authorization", "x"), ("Cache-Control", "no-store"))
    assert updated(old, not_modified(field, ("Set-Cookie", "a=b")), asking=personal) is None


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        pytest.param(("Authorization", "x"), ETAG, id="3.5-authorized request"),
        pytest.param(("Cache-Control", "no-store"), ETAG, id="5.2.1.5-request no-store"),
        pytest.param(("X", "1"), ("Set-Cookie", "a=b"), id="7.3-cookie for one client"),
    ],
)
def test_an_update_for_one_client_is_not_for_all(
    asked: tuple[str, str], field: tuple[str, str]
) -> None:
    old = stored(ETAG, ("Cache-Control", "max-age=60"))
    assert updated(old, not_modified(field), asking=request(asked)) is old


def test_a_cookie_is_stored_or_stripped_as_the_route_says() -> None:
    old = stored(ETAG, ("Cache-Control", "max-age=60"))
    update = not_modified(("Set-Cookie", "a=b"))
    kept = updated(old, update, policy=Policy(set_cookie=SetCookie.STORE))
    stripped = updated(old, update, policy=Policy(set_cookie=SetCookie.STRIP))
    assert kept is not None
    assert kept.headers["Set-Cookie"] == "a=b"
    assert stripped is not None
    assert stripped is not old
    assert "Set-Cookie" not in stripped.headers


NAMES = st.sampled_from(
    ["A", "b", "Age", "Date", "ETag", "Vary", "Expires", "Content-Type", "Set-Cookie"]
)
VALUES = st.sampled_from(["0", "5", '"a"', "a", MODIFIED, "", "*"])
CONTROLS = st.sampled_from(
    ["max-age=9", "no-cache", 'no-cache="a"', "s-maxage=9, max-age=1", "private", "no-store"]
).map(lambda value: ("Cache-Control", value))
FIELDS = st.lists(st.one_of(st.tuples(NAMES, VALUES), CONTROLS), max_size=6)


STORED = FIELDS.map(
    lambda fields: stored(
        *(field for field in fields if field[0] != "Age"), ("Cache-Control", "max-age=60")
    )
)


@given(STORED, FIELDS, st.sampled_from(SetCookie))
def test_freshening_is_idempotent(
    response: StoredResponse, fields: Fields, set_cookie: SetCookie
) -> None:
    policy, update = Policy(set_cookie=set_cookie), not_modified(*fields)
    once = updated(response, update, policy=policy)
    if once is not None:
        twice = updated(once, update, policy=policy)
        assert twice is not None
        assert list(twice.headers.items()) == list(once.headers.items())
        assert twice.with_changes(headers=once.headers) == once


@given(STORED, FIELDS, st.sampled_from(["no-store", "private", 'private, no-cache="a"']))
def test_no_update_stores_against_a_directive_that_forbids_it(
    response: StoredResponse, fields: Fields, forbidding: str
) -> None:
    assert updated(response, not_modified(*fields, ("Cache-Control", forbidding))) is None


# HEAD


def head(
    response: StoredResponse, *fields: tuple[str, str], status: int = 200, length: int = 10
) -> HeadUpdate:
    answer = Response(status, "", Headers([("Date", format_http_date(NOW)), *fields]))
    return update_from_head(
        request(method="HEAD"),
        response,
        length,
        answer,
        POLICY,
        request_time=NOW,
        response_time=NOW,
    )


FRESH_ETAG = (ETAG, ("Cache-Control", "max-age=60"))


@pytest.mark.parametrize(
    ("response", "fields"),
    [
        pytest.param(stored(*FRESH_ETAG), [ETAG], id="4.3.5-same tag"),
        pytest.param(
            stored(*FRESH_ETAG, LAST_MODIFIED), [ETAG, LAST_MODIFIED], id="4.3.5-both the same"
        ),
        pytest.param(
            stored(LAST_MODIFIED, ("Cache-Control", "max-age=60")),
            [LAST_MODIFIED],
            id="4.3.5-same date",
        ),
        pytest.param(stored(*FRESH_ETAG), [ETAG, ("Content-Length", "10")], id="4.3.5-same length"),
        pytest.param(
            stored(*FRESH_ETAG, ("Content-Range", "bytes 0-4/10"), status=206, part=PART),
            [ETAG, ("Content-Length", "10")],
            id="4.3.5-complete length of a part",
        ),
    ],
)
def test_a_head_confirms(response: StoredResponse, fields: Fields) -> None:
    length = 10 if response.part is None else 5
    update = head(response, *fields, ("Test", "new"), length=length)
    assert isinstance(update, Freshened)
    assert update.stored.headers["Test"] == "new"
    assert update.stored.freshness.response_time == NOW


@pytest.mark.parametrize(
    ("response", "fields"),
    [
        pytest.param(stored(ETAG), [OTHER], id="4.3.5-other tag"),
        pytest.param(stored(ETAG), [WEAK], id="4.3.5-a weak tag is another value"),
        pytest.param(stored(), [ETAG], id="4.3.5-a tag that is not stored"),
        pytest.param(
            stored(ETAG, LAST_MODIFIED),
            [ETAG, ("Last-Modified", format_http_date(NOW))],
            id="4.3.5-same tag, other date",
        ),
        pytest.param(stored(ETAG), [ETAG, ("Content-Length", "11")], id="4.3.5-other length"),
        pytest.param(stored(), [("Content-Length", "11")], id="4.3.5-only another length"),
        pytest.param(stored(ETAG, status=404), [ETAG], id="4.3.5-it was not found, now it is"),
        pytest.param(
            stored(ETAG), [ETAG, ("Cache-Control", "no-store")], id="5.2.2.5-no-store from now on"
        ),
    ],
)
def test_a_head_contradicts(response: StoredResponse, fields: Fields) -> None:
    assert head(response, *fields) == Invalidated()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param([ETAG], 410, id="4.3.5-only a 200 tells"),
        pytest.param([ETAG], 304, id="4.3.5-not a 304"),
        pytest.param([], 200, id="4.3.5-no validator"),
        pytest.param([("Content-Length", "10")], 200, id="4.3.5-a length confirms nothing"),
        pytest.param([ETAG, ("Set-Cookie", "a=b")], 200, id="7.3-an update for one client"),
    ],
)
def test_a_head_tells_nothing(fields: Fields, status: int) -> None:
    assert head(stored(*FRESH_ETAG), *fields, status=status) == Untouched()

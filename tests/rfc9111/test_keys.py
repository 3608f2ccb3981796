import time
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rfc9111.keys import (
    normalise_authority,
    primary_key,
    select_variant,
    uri_key,
    variant_key,
    vary_names,
)
from proxy.rfc9111.messages import Headers, Request
from proxy.rfc9111.policy import KeyPolicy
from proxy.rfc9111.stored import Freshness, LifetimeSource, StoredResponse, packed

LINE = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=40)
BARE = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0\t ;"), max_size=40)
FRESHNESS = Freshness(lifetime=60, source=LifetimeSource.MAX_AGE, initial_age=0, response_time=0)


def request(target: str = "/", *fields: tuple[str, str], method: str = "GET") -> Request:
    return Request(method, "http", "example.com", target, Headers(fields))


def stored(*fields: tuple[str, str], vary: str | None = None, date: float = 0) -> StoredResponse:
    headers = Headers() if vary is None else Headers({"Vary": vary})
    return StoredResponse(
        status=200,
        reason="OK",
        **packed(headers),
        request_time=date,
        freshness=replace(FRESHNESS, response_time=date),
        variant=variant_key(vary_names(headers) or (), Headers(fields)),
        date=date,
    )


def agree(name: str, one: list[str] | None, other: list[str] | None) -> bool:
    """Whether a response selected by `one` answers a request with `other`."""
    first, second = (Headers([(name, line) for line in lines or ()]) for lines in (one, other))
    there = select_variant([stored(*first.items(), vary=name)], second) is not None
    back = select_variant([stored(*second.items(), vary=name)], first) is not None
    assert there == back
    return there


# Primary key


@pytest.mark.parametrize(
    ("target", "policy", "expected"),
    [
        pytest.param("/a?b=1", KeyPolicy(), "/a?b=1", id="2-target URI as it came"),
        pytest.param("/%41//../;x?&=&", KeyPolicy(), "/%41//../;x?&=&", id="2-nothing is decoded"),
        pytest.param("/a?", KeyPolicy(), "/a?", id="2-empty query is not no query"),
        pytest.param("*", KeyPolicy(), "*", id="2-asterisk form"),
        pytest.param(
            "/a?utm_source=x&id=1&utm_=y",
            KeyPolicy(ignore_query=("utm_*",)),
            "/a?id=1",
            id="2-ignored by prefix",
        ),
        pytest.param(
            "/a?gclid=1", KeyPolicy(ignore_query=("gclid",)), "/a", id="2-all ignored: no query"
        ),
        pytest.param(
            "/a?gclid2=1&gcli=2",
            KeyPolicy(ignore_query=("gclid",)),
            "/a?gclid2=1&gcli=2",
            id="2-whole names only",
        ),
        pytest.param(
            "/a?x.y=1&xzy=2", KeyPolicy(ignore_query=("x.y",)), "/a?xzy=2", id="2-only * is special"
        ),
        pytest.param(
            "/a?a-b-c=1&ac=2", KeyPolicy(ignore_query=("a*c",)), "/a", id="2-* matches any run"
        ),
        pytest.param(
            "/a?%75tm=1", KeyPolicy(ignore_query=("utm",)), "/a?%75tm=1", id="2-names stay encoded"
        ),
        pytest.param(
            "/a?flag&b", KeyPolicy(ignore_query=("flag",)), "/a?b", id="2-parameter without value"
        ),
        pytest.param(
            "/a?b=2&a=1&b=1", KeyPolicy(sort_query=True), "/a?a=1&b=2&b=1", id="2-sorted, stable"
        ),
        pytest.param("/a", KeyPolicy(sort_query=True), "/a", id="2-no query to sort"),
        pytest.param("/a?c?d=1", KeyPolicy(sort_query=True), "/a?c?d=1", id="2-second ? is data"),
    ],
)
def test_target_in_primary_key(target: str, policy: KeyPolicy, expected: str) -> None:
    assert primary_key(request(target), policy) == f"http://example.com{expected}"


def test_headers_and_cookies_follow_on_lines_of_their_own() -> None:
    policy = KeyPolicy(headers=("Accept-Language", "X-None", "Cookie"), cookies=("cur", "none"))
    fields = [("accept-language", "EN, de"), ("Cookie", "a=1; cur=EUR;x"), ("Cookie", "cur=CHF")]
    assert primary_key(request("/p", *fields), policy).split("\n") == [
        "http://example.com/p",
        "header accept-language: de;q=1,en;q=1",
        "header cookie: a=1; cur=EUR;x",
        "header cookie: cur=CHF",
        "cookie cur=EUR",
        "cookie cur=CHF",
    ]


def test_methods_share_a_key() -> None:
    keys = {primary_key(request("/", method=method), KeyPolicy()) for method in ("GET", "HEAD")}
    assert len(keys) == 1


def test_uri_key_is_the_first_line_of_every_key_for_the_uri() -> None:
    policy = KeyPolicy(ignore_query=("u",), headers=("X",))
    key = primary_key(request("/a?u=1", ("X", "1")), policy)
    assert key.partition("\n")[0] == uri_key("http://example.com/a?u=9", policy)


@given(st.tuples(BARE, BARE), st.tuples(BARE, BARE))
def test_values_cannot_pass_for_one_another(one: tuple[str, str], other: tuple[str, str]) -> None:
    policy = KeyPolicy(headers=("User-Agent", "X-Other"), cookies=("c",))

    def key(agent: str, cookie: str) -> str:
        return primary_key(request("/", ("User-Agent", agent), ("Cookie", f"c={cookie}")), policy)

    assert (key(*one) == key(*other)) == (one == other)


@pytest.mark.parametrize(
    ("host", "scheme", "expected"),
    [
        pytest.param("Example.COM", "http", "example.com", id="RFC 9110 4.2.3-case"),
        pytest.param("a:80", "http", "a", id="RFC 9110 4.2.3-default http port"),
        pytest.param("a:443", "https", "a", id="RFC 9110 4.2.3-default https port"),
        pytest.param("a:443", "http", "a:443", id="RFC 9110 4.2.3-port of the other scheme"),
        pytest.param("a:", "http", "a", id="RFC 9110 4.2.3-empty port"),
        pytest.param("a:8080", "http", "a:8080", id="RFC 9110 4.2.3-other port"),
        pytest.param("[::1]:80", "http", "[::1]", id="RFC 9110 4.2.3-IPv6 with port"),
        pytest.param("[::80]", "http", "[::80]", id="RFC 9110 4.2.3-IPv6 without port"),
        pytest.param("::80", "http", "::80", id="RFC 9110 4.2.3-bare IPv6 is left alone"),
        pytest.param("a.:80", "http", "a.", id="RFC 9110 4.2.3-final dot stays"),
        pytest.param("\xc4", "http", "\xc4", id="RFC 9110 4.2.3-only ASCII has case"),
        pytest.param("", "http", "", id="RFC 9110 7.2-empty Host"),
    ],
)
def test_normalise_authority(host: str, scheme: str, expected: str) -> None:
    assert normalise_authority(host, scheme) == expected


# Vary


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], (), id="4.1-no Vary"),
        pytest.param([""], (), id="4.1-empty"),
        pytest.param([", ,"], (), id="4.1-empty members"),
        pytest.param(["B, a ,b"], ("a", "b"), id="4.1-lower case, sorted, unique"),
        pytest.param(["b", "a"], ("a", "b"), id="4.1-several lines"),
        pytest.param(["*"], None, id="4.1-asterisk"),
        pytest.param(["*, *"], None, id="4.1-asterisk twice"),
        pytest.param(["*", "*"], None, id="4.1-asterisk on two lines"),
        pytest.param([", *"], None, id="4.1-asterisk after nothing"),
        pytest.param(["", "*"], None, id="4.1-asterisk after an empty line"),
        pytest.param(["*, Foo"], None, id="4.1-asterisk first"),
        pytest.param(["Foo, *"], None, id="4.1-asterisk last"),
        pytest.param(["Foo Bar"], None, id="4.1-no field name: matches nothing"),
        pytest.param(["*;q=1"], None, id="4.1-asterisk and more"),
        pytest.param(["A, X-Forwarded-For"], None, id="4.1-the way to here: the origin saw more"),
        pytest.param(["forwarded"], None, id="4.1-the way to here: Forwarded"),
        pytest.param(["Via"], None, id="4.1-the way to here: Via"),
        pytest.param(
            ["X-Forwarded-Proto"], ("x-forwarded-proto",), id="4.1-what the URL says as well"
        ),
    ],
)
def test_vary_names(lines: list[str], expected: tuple[str, ...] | None) -> None:
    assert vary_names(Headers([("Vary", line) for line in lines])) == expected


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        pytest.param("Foo", None, None, id="4.1-absent both times"),
        pytest.param("Foo", ["1, 2"], ["1", "2"], id="4.1-lines combined"),
        pytest.param("Foo", ["1, 2"], [" 1\t,2 "], id="4.1-white space"),
        pytest.param("Foo", ['"a, b" , c'], ['"a, b",c'], id="4.1-white space beside quotes"),
        pytest.param("User-Agent", ["a, b"], [" a, b "], id="4.1-white space around one value"),
        pytest.param("Accept-Language", ["en, de"], ["de, en"], id="4.1-language order"),
        pytest.param("Accept-Language", ["en, de"], ["eN, De"], id="4.1-language case"),
        pytest.param("Accept-Language", ["en, de"], ["en ,   de"], id="4.1-language space"),
        pytest.param("Accept-Language", ["en, de"], ["en", "de"], id="4.1-language lines"),
        pytest.param(
            "Accept-Language", ["en;q=1, de ; Q=0.50"], ["de;q=0.5,en"], id="4.1-spelling of weight"
        ),
        pytest.param("Accept-Language", ["en;q=0"], ["en;q=0.000"], id="4.1-weight zero"),
        pytest.param("Accept-Language", ["en;q=0"], ["en;q=0."], id="4.1-weight zero with a dot"),
        pytest.param("Accept-Language", ["en"], ["en;q=1.000"], id="4.1-weight one"),
        pytest.param("Accept-Language", ["en, en"], ["en"], id="4.1-same member again"),
        pytest.param("Accept-Language", ["en,,de,"], ["en, de"], id="4.1-empty members"),
        pytest.param("Accept-Encoding", ["gzip, br"], ["BR, gzip"], id="4.1-coding"),
        pytest.param("Accept-Encoding", [""], [" "], id="4.1-no coding at all"),
        pytest.param(
            "Accept", ["text/html, */*;q=0.1"], ["*/*; q=0.1,Text/HTML"], id="4.1-media ranges"
        ),
        pytest.param(
            "Accept", ['a/b; p="x, y;q=1"; q=1'], ['a/b;p="x, y;q=1"'], id="4.1-media parameters"
        ),
        pytest.param("Accept", ["oops, a/b"], ["oops ,a/b"], id="4.1-a list at least"),
    ],
)
def test_values_that_mean_the_same(
    name: str, one: list[str] | None, other: list[str] | None
) -> None:
    assert agree(name, one, other)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        pytest.param("Foo", None, [""], id="4.1-absent is not empty"),
        pytest.param("Foo", ["1"], None, id="4.1-omitted"),
        pytest.param("Foo", ["1"], ["2"], id="4.1-different"),
        pytest.param("Foo", ["a, b"], ["b, a"], id="4.1-order of an unknown field"),
        pytest.param("Foo", ["a"], ["A"], id="4.1-case of an unknown field"),
        pytest.param("Foo", ["a, a"], ["a"], id="4.1-repeats in an unknown field"),
        pytest.param("Foo", ["a b"], ["a  b"], id="4.1-space inside a member"),
        pytest.param("Foo", ['"a, b"'], ['"a,b"'], id="4.1-space in a quoted string"),
        pytest.param("Foo", ['"a\\", b"'], ['"a\\",b"'], id="4.1-escaped quote"),
        pytest.param("Foo", ['"a, b'], ['"a,b'], id="4.1-quoted string without end"),
        pytest.param("Cookie", ["a=1", "b=2"], ["a=1, b=2"], id="4.1-lines of a single value"),
        pytest.param("User-Agent", ["x (a, b)"], ["x (a,b)"], id="4.1-comma in a single value"),
        pytest.param("Accept-Language", ["en, de;q=0.5"], ["de, en;q=0.5"], id="4.1-preference"),
        pytest.param("Accept-Language", ["en, de"], ["en, de;q=0.999"], id="4.1-weights differ"),
        pytest.param("Accept-Language", ["en, de"], ["en"], id="4.1-fewer languages"),
        pytest.param(
            "Accept-Language",
            ["en, de"],
            ["fr;q=0.5, de;q=1.0"],
            id="4.1-same best language is not the same request",
        ),
        pytest.param("Accept-Language", ["en_US, de"], ["de, en_US"], id="4.1-no language range"),
        pytest.param(
            "Accept-Language", ["en, en;q=0.5"], ["en;q=0.5, en"], id="4.1-contradicting weights"
        ),
        pytest.param("Accept-Encoding", ["gzip"], ["identity"], id="4.1-codings"),
        pytest.param("Accept-Encoding", ["gzip;q=0"], ["gzip"], id="4.1-coding refused"),
        pytest.param("Accept-Encoding", ["gzip;q=2"], ["gzip"], id="4.1-invalid weight"),
        pytest.param("Accept-Encoding", ["gzip;q=0.1234"], ["gzip;q=0.123"], id="4.1-long weight"),
        pytest.param("Accept-Encoding", ["gzip;x=1"], ["gzip"], id="4.1-unknown parameter"),
        pytest.param("Accept", ["a/b;p=X"], ["a/b;p=x"], id="4.1-case of a parameter value"),
        pytest.param("Accept", ["a/b;q=1;e=1"], ["a/b;e=1"], id="4.1-weight in the middle"),
        pytest.param("Accept", ['a/b;p="x'], ["a/b"], id="4.1-media range without end"),
    ],
)
def test_values_that_may_mean_something_else(
    name: str, one: list[str] | None, other: list[str] | None
) -> None:
    assert not agree(name, one, other)


WEIGHTS = st.integers(0, 1000)
PREFERENCES = st.dictionaries(
    st.sampled_from(["en", "de", "fr", "*", "en-US"]), WEIGHTS, max_size=4
)


@given(PREFERENCES, PREFERENCES, st.randoms(use_true_random=False))
def test_only_equal_preferences_agree(
    one: dict[str, int], other: dict[str, int], random: Random
) -> None:
    def spelled(preferences: dict[str, int]) -> list[str]:
        members = [f"{name};q={weight / 1000:.3f}" for name, weight in preferences.items()]
        random.shuffle(members)
        return [random.choice([",", " , "]).join(members)]

    assert agree("Accept-Language", spelled(one), spelled(other)) == (one == other)


@given(
    st.sampled_from(["Accept", "Accept-Encoding", "Accept-Language", "Cookie", "Foo"]),
    st.lists(LINE, max_size=3),
)
def test_every_request_matches_itself(name: str, lines: list[str]) -> None:
    assert agree(name, lines, lines)


@pytest.mark.parametrize(
    "value", ['"' * 9_999, '"\\' * 9_999, "a" + " " * 29_999 + "b", ";" * 29_999, "a/b;" * 7_500]
)
def test_hostile_values_cost_little(value: str) -> None:
    start = time.process_time()
    for name in ("accept", "foo"):
        variant_key((name,), Headers({name: value}))
    assert time.process_time() - start < 1


# Selection


def test_select_variant_prefers_the_most_recent_match() -> None:
    old, new = stored(("A", "1"), vary="A", date=1), stored(("A", "1"), vary="A", date=2)
    other = stored(("A", "2"), vary="A", date=3)
    assert select_variant([new, old, other], Headers({"a": "1"})) is new
    assert select_variant([old, new, other], Headers({"a": "1"})) is new
    assert select_variant([old, other], Headers({"a": "3"})) is None


def test_select_variant_prefers_what_names_its_selecting_fields() -> None:
    """A resource that forgot Vary once must not hide the variants it has (§4.1)."""
    careful, careless = stored(("A", "1"), vary="A", date=1), stored(date=2)
    assert select_variant([careful, careless], Headers({"A": "1"})) is careful
    assert select_variant([careful, careless], Headers({"A": "2"})) is careless


def test_variants_live_side_by_side() -> None:
    one, two = stored(("A", "1"), vary="A"), stored(("A", "2"), vary="A")
    assert select_variant([one, two], Headers({"A": "1"})) is one
    assert select_variant([one, two], Headers({"A": "2"})) is two


@pytest.mark.parametrize(
    ("accepted", "languages", "taken"),
    [
        pytest.param("fr;q=0.5, de;q=1.0", ["de"], True, id="9110-12.5.4-liked best"),
        pytest.param("DE", [" de "], True, id="9110-12.5.4-the only one, in another case"),
        pytest.param("fr, de", ["de"], False, id="9110-12.5.4-liked as much as another"),
        pytest.param("de;q=0.4, fr", ["de"], False, id="9110-12.5.4-another is liked better"),
        pytest.param("de;q=0", ["de"], False, id="9110-12.5.4-not acceptable"),
        pytest.param("*", ["*"], False, id="9110-12.5.4-any"),
        pytest.param("de-AT, fr;q=0.1", ["de"], False, id="9110-12.5.4-a wider range"),
        pytest.param("de, fr;q=0.1", ["de, fr"], False, id="9110-8.5-in two languages"),
        pytest.param("de, fr;q=0.1", ["de", "de"], False, id="9110-8.5-two lines"),
        pytest.param("de, fr;q=0.1", [], False, id="9110-8.5-unlabelled"),
        pytest.param("de;;", ["de"], False, id="9110-12.5.4-malformed"),
        pytest.param(None, ["de"], False, id="4.1-absent in the request"),
    ],
)
def test_select_variant_in_the_language_liked_best(
    accepted: str | None,
    languages: list[str],
    taken: bool,  # noqa: FBT001
) -> None:
    kept = stored(("Accept-Language", "en, de"), vary="Accept-Language")
    labelled = kept.with_changes(
        headers=Headers([("Content-Language", language) for language in languages])
    )
    request = Headers() if accepted is None else Headers({"Accept-Language": accepted})
    assert select_variant([labelled], request) is (labelled if taken else None)


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        pytest.param(None, True, id="9110-12.5.4-who asked for none"),
        pytest.param("*", True, id="9110-12.5.4-who took any"),
        pytest.param("de, <evil>", False, id="9110-12.5.4-who said what is no language"),
        pytest.param('de, "', False, id="9110-12.5.4-who said what is no list"),
    ],
)
def test_select_variant_in_a_language_that_another_was_given(
    accepted: str | None,
    taken: bool,  # noqa: FBT001
) -> None:
    """What does not parse may have made the origin say anything."""
    lines = [] if accepted is None else [("Accept-Language", accepted)]
    kept = stored(*lines, vary="Accept-Language")
    german = kept.with_changes(headers=Headers({"Content-Language": "de"}))
    request = Headers({"Accept-Language": "de"})
    assert select_variant([german], request) is (german if taken else None)


def test_select_variant_by_language_only_where_all_else_matches() -> None:
    fields = (("Accept-Language", "en, de"), ("A", "1"))
    both = stored(*fields, vary="Accept-Language, A")
    german = both.with_changes(headers=Headers({"Content-Language": "de"}))
    other = stored(("A", "2"), vary="A").with_changes(headers=german.headers)
    liked = ("Accept-Language", "de, fr;q=0.5")
    assert select_variant([german, other], Headers([liked, ("A", "1")])) is german
    assert select_variant([german, other], Headers([liked, ("A", "3")])) is None


def test_4_1_nothing_matches_where_nothing_is_stored() -> None:
    assert select_variant([], Headers([("Accept-Language", "de")])) is None

"""Cache-Control and its relatives: RFC 9111 §5.2, RFC 9213, RFC 5861, Surrogate-Control."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.rfc9111.directives import (
    MAX_DELTA_SECONDS,
    CacheControl,
    RequestDirectives,
    SurrogateControl,
    parse_delta_seconds,
    request_directives,
    response_directives,
    surrogate_control,
    targeted_directives,
)

FIELDS = st.lists(
    st.sampled_from(
        [
            *(
                "no-store",
                "private",
                "no-cache",
                "public",
                "max-age",
                "s-maxage",
                "must-understand",
            ),
            *(
                "=",
                ",",
                '"',
                "\\",
                " ",
                "\t",
                ";",
                "+",
                "60",
                "-1",
                "'",
                "(",
                ")",
                "?0",
                "é",
                "\x00",
            ),
        ]
    )
    | st.text(max_size=3)
).map("".join)


def cache_control(*lines: str) -> CacheControl:
    return response_directives(CIMultiDict([("Cache-Control", line) for line in lines]))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("0", 0, id="1.2.2-zero"),
        pytest.param("3600", 3600, id="1.2.2-plain"),
        pytest.param("003600", 3600, id="1.2.2-leading zeros"),
        pytest.param("0" * 5000 + "7", 7, id="1.2.2-thousands of leading zeros"),
        pytest.param("2147483647", 2**31 - 1, id="1.2.2-31 bits"),
        pytest.param("2147483648", MAX_DELTA_SECONDS, id="1.2.2-the limit"),
        pytest.param("2147483649", MAX_DELTA_SECONDS, id="1.2.2-over the limit"),
        pytest.param("99999999999", MAX_DELTA_SECONDS, id="1.2.2-more digits"),
        pytest.param("9" * 5000, MAX_DELTA_SECONDS, id="1.2.2-thousands of digits"),
        *(
            pytest.param(value, None, id=f"1.2.2-not {value!r}")
            for value in ("", "-1", "+5", "1_0", "3600.0", "a3600", "3600a", " 1", "1\n", "٣", "²")
        ),
    ],
)
def test_delta_seconds(value: str, expected: int | None) -> None:
    assert parse_delta_seconds(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("", CacheControl(), id="5.2-empty"),
        pytest.param(",, ,", CacheControl(), id="5.2-empty members"),
        pytest.param("nothing-to-see-here, max-age=1", CacheControl(max_age=1), id="5.2.3-unknown"),
        pytest.param("MaX-aGe=3600", CacheControl(max_age=3600), id="5.2-case"),
        pytest.param("No-StOrE", CacheControl(no_store=True), id="5.2.2.5-no-store"),
        pytest.param("No-CaChE", CacheControl(no_cache=True), id="5.2.2.4-no-cache"),
        pytest.param("private", CacheControl(private=True), id="5.2.2.7-private"),
        pytest.param("public", CacheControl(public=True), id="5.2.2.9-public"),
        pytest.param("must-revalidate", CacheControl(must_revalidate=True), id="5.2.2.2"),
        pytest.param("proxy-revalidate", CacheControl(proxy_revalidate=True), id="5.2.2.8"),
        pytest.param("must-understand", CacheControl(must_understand=True), id="5.2.2.3"),
        pytest.param("no-transform", CacheControl(no_transform=True), id="5.2.2.6"),
        pytest.param("immutable", CacheControl(immutable=True), id="RFC8246-immutable"),
        pytest.param("s-maxage=9", CacheControl(s_maxage=9), id="5.2.2.10-s-maxage"),
        pytest.param(
            "max-age=1, stale-while-revalidate=2,stale-if-error=3",
            CacheControl(max_age=1, stale_while_revalidate=2, stale_if_error=3),
            id="RFC5861-both windows",
        ),
    ],
)
def test_a_directive_is_read(value: str, expected: CacheControl) -> None:
    assert cache_control(value) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], None, id="5.2.2.1-absent"),
        pytest.param(['max-age="3600"'], 3600, id="5.2-quoted form is accepted"),
        pytest.param([r'max-age="36\00"'], 3600, id="5.2-quoted-pair"),
        pytest.param(["max-age=-3600"], 0, id="4.2.1-negative is stale"),
        pytest.param(["max-age='3600'"], 0, id="4.2.1-single quotes are stale"),
        pytest.param(["max-age=3600.5"], 0, id="4.2.1-decimals are stale"),
        pytest.param(["max-age=a3600"], 0, id="4.2.1-letters are stale"),
        pytest.param(["max-age"], 0, id="4.2.1-no argument is stale"),
        pytest.param(["max-age="], 0, id="4.2.1-empty argument is stale"),
        pytest.param(["max-age =3600"], 0, id="4.2.1-space before = is stale"),
        pytest.param(["max-age= 3600"], 0, id="4.2.1-space after = is stale"),
        pytest.param(["max-age=60 private"], 0, id="4.2.1-missing comma is stale"),
        pytest.param(["max-age=60, max-age=60"], 60, id="4.2.1-agreeing repeats"),
        pytest.param(["max-age=60", "max-age=060"], 60, id="4.2.1-agreeing lines"),
        pytest.param(["max-age=1800, max-age=1"], 0, id="4.2.1-conflict is stale"),
        pytest.param(["max-age=1", "max-age=1800"], 0, id="4.2.1-conflicting lines are stale"),
        pytest.param(["max-age=60, max-age=x"], 0, id="4.2.1-valid and invalid"),
        pytest.param(
            ['extension="max-age=3600", max-age=1'], 1, id="5.2-quoted text is no directive"
        ),
        pytest.param(['max-age=1, extension="max-age=3600"'], 1, id="5.2-nor behind it"),
        pytest.param([r'extension="\", max-age=3600", max-age=1'], 1, id="5.2-nor after \\"),
        pytest.param(['extension="max-age=3600'], 0, id="5.2-an endless quote quotes nothing"),
    ],
)
def test_max_age(lines: list[str], expected: int | None) -> None:
    assert cache_control(*lines).max_age == expected


@pytest.mark.parametrize(
    "value",
    [
        "no-store=1",
        'no-store="x"',
        "private; no-store",
        "no-store max-age=60",
        "no-store =1",
        'extension="unfinished, no-store',
        'extension="a"b no-store',
    ],
)
def test_5_2_a_malformed_restriction_still_restricts(value: str) -> None:
    assert cache_control(value).no_store


@pytest.mark.parametrize("value", ["public=1", "public; max-age=60", 'public="x"', 'public=""'])
def test_5_2_a_malformed_permission_permits_nothing(value: str) -> None:
    assert not cache_control(value).public


@pytest.mark.parametrize(
    ("value", "unqualified", "fields"),
    [
        pytest.param('private="A, b"', False, {"a", "b"}, id="5.2.2.7-list"),
        pytest.param("private=A", False, {"a"}, id="5.2-token form"),
        pytest.param('private="a,, b ,"', False, {"a", "b"}, id="5.6.1-empty elements"),
        pytest.param('private="a", private="b"', False, {"a", "b"}, id="5.2.2.7-two lists"),
        pytest.param('private="a", private', True, {"a"}, id="5.2.2.7-both forms"),
        pytest.param('private=""', True, set(), id="5.2.2.7-empty list"),
        pytest.param('private="a b"', True, set(), id="5.2.2.7-no field name"),
        pytest.param('private="a" b', True, set(), id="5.2.2.7-malformed"),
        pytest.param('private="x, Vary"', True, set(), id="5.2.2.7-Vary cannot be left out"),
        pytest.param("max-age=1", False, set(), id="5.2.2.7-absent"),
    ],
)
@pytest.mark.parametrize("name", ["private", "no-cache"])
def test_field_lists(name: str, value: str, unqualified: bool, fields: set[str]) -> None:  # noqa: FBT001
    directives = cache_control(value.replace("private", name))
    if name == "private":
        found = directives.private, set(directives.private_fields)
    else:
        found = directives.no_cache, set(directives.no_cache_fields)
    assert found == (unqualified, fields)


def test_no_cache_control_says_nothing() -> None:
    assert response_directives(CIMultiDict({"Pragma": "no-cache"})) == CacheControl()


TARGETS = ("warmfront-cache-control", "cdn-cache-control")


def targeted(*lines: tuple[str, str]) -> CacheControl | None:
    return targeted_directives(CIMultiDict(lines), TARGETS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("max-age=60", CacheControl(max_age=60), id="RFC9213-2.1-Integer"),
        pytest.param("no-store", CacheControl(no_store=True), id="RFC9213-2.1-Boolean"),
        pytest.param("no-store=?0", CacheControl(), id="RFC9213-2.1-false"),
        pytest.param(
            'no-cache="A, b"',
            CacheControl(no_cache_fields=frozenset({"a", "b"})),
            id="RFC9213-2.1-String",
        ),
        pytest.param("none", CacheControl(), id="RFC9213-3.1-unknown only"),
        pytest.param("max-age=60;x=1", CacheControl(max_age=60), id="RFC9213-2.1-parameters"),
        pytest.param("max-age=1, max-age=2", CacheControl(max_age=2), id="RFC9651-last one counts"),
        pytest.param(
            "max-age=99999999999",
            CacheControl(max_age=MAX_DELTA_SECONDS),
            id="1.2.2-over the limit",
        ),
        pytest.param("max-age=-1", CacheControl(max_age=0), id="4.2.1-negative is stale"),
        pytest.param('max-age="60"', None, id="RFC9213-2.1-String for Integer"),
        pytest.param("public, s-maxage=6.5", None, id="RFC9213-2.1-Decimal for Integer"),
        pytest.param("max-age", None, id="RFC9213-2.1-Boolean for Integer"),
        pytest.param(
            'no-store, max-age="60"',
            CacheControl(no_store=True, max_age=0),
            id="RFC9213-2.1-String for Integer beside a restriction",
        ),
        pytest.param(
            "no-store=1", CacheControl(no_store=True), id="RFC9213-2.1-Integer for Boolean"
        ),
        pytest.param("public=1", CacheControl(), id="RFC9213-2.1-Integer for a permission"),
        pytest.param("private=1", CacheControl(private=True), id="RFC9213-2.1-Integer for String"),
        pytest.param('private=("a")', CacheControl(private=True), id="RFC9213-2.1-Inner List"),
        pytest.param("", None, id="RFC9213-2.1-empty"),
        pytest.param("  ", None, id="RFC9213-2.1-blank"),
        pytest.param("max-age=10000, &&&&&", None, id="RFC9213-2.1-not a Dictionary"),
        pytest.param("MaX-aGe=3600", None, id="RFC9213-2.1-upper case"),
        pytest.param("max-age =100", None, id="RFC9213-2.1-space before ="),
        pytest.param("max-age= 100", None, id="RFC9213-2.1-space after ="),
        pytest.param("max-age=60,", None, id="RFC9651-trailing comma"),
        pytest.param("max-age=\u0663", None, id="RFC9651-not even latin-1"),
    ],
)
def test_a_targeted_field_is_a_dictionary(value: str, expected: CacheControl | None) -> None:
    assert targeted(("CDN-Cache-Control", value)) == expected


def test_rfc9213_2_2_the_first_valid_field_of_the_list_wins() -> None:
    own = ("Warmfront-Cache-Control", "max-age=1")
    cdn = ("CDN-Cache-Control", "max-age=2")
    broken = ("Warmfront-Cache-Control", "max-age=1, &")
    assert targeted(cdn, own) == CacheControl(max_age=1)
    assert targeted(cdn, broken) == CacheControl(max_age=2)
    assert targeted(("Cache-Control", "max-age=3")) is None


def test_rfc9213_2_1_lines_are_joined() -> None:
    lines = [("CDN-Cache-Control", "max-age=1"), ("CDN-Cache-Control", "public")]
    assert targeted(*lines) == CacheControl(max_age=1, public=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param('content="ESI/1.0"', SurrogateControl(), id="surrogate-content alone"),
        pytest.param("max-age=60", SurrogateControl(max_age=60), id="surrogate-max-age"),
        pytest.param(
            'no-store, content="ESI/1.0", max-age=60+30',
            SurrogateControl(
                no_store=True, max_age=60, stale_while_revalidate=30, stale_if_error=30
            ),
            id="surrogate-all of it",
        ),
        pytest.param(
            "max-age=60+30, stale-while-revalidate=5, stale-if-error=6",
            SurrogateControl(max_age=60, stale_while_revalidate=5, stale_if_error=6),
            id="surrogate-windows by name",
        ),
        pytest.param(
            "stale-while-revalidate=5",
            SurrogateControl(stale_while_revalidate=5),
            id="surrogate-window alone",
        ),
        pytest.param(
            "max-age=60+x",
            SurrogateControl(max_age=60, stale_while_revalidate=0, stale_if_error=0),
            id="surrogate-invalid bound",
        ),
        pytest.param("max-age", SurrogateControl(max_age=0), id="surrogate-no argument"),
        pytest.param("max-age=1, max-age=2", SurrogateControl(max_age=0), id="surrogate-conflict"),
        pytest.param("max-age = 60", SurrogateControl(max_age=0), id="surrogate-malformed"),
        pytest.param("private", SurrogateControl(no_store=True), id="surrogate-private"),
        pytest.param("no-cache", SurrogateControl(no_store=True), id="surrogate-no-cache"),
        pytest.param(
            "no-store; max-age=0", SurrogateControl(no_store=True, max_age=0), id="s-sloppy"
        ),
        pytest.param(
            "max-age=60;edge-1, no-store;edge-1, max-age=5",
            SurrogateControl(max_age=5),
            id="surrogate-addressed to another",
        ),
    ],
)
def test_surrogate_control(value: str, expected: SurrogateControl) -> None:
    assert surrogate_control(CIMultiDict({"Surrogate-Control": value})) == expected


def test_no_surrogate_control() -> None:
    assert surrogate_control(CIMultiDict({"Cache-Control": "max-age=1"})) is None


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], RequestDirectives(), id="5.2.1-none"),
        pytest.param(
            [("Cache-Control", "no-cache, no-store, only-if-cached")],
            RequestDirectives(no_cache=True, no_store=True, only_if_cached=True),
            id="5.2.1-flags",
        ),
        pytest.param(
            [("Cache-Control", "max-age=1, min-fresh=2"), ("Cache-Control", "max-stale=3")],
            RequestDirectives(max_age=1, min_fresh=2, max_stale=3),
            id="5.2.1-figures",
        ),
        pytest.param(
            [("Cache-Control", "max-stale")],
            RequestDirectives(max_stale_any=True),
            id="5.2.1.2-max-stale without a figure",
        ),
        pytest.param(
            [
                (
                    "Cache-Control",
                    "max-age=9, max-age=3, min-fresh=2, min-fresh=5, max-stale, max-stale=1",
                )
            ],
            RequestDirectives(max_age=3, min_fresh=5, max_stale=1),
            id="5.2.1-the most demanding of several",
        ),
        pytest.param(
            [("Cache-Control", "max-age=x, min-fresh, max-stale=-1")],
            RequestDirectives(),
            id="5.2.1-unreadable figures are not there",
        ),
        pytest.param(
            [("Pragma", "x, No-Cache")], RequestDirectives(no_cache=True), id="5.4-Pragma"
        ),
        pytest.param([("Pragma", "foo=no-cache")], RequestDirectives(), id="5.4-other Pragma"),
        pytest.param(
            [("Pragma", "no-cache"), ("Cache-Control", "x")],
            RequestDirectives(),
            id="5.4-Cache-Control over Pragma",
        ),
    ],
)
def test_request_directives(lines: list[tuple[str, str]], expected: RequestDirectives) -> None:
    assert request_directives(CIMultiDict(lines)) == expected


def test_a_long_value_is_read_like_a_short_one() -> None:
    assert cache_control("x, " * 1000 + "max-age=5").max_age == 5


@given(FIELDS)
def test_parsing_never_raises(value: str) -> None:
    headers = CIMultiDict(
        [
            (name, value)
            for name in ("Cache-Control", "CDN-Cache-Control", "Surrogate-Control", "Pragma")
        ]
    )
    response_directives(headers)
    targeted_directives(headers, TARGETS)
    surrogate_control(headers)
    request_directives(headers)


@given(st.text())
def test_delta_seconds_stay_within_bounds(value: str) -> None:
    seconds = parse_delta_seconds(value)
    assert seconds is None or 0 <= seconds <= MAX_DELTA_SECONDS


@given(FIELDS.filter(lambda value: value.count('"') % 2 == 0), FIELDS)
def test_a_restriction_is_never_talked_away(before: str, after: str) -> None:
    quoted_through = before.count("\\") > 0
    assert quoted_through or cache_control(f"{before}, no-store, {after}").no_store

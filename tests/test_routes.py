import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.rfc9111.messages import Headers, Request
from proxy.routes import (
    HeaderEdits,
    HostPattern,
    Matched,
    PathPattern,
    Route,
    RouteTable,
)


def request(
    target: str = "/",
    *,
    method: str = "GET",
    authority: str = "api.example.com",
    headers: Headers | None = None,
) -> Request:
    return Request(method, "http", authority, target, headers or CIMultiDict())


@pytest.mark.parametrize(
    ("pattern", "path", "captured"),
    [
        pytest.param("/", "/", {}, id="root"),
        pytest.param("/a", "/a", {}, id="literal"),
        pytest.param("/a", "/a/", None, id="a trailing slash is another path"),
        pytest.param("/a", "/A", None, id="case counts"),
        pytest.param("/a", "/ab", None, id="no prefix match"),
        pytest.param("/a", "/a\n", None, id="a newline at the end is not the end"),
        pytest.param("/a.b", "/axb", None, id="a dot is a dot"),
        pytest.param("/p/{id}", "/p/42", {"id": "42"}, id="name"),
        pytest.param("/p/{id}", "/p/", None, id="a name takes at least one character"),
        pytest.param("/p/{id}", "/p/4/2", None, id="a name stays in its segment"),
        pytest.param("/p/{id}", "/p/a%2Fb", {"id": "a%2Fb"}, id="an encoded slash is text"),
        pytest.param("/p/{id}", "/p/a%0ab", {"id": "a%0ab"}, id="an encoded newline is text"),
        pytest.param("/p/{id}", "/p/a\nb", {"id": "a\nb"}, id="a raw newline is text"),
        pytest.param("/p/{id}", "/p/\xe9", {"id": "\xe9"}, id="raw bytes are text"),
        pytest.param("/p/{id}.json", "/p/4.2.json", {"id": "4.2"}, id="text after a name"),
        pytest.param("/p/v{id}", "/p/x2", None, id="text before a name"),
        pytest.param("/{a}/{b}", "/x/y", {"a": "x", "b": "y"}, id="two names"),
        pytest.param("/f/*", "/f/x", {}, id="star as a segment"),
        pytest.param("/f/*", "/f/", None, id="star as a segment takes at least one character"),
        pytest.param("/f/*.css", "/f/a.b.css", {}, id="star and text"),
        pytest.param("/f/*.css", "/f/.css", {}, id="star beside text may be empty"),
        pytest.param("/f/*.css", "/f/a.cssx", None, id="star and text, whole segment"),
        pytest.param("/f/*.css", "/f/a/b.css", None, id="star stays in its segment"),
        pytest.param("/f/a*b*c", "/f/abbcbc", {}, id="two stars"),
        pytest.param("/f/a*b*c", "/f/acb", None, id="two stars in order"),
        pytest.param("/f/*b*b", "/f/xb", None, id="two stars need two fits"),
        pytest.param("/**", "/", {}, id="any path: root"),
        pytest.param("/**", "/a//b/", {}, id="any path: empty segments"),
        pytest.param("/**", "*", None, id="the asterisk form is no path"),
        pytest.param("/a/**", "/a", {}, id="none of any number of segments"),
        pytest.param("/a/**", "/a/", {}, id="an empty segment"),
        pytest.param("/a/**", "/a/b/c", {}, id="many segments"),
        pytest.param("/a/**", "/ab", None, id="whole segments only"),
        pytest.param("/**/z", "/z", {}, id="leading, none"),
        pytest.param("/**/z", "/a/b/z", {}, id="leading, many"),
        pytest.param("/**/z", "/a/bz", None, id="leading, whole segments only"),
        pytest.param("/a/**/m/**/z", "/a/x/m/y/m/z", {}, id="twice"),
        pytest.param("/a/**/m/**/z", "/a/m/z", {}, id="twice, none"),
        pytest.param("/a/**/m/**/z", "/a/x/z", None, id="twice, the middle is missing"),
        pytest.param("/**/{id}/x/**", "/1/2/x/3", {"id": "2"}, id="name between: earliest fit"),
        pytest.param("/**/{id}", "/1/2/3", {"id": "3"}, id="name at the end"),
    ],
)
def test_path_pattern(pattern: str, path: str, captured: dict[str, str] | None) -> None:
    assert PathPattern(pattern).match(path) == captured


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        pytest.param("", "must start with '/'", id="empty"),
        pytest.param("products", "must start with '/'", id="no slash"),
        pytest.param("/a?b", "drop '?'", id="query"),
        pytest.param("/a#b", "drop '?' or '#'", id="fragment"),
        pytest.param("/café", "write '/caf%C3%A9'", id="not ASCII"),
        pytest.param("/a b/{id}", "write '/a%20b/{id}'", id="space"),
        pytest.param("/a\n", "write '/a%0A'", id="newline"),
        pytest.param("/a**", "write '**/a*'", id="double star beside text"),
        pytest.param("/{id", "brace out of place", id="open brace"),
        pytest.param("/id}", "brace out of place", id="closing brace"),
        pytest.param("/{}", "brace out of place", id="no name"),
        pytest.param("/{1}", "brace out of place", id="bad name"),
        pytest.param("/{a}-{b}", "one wildcard", id="two names in a segment"),
        pytest.param("/{a}.*", "one wildcard", id="name and star in a segment"),
        pytest.param("/{a}/{b}/{a}", "uses {a} twice", id="repeated name"),
    ],
)
def test_a_malformed_path_pattern_says_how_to_mend_it(pattern: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        PathPattern(pattern)


def test_a_pattern_shows_its_text_and_names() -> None:
    pattern = PathPattern("/{a}/{b}")
    assert repr(pattern) == "PathPattern('/{a}/{b}')"
    assert pattern.text == "/{a}/{b}"
    assert pattern.names == ("a", "b")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        pytest.param("/**/a/**/a/**/a/**/a/**/b", "/a" * 4000, id="segments"),
        pytest.param("/*a*a*a*a*a*b", "/" + "a" * 8000, id="within a segment"),
        pytest.param("/**/{x}/*/*/b", "/a" * 4000, id="names"),
    ],
)
def test_a_hostile_path_costs_no_more_than_a_long_one(pattern: str, path: str) -> None:
    compiled = PathPattern(pattern)
    start = time.perf_counter()
    assert compiled.match(path) is None
    assert time.perf_counter() - start < 1


segment = st.text("ab", max_size=3)


@given(
    st.lists(st.sampled_from(["**", "*", "a", "b", "a*", "*b", "*a*b"]), min_size=1, max_size=5),
    st.lists(segment, min_size=1, max_size=6),
)
def test_the_regular_expression_agrees_with_a_plain_search(
    pattern: list[str], path: list[str]
) -> None:
    def fits_segment(glob: str, text: str) -> bool:
        if glob == "*":
            return text != ""
        return re.fullmatch(glob.replace("*", ".*"), text) is not None

    def fits(globs: list[str], texts: list[str]) -> bool:
        if not globs:
            return not texts
        if globs[0] == "**":
            return any(fits(globs[1:], texts[taken:]) for taken in range(len(texts) + 1))
        return bool(texts) and fits_segment(globs[0], texts[0]) and fits(globs[1:], texts[1:])

    matched = PathPattern("/" + "/".join(pattern)).match("/" + "/".join(path))
    assert (matched is not None) == fits(pattern, path)


@pytest.mark.parametrize(
    ("pattern", "authority", "fits"),
    [
        pytest.param("example.com", "example.com", True, id="same"),
        pytest.param("Example.COM", "example.com", True, id="case"),
        pytest.param("example.com", "example.com:8080", True, id="any port"),
        pytest.param("example.com:8080", "example.com:8080", True, id="this port"),
        pytest.param("example.com:8080", "example.com", False, id="port missing"),
        pytest.param("example.com:8080", "example.com:80", False, id="other port"),
        pytest.param("example.com", "www.example.com", False, id="subdomain"),
        pytest.param("*.example.com", "www.example.com", True, id="wildcard"),
        pytest.param("*.example.com", "a.b.example.com:81", True, id="wildcard, deep, port"),
        pytest.param("*.example.com", "example.com", False, id="wildcard, not itself"),
        pytest.param("*.example.com", "badexample.com", False, id="wildcard, whole labels"),
        pytest.param("[::1]", "[::1]:8080", True, id="IPv6"),
        pytest.param("[::1]:80", "[::1]", False, id="IPv6, port missing"),
        pytest.param("example.com", "example.com:٣", False, id="port digits are ASCII"),
    ],
)
def test_host_pattern(pattern: str, authority: str, *, fits: bool) -> None:
    assert HostPattern(pattern).matches(authority) is fits


@pytest.mark.parametrize(
    "pattern", ["", "*", "http://a.com", "a.com/x", "a.*.com", "a.com:", "a.com:x", "a.com\n"]
)
def test_a_malformed_host_pattern_says_how_to_mend_it(pattern: str) -> None:
    with pytest.raises(ValueError, match=re.escape("'*.example.com'")):
        RouteTable([Route(name="r", hosts=(pattern,))], Route(name="rest"))


def found(route: Route, asked: Request) -> bool:
    return RouteTable([route], Route(name="rest")).find(asked).route is route


@pytest.mark.parametrize(
    ("route", "asked", "expected"),
    [
        pytest.param(Route(name="r"), request("*", method="OPTIONS"), True, id="no condition"),
        pytest.param(Route(name="r", path=PathPattern("/a")), request("/a?b=/c"), True, id="path"),
        pytest.param(Route(name="r", path=PathPattern("/a")), request("/b?/a"), False, id="query"),
        pytest.param(Route(name="r", methods=frozenset({"PUT"})), request(), False, id="method"),
        pytest.param(
            Route(name="r", methods=frozenset({"GET"})), request(method="HEAD"), True, id="HEAD"
        ),
        pytest.param(
            Route(name="r", methods=frozenset({"GET"}), hosts=("b.com",)),
            request(method="HEAD"),
            False,
            id="HEAD to another host",
        ),
        pytest.param(
            Route(name="r", methods=frozenset({"PUT"})), request(method="put"), False, id="case"
        ),
        pytest.param(
            Route(name="r", methods=frozenset({"HEAD"})), request(), False, id="HEAD is not GET"
        ),
        pytest.param(
            Route(name="r", hosts=("a.com", "*.example.com")), request(), True, id="one host of two"
        ),
        pytest.param(Route(name="r", hosts=("a.com",)), request(), False, id="no host"),
        pytest.param(
            Route(name="r", headers=(("X-Plan", "gold"),)),
            request(headers=CIMultiDict({"x-plan": "gold"})),
            True,
            id="header, exact",
        ),
        pytest.param(
            Route(name="r", headers=(("X-Plan", "gold"),)),
            request(headers=CIMultiDict({"x-plan": "golden"})),
            False,
            id="header, other value",
        ),
        pytest.param(Route(name="r", headers=(("X-Plan", ""),)), request(), False, id="no header"),
        pytest.param(
            Route(name="r", headers=(("X-Plan", re.compile("gold|silver")),)),
            request(headers=CIMultiDict({"x-plan": "silver"})),
            True,
            id="header, expression",
        ),
        pytest.param(
            Route(name="r", headers=(("X-Plan", re.compile("gold")),)),
            request(headers=CIMultiDict([("x-plan", "gold"), ("x-plan", "lead")])),
            False,
            id="header, expression on all lines",
        ),
    ],
)
def test_conditions(route: Route, asked: Request, *, expected: bool) -> None:
    assert found(route, asked) is expected


def test_the_first_match_wins_and_hands_over_what_its_path_captured() -> None:
    narrow = Route(name="one", path=PathPattern("/p/{id}"))
    wide = Route(name="all", path=PathPattern("/**"))
    rest = Route(name="rest")
    table = RouteTable([narrow, wide], rest)
    assert table.find(request("/p/42?x=1")) == Matched(narrow, {"id": "42"})
    assert table.find(request("/q")) == Matched(wide, {})
    assert table.find(request("*", method="OPTIONS")) == Matched(rest, {})


def test_the_routes_passed_over_say_which_condition_does_not_hold() -> None:
    table = RouteTable(
        [
            Route(name="account", path=PathPattern("/account/**")),
            Route(name="writes", methods=frozenset({"PUT", "DELETE"})),
            Route(name="shop", hosts=("shop.example", "*.shop.example")),
            Route(name="version", headers=(("X-Api-Version", "2"),)),
            Route(name="products", path=PathPattern("/products/{id}")),
            Route(name="never seen"),
        ],
        Route(name="fallback"),
    )
    asked = request("/products/42")
    told = [(route.name, why) for route, why in table.passed_over(asked)]
    assert told == [
        ("account", "the path does not fit /account/**"),
        ("writes", "the method is not DELETE or PUT"),
        ("shop", "the host is not shop.example or *.shop.example"),
        ("version", "the field X-Api-Version is not as the route wants it"),
    ]
    assert table.find(asked).route.name == "products"


def test_header_edits_remove_then_set_then_add() -> None:
    headers = CIMultiDict([("A", "1"), ("a", "2"), ("B", "1"), ("C", "1")])
    edits = HeaderEdits(set=(("a", "3"),), add=(("A", "4"), ("D", "1")), remove=("b", "x"))
    edited = edits.apply(headers)
    assert list(edited.items()) == [("C", "1"), ("a", "3"), ("A", "4"), ("D", "1")]
    assert len(headers) == 4


def test_no_edits_cost_no_copy() -> None:
    headers: Headers = CIMultiDict(A="1")
    assert HeaderEdits().apply(headers) is headers

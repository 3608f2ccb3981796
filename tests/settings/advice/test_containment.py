"""Whether one route takes all that another is for: certain, or no."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.routes import PathPattern
from proxy.settings import Match
from proxy.settings.advice.containment import apart, contains


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("/a", "/a"),
        ("/{x}", "/{y}"),
        ("/*", "/{y}"),
        ("/{x}", "/a"),
        ("/**", "/"),
        ("/**", "/a/b/c"),
        ("/a/**", "/a"),
        ("/a/**", "/a/**"),
        ("/a/**", "/a/{x}/b/**"),
        ("/a/**/z", "/a/{x}/z"),
        ("/a/**/z", "/a/**/b/z"),
        ("/**/*", "/a/{x}"),
        ("/*.css", "/main-*.css"),
        ("/a*", "/ab*"),
        ("/p-{x}", "/p-1"),
        ("/**/a/**", "/**/a/**"),
    ],
)
def test_a_path_is_contained(outer: str, inner: str) -> None:
    assert contains(Match(path=outer), Match(path=inner))


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("/a", "/b"),
        ("/a", "/{x}"),
        ("/a/*", "/a/**"),
        ("/a/{x}", "/a"),
        ("/a/**/{x}", "/a/**"),
        ("/**/{x}", "/a/**"),  # /a/ ends in an empty segment
        ("/{x}", "/**"),
        ("/a/*/*", "/a/**"),
        ("/ab*", "/a*"),
        ("/a{x}", "/a*"),  # /a
        ("/*.css", "/*"),
        ("/A", "/a"),
        ("/**/a/**", "/**"),
    ],
)
def test_a_path_is_not(outer: str, inner: str) -> None:
    assert not contains(Match(path=outer), Match(path=inner))


def test_no_path_is_any_path() -> None:
    assert contains(Match(), Match(path="/a"))
    assert not contains(Match(path="/**"), Match())  # OPTIONS * has no path


SEGMENTS = st.sampled_from(["a", "b", "ab", "{}", "*", "**", "a*", "*b", "a{}", "a*b", "*a*", ""])
PATHS = st.lists(st.sampled_from(["", "a", "b", "ab", "ba", "aab"]), min_size=1, max_size=5)


def spelled(segments: list[str]) -> str:
    path = "/" + "/".join(segments)
    for number in range(len(segments)):
        path = path.replace("{}", f"{{x{number}}}", 1)
    return path


PATTERNS = st.lists(SEGMENTS, min_size=1, max_size=4).map(spelled)


@given(PATTERNS, PATTERNS, PATHS)
@settings(max_examples=400, deadline=None)
def test_what_is_contained_is_matched(outer: str, inner: str, path: list[str]) -> None:
    text = "/" + "/".join(path)
    if contains(Match(path=outer), Match(path=inner)) and PathPattern(inner).match(text):
        assert PathPattern(outer).match(text) is not None


def test_what_would_take_long_is_not_certain() -> None:
    assert not contains(Match(path="/" + "a/" * 30), Match(path="/**/b/**/c/**"))


@pytest.mark.parametrize(
    ("outer", "inner", "contained"),
    [
        ((), ("GET",), True),
        (("GET",), (), False),
        (("GET", "PUT"), ("GET",), True),
        (("GET",), ("HEAD",), True),
        (("HEAD",), ("GET",), False),
        (("PUT",), ("GET",), False),
    ],
)
def test_methods(outer: tuple[str, ...], inner: tuple[str, ...], *, contained: bool) -> None:
    assert contains(Match(methods=outer), Match(methods=inner)) is contained


@pytest.mark.parametrize(
    ("outer", "inner", "contained"),
    [
        ((), ("a.example",), True),
        (("a.example",), (), False),
        (("A.example",), ("a.example",), True),
        (("*.example",), ("a.example",), True),
        (("*.example",), ("*.a.example",), True),
        (("*.a.example",), ("*.example",), False),
        (("a.example",), ("*.a.example",), False),
        (("a.example",), ("a.example:81",), True),
        (("a.example:81",), ("a.example",), False),
        (("a.example", "b.example"), ("b.example", "a.example"), True),
        (("a.example",), ("b.example", "a.example"), False),
    ],
)
def test_hosts(outer: tuple[str, ...], inner: tuple[str, ...], *, contained: bool) -> None:
    assert contains(Match(hosts=outer), Match(hosts=inner)) is contained


@pytest.mark.parametrize(
    ("outer", "inner", "contained"),
    [
        ({}, {"A": "1"}, True),
        ({"A": "1"}, {}, False),
        ({"A": "1"}, {"a": "1", "B": "2"}, True),
        ({"A": "1"}, {"A": "2"}, False),
        ({"A": re.compile("[0-9]+")}, {"A": "12"}, True),
        ({"A": re.compile("[0-9]")}, {"A": "12"}, False),
        ({"A": re.compile("x")}, {"A": re.compile("x")}, True),
        ({"A": "x"}, {"A": re.compile("x")}, False),
    ],
)
def test_fields(
    outer: dict[str, str | re.Pattern[str]],
    inner: dict[str, str | re.Pattern[str]],
    *,
    contained: bool,
) -> None:
    assert contains(Match(headers=outer), Match(headers=inner)) is contained


@pytest.mark.parametrize(
    ("ours", "theirs", "never"),
    [
        ((), ("a.example",), False),
        (("a.example",), (), False),
        (("a.example",), ("b.example",), True),
        (("a.example",), ("A.example:80",), False),
        (("a.example:81",), ("a.example:80",), True),
        (("*.example",), ("a.example",), False),
        (("a.example",), ("*.example",), False),
        (("*.a.example",), ("*.example",), False),
        (("*.a.example",), ("*.b.example",), True),
        (("*.example",), ("example",), True),
    ],
)
def test_hosts_apart(ours: tuple[str, ...], theirs: tuple[str, ...], *, never: bool) -> None:
    assert apart(ours, theirs) is never

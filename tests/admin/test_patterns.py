import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.admin import patterns
from proxy.admin.patterns import InvalidPattern

URL = "http://api.example/products/1?lang=fr"


@pytest.mark.parametrize(
    "pattern",
    [
        r"/products/\d+$",
        "^http://[^/]+/a/.*",
        "a(b)?c",
        "(abc)+",
        "a{2,5}",
        "(?i)ABC",
        "(?:a|b)c",
        r"\(a+\)+",
        "[(*+]+x",
        "[]a]x",
        "(?=a*)b",
        "(a|b)?c",
        "(?i:a)b",
        "/products/.*",
        "/products/.*/reviews",
        r"^https?://[^/]+/a/.*/b/.*",
        r".*\.(jpg|png|gif)$",
        "^http://(www.)?(a|b|c).example/",
        "a{3}" * 20,
    ],
)
def test_accepted(pattern: str) -> None:
    assert patterns.check(pattern) == pattern


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("", "empty string"),
        (".*", "empty string"),
        ("a?", "empty string"),
        ("^", "empty string"),
        ("a|", "empty string"),
        ("(", "no regular expression"),
        ("a{99999999999}", "no regular expression"),
        ("x" * 513, "longer"),
        ("a\nb", "control character"),
        ("(a+)+b", "a repeat of a group"),
        ("(a*)*b", "a repeat of a group"),
        ("((a|aa))+b", "a repeat of a group"),
        ("(a|a)*b", "a repeat of a group"),
        ("(a{2,}){2,}b", "a repeat of a group"),
        ("(x+){3}b", "a repeat of a group"),
        (r"(a)\1", "back-reference"),
        ("(?P<n>a)(?P=n)", "reference to a group"),
        ("(a)?(?(1)b|c)", "reference to a group"),
        ("a(?#b)", "comment"),
        ("(?x)a # )", "flag x"),
        (".*a.*b", "too many"),
        ("^.*a.*b.*c", "too many"),
        ("^a|.*b.*c", "too many"),
        ("a?" * 30 + "b", "too many"),
        ("^" + "(a|b)" * 30, "too many"),
        ("^" + "a{0,100}" * 4 + "b", "too many"),
        ("^" + "|".join("a" * 99) + "|" + "b?" * 20, "too many"),
        ("a{0,101}b", "more than 100"),
    ],
)
def test_refused(pattern: str, what: str) -> None:
    with pytest.raises(InvalidPattern, match=re.escape(what)) as caught:
        patterns.check(pattern)
    assert caught.value.how


def test_what_follows_may_make_the_end_try_again() -> None:
    assert patterns.check("http.*/products/.*", followed=True)
    assert patterns.check(r".*/\d+")
    with pytest.raises(InvalidPattern, match="too many"):
        patterns.check(r".*/\d+", followed=True)


def test_all_may_be_said_twice() -> None:
    assert patterns.check(".*", matches_all=True) == ".*"


@given(st.text("ab()|*+?{}2,[]^$\\.#:=P<>x-", max_size=12))
def test_any_text_is_accepted_or_refused(pattern: str) -> None:
    try:
        patterns.check(pattern)
    except InvalidPattern:
        return
    assert re.search(pattern, "") is None


@given(st.text("ab()|*+?{}2,", min_size=1, max_size=10))
def test_what_is_accepted_is_fast(pattern: str) -> None:
    try:
        patterns.check(pattern, matches_all=True)
    except InvalidPattern:
        return
    start = time.perf_counter()
    re.search(pattern, "ab" * (patterns.URL_LENGTH // 2) + "c")
    re.search(pattern, "a" * patterns.URL_LENGTH + "c")
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("pattern", "matches", "misses"),
    [
        (
            "products/1",
            ["/products/1", "/products/1/x", "/products/1?a"],
            ["/products/10", "/xproducts/1"],
        ),
        ("/products/", ["/products/", "/products/x"], ["/products"]),
        ("products/.*", ["/products/", "/products/10"], ["/products"]),
        ("http://h/a", ["/a", "/a/b"], ["/ab"]),
        ("^http://h/a", ["/a"], ["/ab", "/x/http://h/a"]),
        (r"\.css$", [], ["/a.css"]),
        (r".*\.css$", ["/a.css"], ["/a.css?x"]),
        ("a|b", ["/a", "/x/b"], ["/ab", "/xa"]),
    ],
)
def test_by_segments(pattern: str, matches: list[str], misses: list[str]) -> None:
    compiled = re.compile(patterns.by_segments(pattern))
    assert [path for path in [*matches, *misses] if compiled.search(f"http://h{path}")] == matches


@pytest.mark.parametrize(
    ("host", "path", "matches"),
    [
        (".*", ".*", True),
        ("api", ".*", True),
        ("^api$", ".*", False),
        ("^api.example$", ".*", True),
        ("^(api.example|b)$", "^/products", True),
        ("example$", "products", True),
        ("^example", "products", False),
        (".*", "^/roducts", False),
        (".*", "roducts", True),
        (".*", "lang=fr$", True),
        (".*", "products$", False),
        ("products", ".*", False),
        ("p.e", "p", True),
        (".*", "api", False),
        ("a|x", "1|z", True),
    ],
)
def test_of_host_and_path(host: str, path: str, matches: bool) -> None:  # noqa: FBT001 - a row
    assert (re.search(patterns.of_host_and_path(host, path), URL) is not None) is matches


@pytest.mark.parametrize("pattern", ["^a|b", "a|b$", "a^b", "a$b", "(^a)"])
def test_anchors_that_are_not_of_the_whole(pattern: str) -> None:
    with pytest.raises(InvalidPattern, match="anchor"):
        patterns.by_segments(pattern)


def test_literals() -> None:
    assert patterns.literals(r"a|b\.c|\/d\-e") == ("a", "b.c", "/d-e")
    for alternatives in ("a.", "a*", "(a)", "[a]", r"\d", "^a"):
        with pytest.raises(InvalidPattern):
            patterns.literals(alternatives)

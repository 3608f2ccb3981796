import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.purging import (
    ALL,
    group_scope,
    host_scope,
    prefix_scope,
    scopes_of,
    tag_scope,
    url_scope,
)

URL = "http://api.example:8080/a/b?c=/d"


def test_an_entry_has_these_scopes() -> None:
    assert scopes_of(URL, ["t:1"], ["g"]) == (
        "*",
        "host:api.example:8080",
        "url:http://api.example:8080/a/b?c=/d",
        "prefix:/",
        "prefix:/a/",
        "prefix:/a/b/",
        "prefix://api.example:8080/",
        "prefix://api.example:8080/a/",
        "prefix://api.example:8080/a/b/",
        "tag:t:1",
        "group:http://api.example:8080 g",
    )


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        pytest.param(ALL, True, id="all"),
        pytest.param(host_scope("API.example:8080"), True, id="host, in any case"),
        pytest.param(host_scope("api.example"), False, id="another port"),
        pytest.param(url_scope(URL), True, id="url"),
        pytest.param(url_scope("http://api.example:8080/a/b"), False, id="url without its query"),
        pytest.param(prefix_scope("/"), True, id="prefix of everything"),
        pytest.param(prefix_scope("/a"), True, id="prefix without a final slash"),
        pytest.param(prefix_scope("/a/"), True, id="prefix with a final slash"),
        pytest.param(prefix_scope("/a/b"), True, id="prefix that is the path"),
        pytest.param(prefix_scope("/a/bc"), False, id="prefix of a longer segment"),
        pytest.param(prefix_scope("//Api.Example:8080/a"), True, id="prefix on the host"),
        pytest.param(prefix_scope("//api.example:8080"), True, id="prefix that is the host"),
        pytest.param(prefix_scope("//other/a"), False, id="prefix on another host"),
        pytest.param(prefix_scope("/d"), False, id="the query is no path"),
        pytest.param(tag_scope("product:1"), True, id="tag"),
        pytest.param(tag_scope("product:10"), False, id="tag that begins alike"),
        pytest.param(tag_scope("Product:1"), False, id="tags have a case"),
        pytest.param(group_scope("http://api.example:8080", "g"), True, id="group"),
        pytest.param(group_scope("http://other", "g"), False, id="group of another origin"),
    ],
)
def test_what_a_scope_covers(scope: str, covered: bool) -> None:  # noqa: FBT001
    assert (scope in scopes_of(URL, ["product:1"], ["g"])) is covered


@pytest.mark.parametrize("text", ["", "a/b", "http://h/a", "/a?b", "/a#b", "//", "///a", "*"])
def test_what_is_no_prefix(text: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        prefix_scope(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("/caf%c3%a9?q=%c3", "/caf%C3%A9?q=%C3", id="6.2.2.1-case of hex digits"),
        pytest.param("/%7euser/%41", "/~user/A", id="6.2.2.2-needlessly encoded"),
        pytest.param("/caf\xc3\xa9", "/caf%C3%A9", id="bytes as they are"),
        pytest.param('/a|"{b}"?<c>', "/a%7C%22%7bb%7D%22?%3Cc%3E", id="what should be encoded"),
    ],
)
def test_spellings_that_mean_the_same(one: str, other: str) -> None:
    ours, theirs = scopes_of(f"http://h{one}"), scopes_of(f"http://h{other}")
    assert ours == theirs
    assert url_scope(f"http://h{one}") == url_scope(f"http://h{other}") in ours
    assert prefix_scope(one.partition("?")[0]) == prefix_scope(other.partition("?")[0]) in ours


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/a%2Fb", "/a/b"),
        ("/a%3Fb", "/a?b"),
        ("/a%2541", "/aA"),
        ("/%zz", "/%ZZ"),
        ("/a+b", "/a%20b"),
    ],
)
def test_spellings_that_mean_something_else(one: str, other: str) -> None:
    assert url_scope(f"http://h{one}") != url_scope(f"http://h{other}")


def test_the_root_with_and_without_slash() -> None:
    for url in ("http://h/", "http://h", "http://h?q"):
        assert {"prefix:/", "prefix://h/", "host:h"} <= set(scopes_of(url)), url


def test_deep_paths_cost_little_and_are_purged_by_their_upper_part() -> None:
    deep = "http://h" + "/s" * 4000
    scopes = scopes_of(deep)
    assert len(scopes) < 200
    assert prefix_scope("/s" * 3000) in scopes


paths = st.lists(st.sampled_from(["a", "b", "ab", "%2F", ""]), max_size=70).map(
    lambda segments: "/" + "/".join(segments)
)


@given(paths, paths)
def test_a_prefix_covers_what_is_below_it_and_only_that(path: str, prefix: str) -> None:
    if prefix.startswith("//"):
        return
    covered = prefix_scope(prefix) in scopes_of(f"http://h{path}")
    below = f"{path}/".startswith(prefix if prefix.endswith("/") else f"{prefix}/")
    if max(path.count("/"), prefix.count("/")) < 60:
        assert covered == below
    elif below:
        assert covered

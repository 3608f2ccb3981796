import pytest

from proxy.admin import items
from proxy.admin.items import InvalidItem


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("http://h/a?b", ("http://h/a?b", "https://h/a?b")),
        ("HTTPS://H:443/A", ("https://h/A", "http://h/A")),
        ("http://h:443", ("http://h:443/", "https://h:443/")),
        ("http://h?x", ("http://h/?x", "https://h/?x")),
        ("http://h/a#b?c", ("http://h/a", "https://h/a")),
        ("http://[::1]:80/", ("http://[::1]/", "https://[::1]/")),
        ("http://h/%7e/é", ("http://h/%7e/%C3%A9", "https://h/%7e/%C3%A9")),
        ('http://h/a|b"<>^`{}', ('http://h/a|b"<>^`{}', 'https://h/a|b"<>^`{}')),
    ],
)
def test_url(text: str, urls: tuple[str, ...]) -> None:
    assert items.url(text) == urls


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/a",
        "h/a",
        "ftp://h/",
        "http://",
        "http:///a",
        "http://u:p@h/",
        "http://h:99999/",
        "http://[::1:80/",
        "http://[1::2::3]/",
        "http://h:x/",
        "http://[::z]/",
        "http://h/a b",
        "http://h/\n",
        "http://é/",
        "http://a,b/",
        "http://h/\ud800",
        "http://h/" + "x" * 8192,
        "http://h\\x/",
    ],
)
def test_url_refused(text: str) -> None:
    with pytest.raises(InvalidItem) as caught:
        items.url(text)
    assert caught.value.how


@pytest.mark.parametrize(
    ("text", "prefixes"),
    [
        ("/", ("/",)),
        ("/a/b", ("/a/b/",)),
        ("/a/b/", ("/a/b/",)),
        ("/a//b", ("/a//b/",)),
        ("//H/a", ("//h/a/",)),
        ("//h", ("//h/",)),
        ("www.example.com/foo", ("//www.example.com/foo/",)),
        ("www.example.com", ("//www.example.com/",)),
        ("localhost/a", ("//localhost/a/",)),
        ("https://h/a", ("//h/a/",)),
        ("h:443/a", ("//h:443/a/", "//h/a/")),
        ("/é", ("/%C3%A9/",)),
    ],
)
def test_prefix(text: str, prefixes: tuple[str, ...]) -> None:
    assert items.prefix(text) == prefixes


@pytest.mark.parametrize(
    "text", ["", "/a?b", "/a#b", "/a*", "/a/*", "products/1", "///a", "http:///a", "/a b", "//a b/"]
)
def test_prefix_refused(text: str) -> None:
    with pytest.raises(InvalidItem):
        items.prefix(text)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("API.example", ("api.example",)),
        ("h:80", ("h:80", "h")),
        ("h:443", ("h:443", "h")),
        ("h:8080", ("h:8080",)),
        ("[::1]:8080", ("[::1]:8080",)),
    ],
)
def test_host(text: str, hosts: tuple[str, ...]) -> None:
    assert items.host(text) == hosts


@pytest.mark.parametrize(
    "text", ["", "*.example", "h/", "http://h", "h:", "h:0x1", "::1", "a b", "h:65536"]
)
def test_host_refused(text: str) -> None:
    with pytest.raises(InvalidItem):
        items.host(text)


@pytest.mark.parametrize(
    "text", ["a", "product:1", "/books/1", "ein Schlüssel, auch so", "x" * 1024]
)
def test_tag(text: str) -> None:
    assert items.tag(text) == (text,)


@pytest.mark.parametrize("text", ["", "a\tb", "\x00", "x" * 1025, "é" * 513, "\ud800"])
def test_tag_refused(text: str) -> None:
    with pytest.raises(InvalidItem):
        items.tag(text)


def test_each_once_in_order() -> None:
    checked = items.check(items.Wanted(tags=["b", "a", "b", ""], hosts=["h:80", "h"]))
    assert checked.order.tags == ("b", "a")
    assert checked.order.hosts == ("h:80", "h")
    assert [fault.where for fault in checked.faults] == ["tags[3]"]

"""Lists of addresses, sitemaps and indexes; also hostile ones."""

import gzip
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import sitemaps
from proxy.sitemaps import Listing, Unreadable, parse

NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
URLSET = f"""<?xml version="1.0" encoding="UTF-8"?>
<urlset {NAMESPACE} xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <url><loc> http://a/1?x=1&amp;y=2 </loc><lastmod>2026-01-01</lastmod></url>
  <url><image:image><image:loc>http://a/i.png</image:loc></image:image><loc>http://a/2</loc></url>
</urlset>"""
INDEX = "<sitemapindex {}>{}</sitemapindex>"
BOMB = """<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY c "&a;&a;&a;&a;&a;&a;&a;">]>
<urlset><url><loc>http://a/&c;</loc></url></urlset>"""
OUTSIDE = """<!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<urlset><url><loc>http://a/&a;</loc></url></urlset>"""


def index(*urls: str) -> str:
    return INDEX.format(NAMESPACE, "".join(f"<sitemap><loc>{url}</loc></sitemap>" for url in urls))


class TestParse:
    @pytest.mark.parametrize(
        ("data", "urls"),
        [
            pytest.param(URLSET.encode(), ("http://a/1?x=1&y=2", "http://a/2"), id="sitemap"),
            pytest.param(
                gzip.compress(URLSET.encode()), ("http://a/1?x=1&y=2", "http://a/2"), id="gzip"
            ),
            pytest.param(
                b"\xef\xbb\xbf<urlset><url><loc>http://a/</loc></url></urlset>",
                ("http://a/",),
                id="no namespace, BOM",
            ),
            pytest.param(
                b"# all\n\nhttp://a/1\r\n  https://a/2  ", ("http://a/1", "https://a/2"), id="lines"
            ),
            pytest.param("http://a/é".encode(), ("http://a/é",), id="UTF-8"),
            pytest.param(b"\xef\xbb\xbfhttp://a/", ("http://a/",), id="lines, BOM"),
            pytest.param(gzip.compress(b"http://a/1"), ("http://a/1",), id="lines, gzip"),
        ],
    )
    def test_addresses(self, data: bytes, urls: tuple[str, ...]) -> None:
        assert parse(data, "it") == Listing(urls)

    def test_index(self) -> None:
        data = index("http://a/1.xml", "http://a/2.xml.gz").encode()
        assert parse(data, "it") == Listing(sitemaps=("http://a/1.xml", "http://a/2.xml.gz"))

    @pytest.mark.parametrize(
        ("data", "told"),
        [
            pytest.param(b"", "lists no address", id="empty"),
            pytest.param(b"# nothing", "lists no address", id="remarks only"),
            pytest.param(b"<urlset/>", "lists no address", id="empty sitemap"),
            pytest.param(b"<html></html>", "it is <html>", id="a page"),
            pytest.param(b"<urlset>", "is not XML", id="not closed"),
            pytest.param(b"<?xml version='1.0' encoding='x'?><a/>", "is not XML", id="encoding"),
            pytest.param(b"/products", "is not an address", id="relative"),
            pytest.param(
                b"<urlset><url><loc>file:///etc/passwd</loc></url></urlset>",
                "is not an address",
                id="another scheme",
            ),
            pytest.param(BOMB.encode(), "declares no types or entities", id="entity bomb"),
            pytest.param(OUTSIDE.encode(), "declares no types or entities", id="outside entity"),
            pytest.param(gzip.compress(b"http://a/")[:-9], "is cut short", id="half a gzip"),
            pytest.param(b"\x1f\x8bnonsense", "is not gzip", id="no gzip"),
            pytest.param(b"\xff\xfe<\x00", "is not an address", id="UTF-16"),
        ],
    )
    def test_what_cannot_be_used(self, data: bytes, told: str) -> None:
        with pytest.raises(Unreadable, match=told) as caught:
            parse(data, "it")
        assert str(caught.value).startswith("it")

    def test_sizes_are_bounded_unpacked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sitemaps, "MAX_SIZE", 1 << 20)
        parse(b"http://a/".ljust(1 << 20), "it")
        for data in (b" " * ((1 << 20) + 1), gzip.compress(b" " * (1 << 28))):
            with pytest.raises(Unreadable, match="larger than 1 MiB"):
                parse(data, "it")

    def test_sitemaps_are_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sitemaps, "MAX_LISTED", 1)
        with pytest.raises(Unreadable, match="more than 1 sitemap"):
            parse(index("http://a/1.xml", "http://a/2.xml").encode(), "it")

    @given(st.binary() | st.binary().map(lambda data: b"<" + data) | st.binary().map(zlib.compress))
    def test_nothing_else_is_raised(self, data: bytes) -> None:
        try:
            listing = parse(data, "it")
        except Unreadable:
            return
        assert listing.urls or listing.sitemaps


@pytest.mark.parametrize(
    ("url", "listing"),
    [
        ("http://a/page?x=.xml", Listing(("http://a/page?x=.xml",))),
        ("http://a/s.xml?x", Listing(sitemaps=("http://a/s.xml?x",))),
        ("http://a/s.xml.gz#x", Listing(sitemaps=("http://a/s.xml.gz#x",))),
    ],
)
def test_what_an_address_stands_for(url: str, listing: Listing) -> None:
    assert sitemaps.of_url(url) == listing


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("http://a/1\n")
    assert sitemaps.of_file(str(tmp_path / "urls.txt")) == Listing(("http://a/1",))
    with pytest.raises(Unreadable, match="No such file"):
        sitemaps.of_file(str(tmp_path / "none.txt"))

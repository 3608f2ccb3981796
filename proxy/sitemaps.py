"""Lists of addresses to warm: files and documents, sitemaps and their indexes.

    https://api.example/products        an address, itself
    https://api.example/sitemap.xml     a sitemap: the addresses that it lists (also .xml.gz)
    a file, or what a sitemap says      a sitemap, or an address a line, # for remarks

A sitemap index stands for the sitemaps that it lists, and these are fetched. Nobody vouches for
what is read here: sizes are bounded, also unpacked, and XML may not declare anything.
"""

import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

MAX_SIZE = 50 * 1024 * 1024
"""Bytes of one list or sitemap, unpacked, as the protocol of sitemaps has it."""
MAX_LISTED = 50_000
"""Entries of one sitemap or index, likewise."""

_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS

Fetch: TypeAlias = Callable[[str], Awaitable[bytes]]
"""The document at an address; raises Unreadable."""


class Unreadable(Exception):  # noqa: N818 - reads as what it is
    """A source of addresses cannot be used; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What one file or document lists.

    Attributes:
        urls: Addresses to warm.
        sitemaps: Addresses of sitemaps, which list more.
    """

    urls: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()


def of_url(url: str) -> Listing:
    """What an address stands for: itself, or a sitemap."""
    path = url.partition("?")[0].partition("#")[0]
    return Listing(sitemaps=(url,)) if path.endswith((".xml", ".xml.gz")) else Listing((url,))


def of_file(name: str) -> Listing:
    """What a file lists.

    Raises:
        Unreadable: It cannot be used.
    """
    try:
        with Path(name).open("rb") as file:
            return parse(file.read(MAX_SIZE + 1), name)
    except OSError as error:
        raise Unreadable(f"{name}: {error.strerror}") from None


async def all_of(listing: Listing, fetch: Fetch) -> list[str]:
    """The addresses of a listing, those in its sitemaps too.

    Raises:
        Unreadable: A sitemap cannot be used.
    """
    found = list(listing.urls)
    for sitemap in listing.sitemaps:
        above = parse(await fetch(sitemap), sitemap)
        found += above.urls
        for inner in above.sitemaps:
            below = parse(await fetch(inner), inner)
            if below.sitemaps:
                raise Unreadable(f"{inner}: an index within an index is none")
            found += below.urls
    return found


def parse(data: bytes, source: str) -> Listing:
    """What `data`, also gzipped, lists: a sitemap, an index, or one address a line.

    Raises:
        Unreadable: It is none of these, or too large.
    """
    text = _unpacked(data, source).strip()
    listing = (
        _of_xml(text, source) if text.startswith((b"<", b"\xef\xbb\xbf<")) else _of_lines(text)
    )
    if not (listing.urls or listing.sitemaps):
        raise Unreadable(f"{source} lists no address")
    if len(listing.sitemaps) > MAX_LISTED:
        raise Unreadable(f"{source} lists more than {MAX_LISTED} sitemaps")
    for url in (*listing.urls, *listing.sitemaps):
        if not is_url(url):
            raise Unreadable(f"{source}: {url[:80]!r} is not an address: write https://...")
    return listing


def _unpacked(data: bytes, source: str) -> bytes:
    if data.startswith(_GZIP):
        unpacker = zlib.decompressobj(_GZIP_WINDOW)
        try:
            data = unpacker.decompress(data, MAX_SIZE + 1)
        except zlib.error as error:
            raise Unreadable(f"{source} is not gzip: {error}") from None
        if len(data) <= MAX_SIZE and not unpacker.eof:
            raise Unreadable(f"{source} is cut short")
    if len(data) > MAX_SIZE:
        raise Unreadable(f"{source} is larger than {MAX_SIZE >> 20} MiB")
    return data


def _of_lines(text: bytes) -> Listing:
    lines = (line.strip() for line in text.decode("utf-8-sig", "replace").splitlines())
    return Listing(tuple(line for line in lines if line and not line.startswith("#")))


def _of_xml(text: bytes, source: str) -> Listing:
    try:
        root: Element = fromstring(text, forbid_dtd=True)
    except DefusedXmlException:
        raise Unreadable(f"{source}: a sitemap declares no types or entities") from None
    except (ParseError, ValueError, LookupError) as error:
        raise Unreadable(f"{source} is not XML: {error}") from None
    match _local(root):
        case "urlset":
            return Listing(urls=_locations(root, "url"))
        case "sitemapindex":
            return Listing(sitemaps=_locations(root, "sitemap"))
        case other:
            raise Unreadable(f"{source} is not a sitemap: it is <{other}>")


def _locations(root: Element, item: str) -> tuple[str, ...]:
    """The text of every <loc> of an item, in whichever namespace its makers chose."""
    fields = (field for child in root if _local(child) == item for field in child)
    texts = ((field.text or "").strip() for field in fields if _local(field) == "loc")
    return tuple(text for text in texts if text)


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def is_url(text: str) -> bool:
    """Whether it is an address rather than the name of a file or a path."""
    return text.lower().startswith(("http://", "https://"))

"""Addresses to warm: from the command line, from lists, from sitemaps and their indexes.

What a word of the command line stands for:

    https://api.example/products        itself
    https://api.example/sitemap.xml     the addresses that the sitemap there lists (also .xml.gz)
    urls.txt, sitemap.xml, any.gz, -    those in the file: a sitemap, or one a line, # for remarks

A sitemap index stands for the sitemaps that it lists, and these are fetched. Nobody vouches for
what is read here: sizes are bounded, also unpacked, and XML may not declare anything.
"""

import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import aiohttp
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

MAX_SIZE = 50 * 1024 * 1024
"""Bytes of one list or sitemap, unpacked, as the protocol of sitemaps has it."""
MAX_LISTED = 50_000
"""Entries of one sitemap or index, likewise."""

_TIMEOUT = aiohttp.ClientTimeout(total=60.0, sock_connect=10.0)
_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


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


async def addresses(words: Iterable[str]) -> list[str]:
    """The addresses that the words of a command line stand for, each once.

    Raises:
        Unreadable: A file or sitemap cannot be used.
    """
    found: list[str] = []
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        for word in words:
            listing = _asked(word)
            found += listing.urls
            for sitemap in listing.sitemaps:
                found += await _listed(session, sitemap)
    return list(dict.fromkeys(found))


def _asked(word: str) -> Listing:
    if _is_url(word):
        path = word.partition("?")[0].partition("#")[0]
        return Listing(sitemaps=(word,)) if path.endswith((".xml", ".xml.gz")) else Listing((word,))
    return parse(_file(word), "standard input" if word == "-" else word)


async def _listed(session: aiohttp.ClientSession, sitemap: str) -> list[str]:
    listing = parse(await _fetched(session, sitemap), sitemap)
    found = list(listing.urls)
    for inner in listing.sitemaps:
        below = parse(await _fetched(session, inner), inner)
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
        if not _is_url(url):
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


def _is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _file(name: str) -> bytes:
    try:
        if name == "-":
            return sys.stdin.buffer.read(MAX_SIZE + 1)
        with Path(name).open("rb") as file:
            return file.read(MAX_SIZE + 1)
    except OSError as error:
        raise Unreadable(f"{name}: {error.strerror}") from None


async def _fetched(session: aiohttp.ClientSession, url: str) -> bytes:
    try:
        async with session.get(url) as response:
            if response.status != 200:  # noqa: PLR2004 - OK
                raise Unreadable(f"{url}: status {response.status}")
            data = bytearray()
            async for chunk in response.content.iter_any():
                data += chunk
                if len(data) > MAX_SIZE:
                    break
            return bytes(data)
    except TimeoutError:
        raise Unreadable(f"{url}: timed out") from None
    except (aiohttp.ClientError, ValueError) as error:
        raise Unreadable(f"{url}: {error}") from None

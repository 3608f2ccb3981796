"""Addresses to warm, as the words of a command line name them.

https://api.example/products        itself
https://api.example/sitemap.xml     the addresses that the sitemap there lists (also .xml.gz)
urls.txt, sitemap.xml, any.gz, -    those in the file: a sitemap, or one a line, # for remarks
"""

import sys
from collections.abc import Iterable
from functools import partial

import aiohttp

from proxy import sitemaps
from proxy.sitemaps import Listing, Unreadable

_TIMEOUT = aiohttp.ClientTimeout(total=60.0, sock_connect=10.0)


async def addresses(words: Iterable[str]) -> list[str]:
    """The addresses that the words of a command line stand for, each once.

    Raises:
        Unreadable: A file or sitemap cannot be used.
    """
    found: list[str] = []
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        for word in words:
            found += await sitemaps.all_of(_asked(word), partial(_fetched, session))
    return list(dict.fromkeys(found))


def _asked(word: str) -> Listing:
    if sitemaps.is_url(word):
        return sitemaps.of_url(word)
    if word == "-":
        data = sys.stdin.buffer.read(sitemaps.MAX_SIZE + 1)
        return sitemaps.parse(data, "standard input")
    return sitemaps.of_file(word)


async def _fetched(session: aiohttp.ClientSession, url: str) -> bytes:
    try:
        async with session.get(url) as response:
            if response.status != 200:  # noqa: PLR2004 - OK
                raise Unreadable(f"{url}: status {response.status}")
            data = bytearray()
            async for chunk in response.content.iter_any():
                data += chunk
                if len(data) > sitemaps.MAX_SIZE:
                    break
            return bytes(data)
    except TimeoutError:
        raise Unreadable(f"{url}: timed out") from None
    except (aiohttp.ClientError, ValueError) as error:
        raise Unreadable(f"{url}: {error}") from None

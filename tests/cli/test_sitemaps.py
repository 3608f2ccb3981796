"""Addresses to warm, from words of a command line; sitemaps over HTTP, also hostile ones."""

import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestServer

from proxy import sitemaps
from proxy.cli.sitemaps import addresses
from proxy.sitemaps import Unreadable
from tests.client.fake_admin import FakeAdmin, Silence
from tests.test_sitemaps import URLSET, index


async def site(aiohttp_server: Callable[..., Awaitable[TestServer]]) -> str:
    """A site with sitemaps; its base URL."""

    async def answer(request: web.Request) -> web.StreamResponse:
        base = f"http://{request.host}"
        match request.path:
            case "/sitemap.xml":
                return web.Response(text=index(f"{base}/a.xml", f"{base}/b.xml.gz"))
            case "/a.xml":
                return web.Response(text=URLSET)
            case "/b.xml.gz":
                return web.Response(body=gzip.compress(URLSET.replace("/2<", "/3<").encode()))
            case "/nested.xml":
                return web.Response(text=index(f"{base}/sitemap.xml"))
            case "/large.xml":
                return web.Response(body=b"x" * 200_000)
            case "/elsewhere.xml":
                raise web.HTTPFound("ftp://a/")
            case _:
                raise web.HTTPNotFound

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    return str((await aiohttp_server(app)).make_url("")).rstrip("/")


class TestAddresses:
    async def test_words(self, tmp_path: Path) -> None:
        (tmp_path / "urls.txt").write_text("http://a/1\nhttp://a/2\n")
        words = ["http://a/2", str(tmp_path / "urls.txt"), "HTTP://a/page?x=.xml"]
        assert await addresses(words) == ["http://a/2", "http://a/1", "HTTP://a/page?x=.xml"]

    async def test_a_sitemap_by_url(
        self, aiohttp_server: Callable[..., Awaitable[TestServer]]
    ) -> None:
        base = await site(aiohttp_server)
        assert await addresses([f"{base}/a.xml"]) == ["http://a/1?x=1&y=2", "http://a/2"]

    async def test_an_index(
        self, aiohttp_server: Callable[..., Awaitable[TestServer]], tmp_path: Path
    ) -> None:
        base = await site(aiohttp_server)
        (tmp_path / "index.xml").write_text(index(f"{base}/b.xml.gz"))
        everything = ["http://a/1?x=1&y=2", "http://a/2", "http://a/3"]
        assert await addresses([f"{base}/sitemap.xml"]) == everything
        assert await addresses([str(tmp_path / "index.xml")]) == [everything[0], everything[2]]

    @pytest.mark.parametrize(
        ("path", "told"),
        [
            ("/none.xml", "status 404"),
            ("/nested.xml", "an index within an index"),
            ("/large.xml", "larger than"),
            ("/elsewhere.xml", "elsewhere.xml: "),
        ],
    )
    async def test_what_cannot_be_used(
        self,
        aiohttp_server: Callable[..., Awaitable[TestServer]],
        monkeypatch: pytest.MonkeyPatch,
        path: str,
        told: str,
    ) -> None:
        base = await site(aiohttp_server)
        monkeypatch.setattr(sitemaps, "MAX_SIZE", 100_000)
        with pytest.raises(Unreadable, match=told):
            await addresses([f"{base}{path}"])

    async def test_a_server_that_says_nothing(
        self, admin: FakeAdmin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("proxy.cli.sitemaps._TIMEOUT", ClientTimeout(sock_read=0.05))
        admin.will(Silence())
        with pytest.raises(Unreadable, match="timed out"):
            await addresses([f"{admin.url}/sitemap.xml"])

    @pytest.mark.parametrize(
        "word", ["/no/such/file", "/", "http://127.0.0.1:1/a.xml", "http://[/a.xml"]
    )
    async def test_what_is_not_there(self, word: str) -> None:
        with pytest.raises(Unreadable):
            await addresses([word])

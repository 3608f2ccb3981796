"""Both clients and the commands against the real admin listener, in front of a shelf of entries.

What the other tests say of the documents that are exchanged is only as good as this.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.admin import Warmed, WarmOutcome
from proxy.cli import warm
from proxy.client import (
    AsyncPurgeClient,
    LogUnreachable,
    PurgeClient,
    Refused,
    TagCount,
    Unauthorized,
    Unexpected,
)
from tests.admin.conftest import ADMIN, API, READ, Shelf, admin_of, entry
from tests.cli.warmfront import warmfront

ONE, TEN = f"http://{API}/products/1", f"http://{API}/products/10"


@pytest.fixture
def shelf() -> Shelf:
    vary = (("accept", None), ("accept-language", "fr"))
    return Shelf([entry(ONE, "products", "product:1", vary=vary), entry(TEN, "products", "p/é")])


@pytest.fixture
async def url(shelf: Shelf) -> AsyncIterator[str]:
    async with admin_of(shelf) as running:
        yield f"http://127.0.0.1:{running.port}"


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncPurgeClient]:
    async with AsyncPurgeClient(url, ADMIN) as connected:
        yield connected


async def command(url: str, *words: str | Path, token: str = ADMIN) -> tuple[int, str, str]:
    return await asyncio.to_thread(warmfront, *words, "--admin", url, "--token", token)


class TestClients:
    async def test_from_a_thread(self, url: str, shelf: Shelf) -> None:
        with PurgeClient(url, ADMIN) as blocking:
            result = await asyncio.to_thread(blocking.purge, tags="product:1", soft=True, wait=0.5)
        assert result.acknowledged
        assert (result.seq, result.entries) == (1, 1)
        assert (shelf.orders[0].tags, shelf.orders[0].soft) == (("product:1",), True)
        assert shelf.waits == [0.5]

    async def test_every_way_to_purge(self, client: AsyncPurgeClient, shelf: Shelf) -> None:
        await client.purge(
            tags=["a"],
            urls=[ONE],
            prefixes=["/products"],
            hosts=[API],
            pattern="/products/[0-9]+$",
            all=True,
        )
        (order,) = shelf.orders
        assert (order.tags, order.prefixes, order.hosts) == (("a",), ("/products/",), (API,))
        assert ONE in order.urls
        assert (order.pattern, order.everything) == ("/products/[0-9]+$", True)

    async def test_pending(self, client: AsyncPurgeClient, shelf: Shelf) -> None:
        shelf.late = ("b",)
        result = await client.purge(all=True)
        assert (result.acked, result.nodes, result.pending) == (1, 2, ("b",))
        assert not result.acknowledged

    async def test_in_part(self, client: AsyncPurgeClient, shelf: Shelf) -> None:
        result = await client.purge(tags=["a", ""])
        assert [fault.where for fault in result.refused] == ["tags[1]"]
        assert not result.acknowledged
        assert shelf.orders[0].tags == ("a",)

    async def test_preview(self, client: AsyncPurgeClient, shelf: Shelf) -> None:
        found = await client.preview(tags="products")
        assert (found.entries, found.urls, found.complete) == (2, (ONE, TEN), True)
        assert shelf.orders == []

    async def test_looking(self, client: AsyncPurgeClient, shelf: Shelf) -> None:
        (found,) = await client.entries(ONE)
        stored = shelf.entries_[0]
        assert (found.url, found.tags, found.vary) == (ONE, stored.tags, stored.vary)
        assert found.headers == stored.headers
        assert await client.entries(f"http://{API}/none?a=b&c") == ()
        page = await client.tags("product", limit=1)
        assert (page.tags, page.complete) == ((TagCount("product:1", 1),), False)
        assert (await client.tag("p/é")).urls == (TEN,)
        assert (await client.stats())["uptime"] == 1.5

    async def test_warming(self, client: AsyncPurgeClient, shelf: Shelf) -> None:
        shelf.gate = asyncio.Event()
        shelf.fetch = lambda url: Warmed(
            WarmOutcome.STORED if url == ONE else WarmOutcome.NOT_STORED, 200, "no-store"
        )
        job = await client.warm([ONE, TEN, "nonsense"], concurrency=2)
        assert (job.ended, job.total, len(job.refused)) == (False, 2, 1)
        shelf.gate.set()
        while not job.ended:
            job = await client.warm_job(job.id)
        assert (job.state, job.stored, job.not_stored) == ("done", 1, 1)
        assert [(one.url, one.what) for one in job.failures] == [(TEN, "no-store")]

    async def test_a_job_that_is_stopped(self, client: AsyncPurgeClient, shelf: Shelf) -> None:
        shelf.gate = asyncio.Event()
        job = await client.warm([ONE])
        assert (await client.cancel_warm(job.id)).state == "cancelled"

    async def test_refusals(self, url: str, client: AsyncPurgeClient, shelf: Shelf) -> None:
        with pytest.raises(Refused) as refused:
            await client.purge(pattern=".*")
        assert refused.value.problem is not None
        assert [fault.where for fault in refused.value.problem.faults] == ["pattern"]
        shelf.reachable = False
        with pytest.raises(LogUnreachable):
            await client.purge(all=True)
        for token in ("", "not-one-that-is-known", READ):
            async with AsyncPurgeClient(url, token) as stranger:
                with pytest.raises(Unauthorized):
                    await stranger.purge(all=True)

    async def test_another_path(self, url: str) -> None:
        async with AsyncPurgeClient(f"{url}/elsewhere", ADMIN) as lost:
            with pytest.raises((Refused, Unexpected)):
                await lost.stats()


class TestCommands:
    async def test_purge(self, url: str, shelf: Shelf) -> None:
        code, out, _ = await command(url, "purge", "--tag", "product:1", "--wait", "1s")
        assert (code, out) == (0, "purge 1: acknowledged by 2 of 2 processes, 1 entry\n")
        assert shelf.waits == [1.0]
        assert [one.url for one in shelf.entries_] == [TEN]

    async def test_dry_run(self, url: str) -> None:
        _, out, _ = await command(url, "purge", "--prefix", "/products", "--dry-run")
        assert out == f"2 entries would be forgotten\n{ONE}\n{TEN}\n"

    async def test_a_token_of_too_little(self, url: str, shelf: Shelf) -> None:
        code, _, err = await command(url, "purge", "--all", token=READ)
        assert code == 1
        assert "role purge" in err
        assert shelf.orders == []

    async def test_looking(self, url: str) -> None:
        _, out, _ = await command(url, "entries", ONE)
        assert "tags products product:1" in out
        assert "for requests without accept\n" in out
        assert (await command(url, "entries", "products"))[0] == 1
        _, out, _ = await command(url, "tags")
        assert [line.split() for line in out.splitlines()[1:]] == [
            ["p/é", "1"],
            ["product:1", "1"],
            ["products", "2"],
        ]
        assert (await command(url, "tags", "p/é"))[1] == f"1 entry\n{TEN}\n"

    async def test_warm(
        self, url: str, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(warm, "_LOOK_EVERY", 0.001)
        file = tmp_path / "sitemap.xml"
        file.write_text(f"<urlset><url><loc>{ONE}</loc></url><url><loc>{TEN}</loc></url></urlset>")
        code, out, err = await command(url, "warm", file, "--concurrency", "2")
        assert (code, out, err) == (0, "2 addresses: 2 stored, 0 there already\n", "")
        assert sorted(shelf.warmed) == [ONE, TEN]

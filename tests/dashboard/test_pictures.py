"""Pictures of the dashboard in use, light and dark, wide and narrow, where somebody wants them."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
from playwright.async_api import Browser

from tests.apparatus import Reply, Seen
from tests.dashboard.conftest import Site, Visit, answer, visiting

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
    pytest.mark.skipif("WARMFRONT_SCREENSHOTS" not in os.environ, reason="nobody wants pictures"),
]

SECONDS = float(os.environ.get("WARMFRONT_SCREENSHOTS_AFTER", "8"))
WIDTHS = {1280: 900, 390: 844}


@asynccontextmanager
async def customers(site: Site) -> AsyncIterator[None]:
    """Many look at few products, some search, one has a cart."""
    chance = Random(7)  # noqa: S311 - a picture
    ended = asyncio.Event()

    def target() -> str:
        kind = chance.random()
        if kind < 0.8:
            return f"/products/{int(chance.paretovariate(0.8)) % 300}"
        if kind < 0.9:
            return "/products"
        return f"/search?q={chance.randrange(40)}" if kind < 0.97 else "/private/cart"

    async def shop() -> None:
        while not ended.is_set():
            await site.ask(*(target() for _ in range(chance.randrange(3, 12))))
            await asyncio.sleep(0.05)

    site.origin.always = slowly(chance)
    tasks = [asyncio.create_task(shop()) for _ in range(2)]
    try:
        yield
    finally:
        ended.set()
        await asyncio.gather(*tasks)


def slowly(chance: Random) -> Callable[[Seen], Reply]:
    """As an API that takes its time."""

    def reply(seen: Seen) -> Reply:
        ready = asyncio.Event()
        asyncio.get_running_loop().call_later(chance.lognormvariate(-3.2, 0.6), ready.set)
        found = answer(seen)
        found.wait = ready
        return found

    return reply


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_pictures(browser: Browser, site: Site, width: int, *, dark: bool) -> None:
    name = f"{'dark' if dark else 'light'}-{width}"
    size = (width, WIDTHS[width])
    async with customers(site), visiting(browser, site, size=size, dark=dark) as visit:
        await visit.page.goto(site.url)
        await visit.shoot(f"login-{name}")
        await visit.log_in()
        await visit.shown("Live")
        await purge(visit, name)
        await visit.page.get_by_role("link", name="Overview").click()
        await asyncio.sleep(SECONDS)
        await visit.shoot(f"overview-{name}")
        await explain(visit, name)
        await entries(visit, name)
        assert visit.complaints == []


async def purge(visit: Visit, name: str) -> None:
    page = visit.page
    await page.get_by_role("link", name="Purge").click()
    await page.get_by_label("Tags, one a line").fill("product:1\nproduct:2")
    await page.get_by_role("button", name="Preview").click()
    await visit.shown("This would forget")
    await visit.shoot(f"purge-{name}")
    await page.get_by_role("button", name="Purge").click()
    await visit.shown("acknowledged by")


async def explain(visit: Visit, name: str) -> None:
    page = visit.page
    await page.get_by_role("link", name="Explain").click()
    await page.get_by_label("URL, or what").fill(visit.site.stored("/private/cart"))
    await page.get_by_label("Send it", exact=True).check()
    await page.get_by_role("button", name="Explain").click()
    await page.locator("#explain-result .verdict").wait_for()
    await visit.shoot(f"explain-{name}")


async def entries(visit: Visit, name: str) -> None:
    page = visit.page
    await page.get_by_role("link", name="Entries").click()
    await page.get_by_label("URL, or the beginning").fill(visit.site.stored("/products/3"))
    await page.get_by_role("button", name="Look").click()
    await visit.shown("variant is stored.")
    await visit.shoot(f"entries-{name}")

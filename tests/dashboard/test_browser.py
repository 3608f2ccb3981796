"""The dashboard as people use it, in a real browser. Nothing may upset the browser meanwhile."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, expect

from tests.dashboard.conftest import PATIENCE, READ, Site, Visit, visiting

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=PATIENCE)


@asynccontextmanager
async def logged_in(
    browser: Browser, site: Site, view: str = "Overview", **more: int | bool
) -> AsyncIterator[Visit]:
    width = int(more.pop("width", 1280))
    async with visiting(browser, site, size=(width, 800)) as visit:
        await visit.log_in(**({"token": READ} if more.pop("reader", False) else {}))
        await expect(visit.page.get_by_role("status").first).to_have_text("Live")
        await visit.page.get_by_role("link", name=view, exact=True).click()
        yield visit
        assert visit.complaints == []


async def test_a_wrong_token_gets_nowhere_and_a_known_one_in_and_out(
    browser: Browser, site: Site
) -> None:
    async with visiting(browser, site) as visit:
        await visit.log_in("no-such-token-0123456")
        await expect(visit.page.get_by_role("alert")).to_have_text("This token is not known here.")
        assert all("403" in one for one in visit.complaints)
        visit.complaints.clear()
        await visit.log_in()
        await visit.shown("Live")
        (cookie,) = await visit.page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert cookie["path"] == "/dashboard"
        await visit.page.get_by_role("button", name="Log out").click()
        await expect(visit.page.get_by_label("Admin token")).to_be_focused()
        await visit.page.goto(f"{site.url}#purge")
        await expect(visit.page.get_by_label("Admin token")).to_be_visible()
        assert await visit.page.context.cookies() == []
        assert visit.complaints == []


async def test_a_link_from_elsewhere_leads_to_where_one_has_logged_in(
    browser: Browser, site: Site
) -> None:
    async with logged_in(browser, site) as visit:
        await visit.page.goto(f"data:text/html,<a href='{site.url}'>Wiki</a>")
        await visit.page.get_by_role("link", name="Wiki").click()
        await visit.shown("Live")


async def test_figures_move_by_themselves(browser: Browser, site: Site) -> None:
    async with logged_in(browser, site) as visit:
        note = visit.page.locator("#requests-note")
        await expect(note).to_have_text(re.compile(r"[\d,]+ in all"))
        before = int((await note.inner_text()).split()[0].replace(",", ""))
        await site.ask(*["/products/7"] * 12)
        await expect(note).to_have_text(f"{before + 12} in all")
        await expect(visit.page.locator("#hit-ratio")).to_have_text(re.compile(r"^\d+\.\d%$"))
        await expect(visit.page.locator("#urls")).to_contain_text("shop.example/products/7")
        await expect(visit.page.locator("#routes")).to_contain_text("routes[0]")
        await expect(visit.page.locator("#origins")).to_contain_text("up")
        await expect(visit.page.locator("#chart-rates canvas")).to_be_visible()


async def test_a_tag_is_purged_after_a_preview(browser: Browser, site: Site) -> None:
    await site.ask("/products/31", "/products/32")
    async with logged_in(browser, site, "Purge") as visit:
        page = visit.page
        purge = page.get_by_role("button", name="Purge")
        await expect(purge).to_be_disabled()
        await page.get_by_label("Tags, one a line").fill("product:31\n")
        await page.get_by_role("button", name="Preview").click()
        await visit.shown("This would forget 1 entry.", site.stored("/products/31"))
        await purge.click()
        await visit.shown("acknowledged by 1 of 1")
        await expect(purge).to_be_disabled()
        await page.get_by_role("link", name="Overview").click()
        await expect(page.locator("#purges")).to_contain_text("tag product:31")
        await expect(page.locator("#purges")).to_contain_text("1 of 1")
        seen = len(site.origin.seen)
        await site.ask("/products/31", "/products/32")
        assert [one.target for one in site.origin.seen[seen:]] == ["/products/31"]


async def test_another_wish_needs_another_preview(browser: Browser, site: Site) -> None:
    await site.ask("/products/41")
    async with logged_in(browser, site, "Purge") as visit:
        page = visit.page
        await page.get_by_label("Tags, one a line").fill("product:41")
        await page.get_by_role("button", name="Preview").click()
        await visit.shown("This would forget 1 entry.")
        await page.get_by_label("Everything").check()
        await expect(page.get_by_role("button", name="Purge")).to_be_disabled()
        await expect(page.locator("#purge-result")).to_be_empty()


async def test_what_cannot_be_purged_is_told_why(browser: Browser, site: Site) -> None:
    async with logged_in(browser, site, "Purge") as visit:
        page = visit.page
        await page.get_by_label("URLs", exact=True).check()
        await page.get_by_label("URLs, one a line").fill("products/1")
        await page.get_by_role("button", name="Preview").click()
        await visit.shown("not an absolute URL", "write http://host/path")
        assert all("422" in one for one in visit.complaints)
        visit.complaints.clear()


async def test_a_request_is_explained(browser: Browser, site: Site) -> None:
    await site.ask("/private/cart")
    async with logged_in(browser, site, "Explain") as visit:
        page = visit.page
        await page.get_by_label("URL, or what").fill(site.stored("/private/cart"))
        await page.get_by_label("Send it", exact=True).check()
        await page.get_by_role("button", name="Explain").click()
        await expect(page.locator("#explain-result")).to_contain_text("private")
        await expect(page.locator("#explain-result .verdict")).not_to_be_empty()


async def test_entries_are_found_by_url_and_by_tag(browser: Browser, site: Site) -> None:
    await site.ask("/products/51")
    async with logged_in(browser, site, "Entries") as visit:
        page = visit.page
        box = page.get_by_label("URL, or the beginning of a tag")
        await box.fill("product:51")
        await box.press("Enter")
        await visit.shown("1 tag begins so.")
        await page.get_by_role("button", name="product:51").click()
        await page.get_by_role("button", name=site.stored("/products/51")).click()
        await visit.shown("1 variant is stored.")
        await page.get_by_text("Fields", exact=True).click()
        await visit.shown("Content-Type: application/json")
        await page.get_by_role("button", name="Purge this URL").click()
        await expect(page.get_by_label("URLs, one a line")).to_have_value(
            site.stored("/products/51")
        )


async def test_who_may_only_look_cannot_purge(browser: Browser, site: Site) -> None:
    async with logged_in(browser, site, "Purge", reader=True) as visit:
        await visit.shown("Your token only allows looking.")
        await expect(visit.page.get_by_role("button", name="Preview")).to_be_disabled()


async def test_by_keyboard_alone_and_dark_if_one_likes(browser: Browser, site: Site) -> None:
    async with logged_in(browser, site) as visit:
        page = visit.page
        await page.goto(site.url)
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        for _ in range(2):
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Purge")).to_be_visible()
        await expect(page.get_by_role("link", name="Purge", exact=True)).to_have_attribute(
            "aria-current", "page"
        )
        await page.get_by_role("button", name="Switch between dark and light").press("Enter")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.reload()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_on_a_phone_nothing_is_cut_off(browser: Browser, site: Site) -> None:
    await site.ask(f"/search?q={'long' * 40}", f"/search?q={'long' * 40}")
    async with logged_in(browser, site, width=390) as visit:
        await expect(visit.page.locator("#urls")).to_contain_text("/search?q=long")
        for view in ("Overview", "Purge", "Entries"):
            await visit.page.get_by_role("link", name=view, exact=True).click()
            wide = await visit.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 390


async def test_controls_have_names(browser: Browser, site: Site) -> None:
    async with logged_in(browser, site) as visit:
        nameless = await visit.page.evaluate(
            """[...document.querySelectorAll("button, input, textarea, a")]
               .filter((one) => !(one.ariaLabel || one.labels?.length || one.textContent.trim()))
               .map((one) => one.outerHTML)"""
        )
        assert nameless == []

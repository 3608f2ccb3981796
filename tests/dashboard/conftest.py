"""A real proxy with some traffic, and a real browser before its dashboard.

Screenshots go to the folder that WARMFRONT_SCREENSHOTS names, if it does.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from proxy import settings
from proxy.app import App
from tests.apparatus import Origin, Reply, Seen, read_answer

HOST = "shop.example"
ADMIN, READ = "admins-token-0123456", "reader-token-0123456"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 20_000.0
"""Milliseconds: the machine may be busy with other things."""

YAML = """
listen: 127.0.0.1:0
origin: {{url: "http://127.0.0.1:{port}"}}
admin:
  listen: 127.0.0.1:0
  tokens:
    - {{token: {admin}, role: admin, name: olga}}
    - {{token: {read}, role: read, name: rita}}
routes:
  - match: {{path: "/products/{{id}}"}}
    tags: [products, "product:{{id}}"]
  - match: {{path: /products}}
    tags: [products]
  - match: {{path: /search}}
log: {{level: error}}
"""


def answer(seen: Seen) -> Reply:
    if seen.target.startswith("/private"):
        return Reply(headers=[("Cache-Control", "private")], body=b"only for you")
    fields = [("Cache-Control", "s-maxage=60"), ("Content-Type", "application/json")]
    return Reply(headers=fields, body=b'{"path": "%s"}' % seen.target.encode() * 40)


@dataclass
class Site:
    """A running proxy.

    Attributes:
        public: `host:port` of the proxy.
        admin: The same of the admin API.
    """

    app: App
    origin: Origin
    public: str
    admin: str

    @property
    def url(self) -> str:
        return f"http://{self.admin}/dashboard"

    def stored(self, target: str) -> str:
        """A URL as it is stored."""
        return f"http://{HOST}{target}"

    async def ask(self, *targets: str) -> None:
        """Requests of one client, in turn."""
        host, _, port = self.public.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            for target in targets:
                writer.write(f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
                await read_answer(reader, "GET")
        finally:
            writer.close()


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Site]:
    origin = Origin()
    origin.always = answer
    await origin.start()
    file = folder / "warmfront.yaml"
    file.write_text(YAML.format(port=origin.port, admin=ADMIN, read=READ))
    app = App(settings.load(file, {}))
    await app.start()
    try:
        assert app.admin is not None
        yield Site(app, origin, app.addresses[0], f"127.0.0.1:{app.admin.ports[0]}")
    finally:
        await app.stop()
        await origin.stop()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running(tmp_path_factory.mktemp("site")) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium here")
    async with async_playwright() as playwright:
        one = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield one
        finally:
            await one.close()


@dataclass
class Visit:
    """A browser's window before the dashboard of a site.

    Attributes:
        complaints: What the browser's console said, and errors of scripts.
    """

    site: Site
    page: Page
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    async def log_in(self, token: str = ADMIN) -> None:
        await self.page.goto(self.site.url)
        await self.page.get_by_label("Admin token").fill(token)
        await self.page.get_by_role("button", name="Log in").click()

    async def shown(self, *texts: str) -> None:
        """Wait until the page shows all of these."""
        for text in texts:
            await self.page.get_by_text(text).first.wait_for()

    async def shoot(self, name: str) -> None:
        """Keep a picture where somebody wants it."""
        folder = os.environ.get("WARMFRONT_SCREENSHOTS")
        if folder:
            await self.page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)


@asynccontextmanager
async def visiting(
    browser: Browser, site: Site, *, size: tuple[int, int] = (1280, 900), dark: bool = False
) -> AsyncIterator[Visit]:
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
    )
    context.set_default_timeout(PATIENCE)
    try:
        yield Visit(site, await context.new_page())
    finally:
        await context.close()

"""The admin API from outside: no way in from the public listener or a page; no token is told."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from proxy.admin.server import OPERATIONS
from proxy.app import App
from proxy.settings.loading import settings_from
from tests.apparatus import Answer, read_answer
from tests.hostile.strict import StrictOrigin, ok

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "the-token-of-the-operator"  # noqa: S105 - nobody else's
FIELDS = ("Authorization: Bearer {}", "Fastly-Key: {}", "X-API-Key: {}", "X-Auth-Key: {}")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running() -> AsyncIterator[tuple[App, StrictOrigin]]:
    origin = StrictOrigin(lambda request: ok(request.target, b"Cache-Control: s-maxage=60"))
    await origin.start()
    text = f"""
    listen: 127.0.0.1:0
    origin: {{url: "http://127.0.0.1:{origin.port}"}}
    admin: {{listen: "127.0.0.1:0", token: {TOKEN}}}
    """
    app = App(settings_from(text, file="warmfront.yaml", env={}))
    await app.start()
    try:
        yield app, origin
    finally:
        await app.stop(drain=0.0)
        await origin.stop()


def public(app: App) -> int:
    return int(app.addresses[0].rpartition(":")[2])


def private(app: App) -> int:
    assert app.admin is not None
    return app.admin.ports[0]


async def ask(port: int, method: str, target: str, *fields: str, body: bytes = b"") -> Answer:
    host = f"Host: 127.0.0.1:{port}"
    lines = [f"{method} {target} HTTP/1.1", host, *fields, f"Content-Length: {len(body)}", "", ""]
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write("\r\n".join(lines).encode() + body)
        try:
            return await read_answer(reader, method)
        finally:
            writer.close()


async def kept(app: App) -> bool:
    return (await ask(public(app), "GET", "/kept")).hit


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
async def test_the_public_listener_knows_nothing_of_it(
    running: tuple[App, StrictOrigin], operation: object
) -> None:
    """Whatever is asked there, token and all, is the API's affair."""
    app, origin = running
    await kept(app)
    method, path = operation.method, operation.path.partition("{")[0] or "/x"  # type: ignore[attr-defined]
    before = len(origin.seen)
    answer = await ask(public(app), method, path, FIELDS[0].format(TOKEN), "Surrogate-Key: a")
    assert answer.body == path.encode()
    assert [one.target for one in origin.seen[before:]] == [path.encode()]
    assert await kept(app)


FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
BEARER = FIELDS[0].format(TOKEN)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param([FORM], 401, id="a form"),
        pytest.param([FORM, BEARER], 415, id="a form that knows the token"),
        pytest.param([JSON, BEARER, "Origin: http://evil.example"], 403, id="a script elsewhere"),
        pytest.param([JSON, BEARER, "Origin: null"], 403, id="a sandbox"),
        pytest.param([JSON, BEARER, "Sec-Fetch-Site: cross-site"], 403, id="no Origin at all"),
        pytest.param([JSON, f"Cookie: token={TOKEN}"], 401, id="a cookie"),
        pytest.param([JSON, FIELDS[1].format("wrong-token-of-nobody")], 401, id="a wrong token"),
    ],
)
async def test_no_page_can_drive_it(
    running: tuple[App, StrictOrigin], fields: list[str], status: int
) -> None:
    app, _ = running
    await kept(app)
    answer = await ask(private(app), "POST", "/purge", *fields, body=b'{"all": true}')
    assert answer.status in {status, 429 if status == 401 else status}  # after wrong tokens
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert await kept(app)
    preflight = ["Origin: http://evil.example", "Access-Control-Request-Method: POST"]
    refused = await ask(private(app), "OPTIONS", "/purge/all", *preflight)
    assert refused.status == 403


async def test_no_token_is_in_the_log(
    running: tuple[App, StrictOrigin], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    app, _ = running
    caplog.set_level(logging.DEBUG)
    for token in (TOKEN, "wrong-token-of-nobody"):
        for field in FIELDS:
            for port in (public(app), private(app)):
                await ask(port, "GET", f"/stats?token={token}", field.format(token))
                await ask(port, "POST", "/purge", field.format(token), JSON, body=b"{")
    (tmp_path / "log").write_text(caplog.text)
    assert caplog.records
    assert "wrong-token" not in caplog.text
    assert TOKEN not in caplog.text

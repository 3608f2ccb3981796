"""The running application, explained from the command line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from proxy import settings
from proxy.app import App
from proxy.client import AsyncPurgeClient, Explanation
from tests.apparatus import PATIENCE, Answer, Origin, Reply, read_answer
from tests.cli.warmfront import warmfront

TOKEN = "a-token-of-some-length"  # noqa: S105 - of these tests
COOKIES = {"Set-Cookie": "session=sesame", "Cache-Control": "max-age=60"}


@dataclass
class Running:
    """The proxy, its origin, and the ways to ask it."""

    app: App
    origin: Origin
    admin: str

    @property
    def url(self) -> str:
        return f"http://{self.app.addresses[0]}"

    async def explain(self, *words: str) -> tuple[int, str, str]:
        return await asyncio.to_thread(
            warmfront, "explain", *words, "--admin", self.admin, "--token", TOKEN
        )

    async def facts(self, url: str, mode: str = "simulate") -> Explanation:
        async with AsyncPurgeClient(self.admin, TOKEN) as client:
            return await client.explain(url, mode=mode)

    async def get(self, target: str) -> Answer:
        host, _, port = self.app.addresses[0].rpartition(":")
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            answer = await read_answer(reader, "GET")
            writer.close()
            return answer


@asynccontextmanager
async def running(tmp_path: Path, rest: str = "") -> AsyncIterator[Running]:
    origin = Origin()
    await origin.start()
    file = tmp_path / "warmfront.yaml"
    file.write_text(
        f"listen: 127.0.0.1:0\norigin: {{url: http://127.0.0.1:{origin.port}}}\n"
        f"admin: {{listen: 127.0.0.1:0, token: {TOKEN}}}\nlog: {{access: off}}\n{rest}"
    )
    app = App(settings.load(file, {}))
    await app.start()
    assert app.admin is not None
    try:
        yield Running(app, origin, f"http://127.0.0.1:{app.admin.ports[0]}")
    finally:
        await app.stop(drain=0.0)
        await origin.stop()


async def test_why_it_is_not_cached_and_what_helps(tmp_path: Path) -> None:
    routes = "routes: [{match: {path: '/p/{id}'}, set_cookie: strip, tags: ['p:{id}']}]\n"
    async with running(tmp_path) as it:
        it.origin.always = lambda _: Reply(headers=[*COOKIES.items()], body=b"x")
        code, told, _ = await it.explain(f"{it.url}/p/7", "--probe")
        assert code == 0
        assert "Was a miss. Nothing is stored for this URL. [uri-miss]" in told
        assert "not stored. The response sets a cookie" in told
        assert "set_cookie: strip in the route" in told
        assert "sesame" not in told
        file = tmp_path / "warmfront.yaml"
        file.write_text(file.read_text() + routes)
        await it.app.reload(settings.load(file, {}))
        facts = await it.facts(f"{it.url}/p/7", "probe")
        assert (facts["reuse"]["outcome"], facts["advice"]) == ("hit", [])
        assert (facts["route"]["name"], facts["tags"]) == ("routes[0]", ["p:7"])
        assert facts["stored"]["variants"][0]["tier"] == "memory"


async def test_a_past_request_by_its_name(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        it.origin.will(Reply(headers=[*COOKIES.items()], body=b"x"))
        answer = await it.get("/a?token=sesame")
        name = answer.headers["Warmfront-Request-Id"]
        code, told, _ = await it.explain("--id", name)
        assert code == 0
        assert "/a?token=...\n" in told
        assert "sesame" not in told
        assert "not stored. The response sets a cookie" in told
        facts = await it.facts(f"{it.url}/a?token=sesame")
        assert facts["storing"]["why"]["reason"] == "set-cookie"
        code, _, err = await it.explain("--id", "another")
        assert code == 1
        assert "explain.ring" in err


async def test_without_a_ring_nothing_is_kept_and_nobody_told(tmp_path: Path) -> None:
    async with running(tmp_path, "explain: {ring: 0}\n") as it:
        it.origin.will(Reply(headers=[*COOKIES.items()], body=b"x"))
        assert "Warmfront-Request-Id" not in (await it.get("/a")).headers
        assert (await it.explain("--id", "a"))[0] == 1
        facts = await it.facts(f"{it.url}/a")
        assert (facts["reuse"]["outcome"], facts["storing"]["stored"]) == ("miss", None)
        file = tmp_path / "warmfront.yaml"
        file.write_text(file.read_text().replace("ring: 0", "ring: 5"))
        await it.app.reload(settings.load(file, {}))
        name = (await it.get("/a")).headers["Warmfront-Request-Id"]
        assert (await it.explain("--id", name))[0] == 0

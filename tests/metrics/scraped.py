"""A whole proxy on free ports, and what a scrape of it says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from proxy import settings
from proxy.app import App
from tests.apparatus import PATIENCE, Answer, Origin, Reply, read_answer

TOKEN = "0123456789abcdef-read"  # noqa: S105 - it opens nothing else
FRESH = ("Cache-Control", "s-maxage=60")


class Scrape:
    """All samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.families = {one.name: one for one in text_string_to_metric_families(text)}
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for one in self.families.values()
            for sample in one.samples
        }

    @property
    def names(self) -> set[str]:
        """Of all samples, as queries name them."""
        return {name for name, _ in self._values}

    def labels(self, name: str) -> set[str]:
        """The labels that samples of this name have."""
        return {label for known, labels in self._values if known == name for label, _ in labels}

    def value(self, name: str, **labels: str) -> float:
        """One sample; 0 where there is none."""
        return self._values.get((name, frozenset(labels.items())), 0.0)


@dataclass
class Running:
    """A proxy with its admin API."""

    app: App
    origin: Origin

    async def get(self, target: str = "/", *, port: int | None = None, **fields: str) -> Answer:
        """Ask the proxy, or another port of this machine."""
        if port is None:
            port = int(self.app.addresses[0].rpartition(":")[2])
        fields = {"Host": "localhost"} | fields
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode())
                return await read_answer(reader, "GET")
            finally:
                writer.close()

    @property
    def admin_port(self) -> int:
        """Where the admin API listens."""
        assert self.app.admin is not None
        return self.app.admin.ports[0]

    async def asked_for_metrics(self, **fields: str) -> Answer:
        """What GET /metrics is answered with."""
        return await self.get("/metrics", port=self.admin_port, **fields)

    async def scrape(self) -> Scrape:
        """What Prometheus would get."""
        answer = await self.asked_for_metrics(Authorization=f"Bearer {TOKEN}")
        assert answer.status == 200
        return Scrape(answer.body.decode())


@asynccontextmanager
async def running(tmp_path: Path, rest: str = "") -> AsyncIterator[Running]:
    """A proxy in front of an origin whose answers may all be stored."""
    origin = Origin()
    origin.always = lambda _: Reply(headers=[FRESH], body=b"body!")
    await origin.start()
    file = tmp_path / "warmfront.yaml"
    file.write_text(
        f"listen: 127.0.0.1:0\norigin: {{url: 'http://127.0.0.1:{origin.port}'}}\n"
        f"admin: {{listen: '127.0.0.1:0', tokens: [{{token: '{TOKEN}', role: read}}]}}\n{rest}"
    )
    app = App(settings.load(file, {}))
    try:
        await app.start()
        yield Running(app, origin)
    finally:
        await app.stop(drain=0.0)
        await origin.stop()

"""An origin's name whose addresses change while requests go on."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from multidict import CIMultiDict

from proxy.origin import (
    GroupOptions,
    MemberOptions,
    OriginError,
    OriginGroup,
    OriginOptions,
    Origins,
    Outbound,
    dialling,
)
from proxy.rfc9111.reasons import Reason
from tests.origin.conftest import deaf, read

NAME = "api.internal"
NONE = -1.0  # no connection is kept, also where the loop's clock is coarse


class Names:
    """A resolver that answers as it is told, and counts."""

    def __init__(self, real: Callable[..., Awaitable[list[Any]]]) -> None:
        self.addresses: list[str] = []
        self.asked = 0
        self._real = real

    async def getaddrinfo(self, host: str, port: int, **how: Any) -> list[Any]:
        if host != NAME:  # uvloop asks for addresses too
            return await self._real(host, port, **how)
        self.asked += 1
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (address, port)) for address in self.addresses]


class Host:
    """What answers on one address of 127.0.0.0/8 with that address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.accepted = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self, port: int) -> int:
        self._server = await asyncio.start_server(self._serve, self.address, port)
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self._open:
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._open.add(writer)
        body = self.address.encode()
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def named(
    monkeypatch: pytest.MonkeyPatch, *, keepalive: float = 60.0, **options: float
) -> AsyncIterator[tuple[OriginGroup, Names, Host, Host]]:
    """A group whose one URL has a name, and two hosts on one port that may stand behind it."""
    loop = asyncio.get_running_loop()
    names = Names(loop.getaddrinfo)
    monkeypatch.setattr(loop, "getaddrinfo", names.getaddrinfo)
    one, other = Host("127.0.0.1"), Host("127.0.0.2")
    port = await one.start(0)
    await other.start(port)
    groups = Origins(lambda _: None)
    origin = OriginOptions(f"http://{NAME}:{port}", keepalive=keepalive, **options)  # type: ignore[arg-type]
    groups.apply({"": GroupOptions(members=(MemberOptions(origin=origin),))}, drain=0.0)
    try:
        yield groups[""], names, one, other
    finally:
        await groups.close()
        await one.stop()
        await other.stop()


async def get(group: OriginGroup) -> str:
    headers = CIMultiDict({"Host": "api.example"})
    return (await read(await group.fetch(Outbound("GET", "/", headers)))).decode()


def aged(group: OriginGroup) -> None:
    """The time for which addresses are used is over."""
    group.members[0].client._dialler._names._fresh_until = 0.0


async def test_a_name_that_moves_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with named(monkeypatch, keepalive=NONE) as (group, names, one, other):
        names.addresses = [one.address]
        assert [await get(group) for _ in range(3)] == [one.address] * 3
        names.addresses = [other.address]
        aged(group)
        accepted = one.accepted
        assert [await get(group) for _ in range(3)] == [other.address] * 3
        assert one.accepted == accepted


async def test_it_is_not_looked_up_for_every_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with named(monkeypatch, keepalive=NONE) as (group, names, one, _):
        names.addresses = [one.address]
        for _n in range(5):
            await get(group)
        assert names.asked == 1


async def test_all_addresses_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with named(monkeypatch, keepalive=NONE) as (group, names, one, other):
        names.addresses = [one.address, other.address]
        assert [await get(group) for _ in range(4)] == [one.address, other.address] * 2


async def test_an_address_that_is_dead_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async with named(monkeypatch, keepalive=NONE) as (group, names, one, other):
        names.addresses = [one.address, other.address]
        await one.stop()
        assert {await get(group) for _ in range(4)} == {other.address}
        assert group.members[0].failures == 0


async def test_when_none_answers_the_name_is_looked_up_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch, keepalive=NONE) as (group, names, one, other):
        names.addresses = [one.address]
        await get(group)
        await one.stop()
        names.addresses = [other.address]
        with pytest.raises(OriginError):
            await get(group)
        assert await get(group) == other.address


async def test_an_address_that_says_nothing_at_all_is_looked_up_anew_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch, connect_timeout=0.2) as (group, names, _, other):
        port = group.members[0].client.endpoint.port or 0
        with deaf("127.0.0.3", port) as (address, _port):
            names.addresses = [address]
            with pytest.raises(OriginError) as failed:
                await get(group)
            assert failed.value.reason is Reason.ORIGIN_CONNECT_TIMEOUT
            names.addresses = [other.address]
            assert await get(group) == other.address


async def test_a_name_that_is_gone_is_an_unreachable_origin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch) as (group, names, one, _):
        with pytest.raises(OriginError) as failed:
            await get(group)
        assert failed.value.reason is Reason.ORIGIN_UNREACHABLE
        names.addresses = [one.address]
        assert await get(group) == one.address


@pytest.mark.parametrize(
    ("before", "after"),
    [("A", "A"), ("AB", "BA"), ("ABC", "BCA"), ("Aab", "Aab"), ("ABab", "BAab"), ("abAB", "baAB")],
)
def test_only_the_preferred_family_takes_turns(before: str, after: str) -> None:
    """Upper case stands for IPv6."""

    def addresses(names: str) -> list[Any]:
        families = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(families[n.isupper()], socket.SOCK_STREAM, 6, "", (n, 80)) for n in names]

    assert dialling._turned(addresses(before)) == addresses(after)

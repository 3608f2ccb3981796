"""The client for asyncio: an aiohttp session of its own, made at the first call."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from yarl import URL

from proxy.client import calls
from proxy.client.calls import Texts
from proxy.client.errors import Unexpected, Unreachable
from proxy.client.models import (
    Entry,
    Explanation,
    Preview,
    PurgeResult,
    Reloaded,
    Stats,
    TagPage,
    WarmJob,
)
from proxy.client.wire import DEFAULT_URL, KEEP_IDLE, Answer, Call, Server, pauses, server

T = TypeVar("T")

_BROKEN = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)


class Transport:
    """Sends calls from the tasks of one event loop."""

    def __init__(
        self, server: Server, *, timeout: float, retries: int, tls: ssl.SSLContext | None
    ) -> None:
        self._server = server
        self._timeout = timeout
        self._retries = retries
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def send(self, call: Call[T]) -> T:
        """The result of `call`, tried again where the connection broke.

        Raises:
            PurgeError: There is none.
        """
        with self._told():
            for pause in pauses(self._retries):
                try:
                    return call.result(await self._exchange(call))
                except _BROKEN as error:
                    if isinstance(error, TimeoutError):
                        raise
                await asyncio.sleep(pause)
            return call.result(await self._exchange(call))

    async def close(self) -> None:
        """Close all connections."""
        leaving, self._session = self._session, None
        if leaving is not None:
            await leaving.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Whatever stops an exchange, in the words of `errors`."""
        try:
            yield
        except TimeoutError as error:  # aiohttp's are connection errors as well
            raise Unreachable(f"{self._server.origin}: timed out") from error
        except _BROKEN as error:
            raise Unreachable(f"{self._server.origin}: {error}") from error
        except aiohttp.ClientError as error:
            raise Unexpected(f"{self._server.origin} does not speak HTTP") from error

    async def _exchange(self, call: Call[T]) -> Answer:
        if self._session is None:
            connector = aiohttp.TCPConnector(keepalive_timeout=KEEP_IDLE, ssl=self._tls or True)
            self._session = aiohttp.ClientSession(connector=connector)
        silence = aiohttp.ClientTimeout(
            sock_connect=self._timeout, sock_read=self._timeout + call.wait
        )
        async with self._session.request(
            call.method,
            URL(self._server.origin + self._server.prefix + call.target, encoded=True),
            data=call.content,
            headers=self._server.headers_for(call),
            allow_redirects=False,
            timeout=silence,
        ) as response:
            return Answer(response.status, await response.read())


class AsyncPurgeClient:
    """The admin API, for the tasks of one event loop.

    Every method raises a PurgeError where the API does not do what is asked. What can be repeated
    without harm is, where the connection breaks; so is a purge.

    Args:
        url: Where the admin API listens.
        token: Without one, that of the environment (WARMFRONT_ADMIN_TOKEN).
        timeout: Seconds that connecting and each silence of the server may take; a purge that
            waits for other processes gets that time on top.
        retries: Further attempts where the connection breaks.
        tls: For `https`, where the system's certificates will not do.

    Raises:
        ValueError: The URL or the token cannot be used.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str | None = None,
        *,
        timeout: float = 5.0,
        retries: int = 2,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._transport = Transport(server(url, token), timeout=timeout, retries=retries, tls=tls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def purge(
        self,
        *,
        tags: Texts = (),
        urls: Texts = (),
        prefixes: Texts = (),
        hosts: Texts = (),
        pattern: str | None = None,
        all: bool = False,  # noqa: A002 - as the admin API calls it
        soft: bool = False,
        wait: float | None = None,
    ) -> PurgeResult:
        """Forget everything that any of these names.

        Args:
            tags: Tags of stored responses.
            urls: Absolute URLs, each with all its variants.
            prefixes: Paths by whole segments, `/products` or `//api.example/products`.
            hosts: `host[:port]`.
            pattern: A regular expression to search URLs with.
            all: Everything there is.
            soft: Make it stale instead: it still serves while it is refreshed, or on errors.
            wait: Seconds to wait until every process has done so; None as the server is set to.

        Raises:
            PurgeError: It is not known to be purged.
            ValueError: Nothing is named.
        """
        chosen = calls.selection(
            tags=tags, urls=urls, prefixes=prefixes, hosts=hosts, pattern=pattern, all=all
        )
        return await self._transport.send(calls.purge(chosen, soft=soft, wait=wait))

    async def preview(
        self,
        *,
        tags: Texts = (),
        urls: Texts = (),
        prefixes: Texts = (),
        hosts: Texts = (),
        pattern: str | None = None,
        all: bool = False,  # noqa: A002 - as the admin API calls it
    ) -> Preview:
        """What `purge` would reach; nothing is purged."""
        chosen = calls.selection(
            tags=tags, urls=urls, prefixes=prefixes, hosts=hosts, pattern=pattern, all=all
        )
        return await self._transport.send(calls.preview(chosen))

    async def entries(self, url: str) -> tuple[Entry, ...]:
        """All stored variants of `url`; () for none."""
        return await self._transport.send(calls.entries(url))

    async def tags(self, prefix: str = "", limit: int = 100) -> TagPage:
        """The first tags that start with `prefix`, in order of their names."""
        return await self._transport.send(calls.tags(prefix=prefix, limit=limit))

    async def tag(self, name: str, limit: int = 100) -> Preview:
        """What purging this tag would reach, with so many addresses."""
        return await self._transport.send(calls.tag(name, limit=limit))

    async def warm(self, urls: Texts, concurrency: int | None = None) -> WarmJob:
        """Begin to fetch URLs into the cache, so many at a time; see `warm_job` for the end."""
        return await self._transport.send(calls.warm(urls, concurrency=concurrency))

    async def warm_job(self, job_id: str) -> WarmJob:
        """How a warming job stands."""
        return await self._transport.send(calls.warm_job(job_id))

    async def cancel_warm(self, job_id: str) -> WarmJob:
        """Stop a warming job where it stands."""
        return await self._transport.send(calls.warm_job(job_id, cancel=True))

    async def explain(
        self, url: str, *, method: str = "GET", headers: Texts = (), mode: str = "simulate"
    ) -> Explanation:
        """Why a request is answered as it is.

        Args:
            url: Absolute.
            method: Of the request.
            headers: Its fields, as `Name: value`.
            mode: `simulate` sends nothing; `send` does, `probe` twice (both need an admin's token).
        """
        call = calls.explain(url, method=method, headers=headers, mode=mode)
        return await self._transport.send(call)

    async def explain_past(self, request_id: str) -> Explanation:
        """Why a past request was answered as it was; its name is in Warmfront-Request-Id."""
        return await self._transport.send(calls.explain_past(request_id))

    async def reload(self) -> Reloaded:
        """Have the server read its settings anew; where they are wrong the old ones stay."""
        return await self._transport.send(calls.reload())

    async def stats(self) -> Stats:
        """Figures of the process that answers."""
        return await self._transport.send(calls.stats())

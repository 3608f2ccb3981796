"""The client for threads: the standard library's HTTP, connections reused."""

import os
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection, IncompleteRead
from types import TracebackType
from typing import Self, TypeVar

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


class Transport:
    """Sends calls from any number of threads, also in processes forked from this one."""

    def __init__(
        self, server: Server, *, timeout: float, retries: int, tls: ssl.SSLContext | None
    ) -> None:
        self._server = server
        self._timeout = timeout
        self._retries = retries
        self._tls = tls
        self._lock = threading.Lock()
        self._idle: list[tuple[float, HTTPConnection]] = []
        self._process = os.getpid()

    def send(self, call: Call[T]) -> T:
        """The result of `call`, tried again where the connection broke.

        Raises:
            PurgeError: There is none.
        """
        with self._told():
            for pause in pauses(self._retries):
                try:
                    return call.result(self._exchange(call))
                except (ConnectionError, IncompleteRead):
                    self.close()  # what broke one connection has broken those that wait
                time.sleep(pause)
            return call.result(self._exchange(call))

    def close(self) -> None:
        """Close the connections that wait for another call."""
        with self._lock:
            leaving, self._idle = self._idle, []
        for _, connection in leaving:
            connection.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Whatever stops an exchange, in the words of `errors`."""
        try:
            yield
        except (OSError, IncompleteRead) as error:
            raise Unreachable(f"{self._server.origin}: {error}") from error
        except HTTPException as error:
            raise Unexpected(f"{self._server.origin} does not speak HTTP") from error

    def _exchange(self, call: Call[T]) -> Answer:
        connection = self._connection()
        try:
            answer = self._answer(connection, call)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append((time.monotonic(), connection))
        return answer

    def _answer(self, connection: HTTPConnection, call: Call[T]) -> Answer:
        if connection.sock is None:
            connection.connect()
        connection.sock.settimeout(self._timeout + call.wait)
        target = self._server.prefix + call.target
        connection.request(call.method, target, call.content, self._server.headers_for(call))
        response = connection.getresponse()
        return Answer(response.status, response.read())

    def _connection(self) -> HTTPConnection:
        """One that waits, if it can still be alive and is ours; else a new one, not connected."""
        with self._lock:
            if self._process != os.getpid():  # the parent goes on using those it has
                self._idle, self._process = [], os.getpid()
            while self._idle:
                since, connection = self._idle.pop()
                if time.monotonic() - since < KEEP_IDLE:
                    return connection
                connection.close()
        host, port = self._server.address
        if self._server.base.scheme == "https":
            return HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)
        return HTTPConnection(host, port, timeout=self._timeout)


class PurgeClient:
    """The admin API, for any number of threads.

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that wait for another call."""
        self._transport.close()

    def purge(
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
        return self._transport.send(calls.purge(chosen, soft=soft, wait=wait))

    def preview(
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
        return self._transport.send(calls.preview(chosen))

    def entries(self, url: str) -> tuple[Entry, ...]:
        """All stored variants of `url`; () for none."""
        return self._transport.send(calls.entries(url))

    def tags(self, prefix: str = "", limit: int = 100) -> TagPage:
        """The first tags that start with `prefix`, in order of their names."""
        return self._transport.send(calls.tags(prefix=prefix, limit=limit))

    def tag(self, name: str, limit: int = 100) -> Preview:
        """What purging this tag would reach, with so many addresses."""
        return self._transport.send(calls.tag(name, limit=limit))

    def warm(self, urls: Texts, concurrency: int | None = None) -> WarmJob:
        """Begin to fetch URLs into the cache, so many at a time; see `warm_job` for the end."""
        return self._transport.send(calls.warm(urls, concurrency=concurrency))

    def warm_job(self, job_id: str) -> WarmJob:
        """How a warming job stands."""
        return self._transport.send(calls.warm_job(job_id))

    def cancel_warm(self, job_id: str) -> WarmJob:
        """Stop a warming job where it stands."""
        return self._transport.send(calls.warm_job(job_id, cancel=True))

    def explain(
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
        return self._transport.send(call)

    def explain_past(self, request_id: str) -> Explanation:
        """Why a past request was answered as it was; its name is in Warmfront-Request-Id."""
        return self._transport.send(calls.explain_past(request_id))

    def reload(self) -> Reloaded:
        """Have the server read its settings anew; where they are wrong the old ones stay."""
        return self._transport.send(calls.reload())

    def stats(self) -> Stats:
        """Figures of the process that answers."""
        return self._transport.send(calls.stats())

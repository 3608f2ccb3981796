"""An admin API that answers as it is told, on a real socket, and keeps what it was asked."""

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PURGED: dict[str, Any] = {"seq": 812, "acked": 6, "nodes": 6, "pending": [], "entries": None}


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    body: Any = field(default_factory=PURGED.copy)
    status: int = 200
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Cut:
    """Close the connection: at once, or after half of a body."""

    half: bool = False


@dataclass(frozen=True)
class Raw:
    """Bytes as they are."""

    content: bytes


class Silence:
    """Nothing, until the server ends."""


Behaviour = Reply | Cut | Raw | Silence


@dataclass(frozen=True)
class Asked:
    """One request; `connection` tells connections apart."""

    method: str
    target: str
    fields: dict[str, str]
    body: Any
    connection: int


def problem(status: int, title: str, detail: str, *errors: dict[str, str]) -> Reply:
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Reply({**document, "errors": list(errors)}, status)


class FakeAdmin(ThreadingHTTPServer):
    """Answers from `script`, in order; then as to a purge that all have acknowledged."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: deque[Behaviour] = deque()
        self.asked: list[Asked] = []
        self.connections = 0
        self.ending = threading.Event()
        self.news = threading.Event()

    def once_asked(self, patience: float = 30.0) -> list[Asked]:
        """What it was asked, as soon as that is anything: a client in haste may be gone by then."""
        assert self.news.wait(patience)
        return self.asked

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def bodies(self) -> list[Any]:
        return [one.body for one in self.asked]

    def will(self, *behaviours: Behaviour) -> None:
        self.script.extend(behaviours)


class _Handler(BaseHTTPRequestHandler):
    """One connection of FakeAdmin."""

    server: FakeAdmin
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1
        self.number = self.server.connections

    def answer(self) -> None:
        size = int(self.headers.get("Content-Length", "0"))
        body = json.loads(self.rfile.read(size)) if size else None
        fields = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append(Asked(self.command, self.path, fields, body, self.number))
        self.server.news.set()
        self.behave(self.server.script.popleft() if self.server.script else Reply())

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

    def behave(self, behaviour: Behaviour) -> None:
        match behaviour:
            case Reply(body, status, fields):
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.head(status, ("Content-Length", str(len(content))), *fields)
                self.wfile.write(content)
            case Cut(half):
                if half:
                    self.head(200, ("Content-Length", "100"))
                    self.wfile.write(b'{"seq"')
                self.close_connection = True
            case Raw(content):
                self.wfile.write(content)
                self.close_connection = True
            case Silence():
                self.server.ending.wait()
                self.close_connection = True

    def head(self, status: int, *fields: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def fake_admin() -> Iterator[FakeAdmin]:
    with FakeAdmin() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.ending.set()
            server.shutdown()
            thread.join()

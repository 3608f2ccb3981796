"""The access log of a real process: all of it, whatever becomes of those who are to read it."""

import asyncio
import json
import sys
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.running.origin import ScriptedOrigin
from tests.running.processes import running

SECRET = "sesame"  # noqa: S105 - that is the point
PYTHON = (sys.executable, "-m", "proxy")
UNREAD = ("bash", "-c", 'exec "$0" "$@" 2> >(:)', *PYTHON)
"""Standard error is a pipe that nobody reads."""


def yaml(origin: ScriptedOrigin) -> str:
    return (
        "listen: 127.0.0.1:0\nadmin: off\n"
        f"origin: {{url: 'http://127.0.0.1:{origin.port}'}}\n"
        "log: {format: json}\n"
    )


def ask(port: int, number: int) -> list[tuple[str, str]]:
    """Ask for a few things again and again; what each request was called, and called by us."""
    lines = {"Cookie": f"a={SECRET}", "User-Agent": SECRET}
    called = []
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        for index in range(number):
            named = {"X-Request-Id": f"r{index}"} if index % 2 else {}
            target = f"/varied/{index % 3}?size=10&token={SECRET}"
            connection.request("GET", target, headers={**lines, **named})
            response = connection.getresponse()
            response.read()
            assert response.status == 200
            called.append((f"r{index}", response.headers["Warmfront-Request-Id"]))
    return called


async def test_each_request_has_its_line_when_the_process_has_ended(
    origin: ScriptedOrigin, tmp_path: Path
) -> None:
    async with running(tmp_path, yaml(origin)) as proxy:
        called = await asyncio.to_thread(ask, proxy.port, 700)
        proxy.terminate()
        assert await proxy.ended() == 0
    written = proxy.log.read_text()
    lines = [json.loads(line) for line in written.splitlines()]
    answered = [line for line in lines if line["event"] == "answered"]
    # Hits are told together: a line of another request may come before theirs.
    assert Counter(line["request_id"] for line in answered) == Counter(name for _, name in called)
    assert all(name == ours for name, ours in called[1::2])
    outcomes = Counter(line["outcome"] for line in answered)
    assert outcomes == {"miss": origin.requests, "hit": 700 - origin.requests}
    assert sum("ttl=" not in line["cache"] for line in answered) > 600  # they were given again
    assert SECRET not in written


@pytest.mark.parametrize("command", [PYTHON, UNREAD], ids=["disk full", "pipe broken"])
async def test_requests_are_answered_though_nobody_takes_their_lines(
    origin: ScriptedOrigin, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "proxy.log").symlink_to("/dev/full")
    async with running(tmp_path, yaml(origin), command=command) as proxy:
        for _ in range(2):
            await asyncio.to_thread(ask, proxy.port, 600)
        proxy.terminate()
        assert await proxy.ended() == 0

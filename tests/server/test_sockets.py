"""Sockets that are bound, and sockets that are handed down."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.server.sockets import bind, described, handed_down, split_address, take


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:8080", ("::1", 8080)),
        (":8080", (None, 8080)),
    ],
)
def test_addresses(address: str, expected: tuple[str | None, int]) -> None:
    assert split_address(address) == expected


@pytest.mark.parametrize("address", ["", "host", "::1:80", "host:", "host:x", "host:65536", "h:+1"])
def test_no_addresses(address: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|brackets"):
        split_address(address)


class TestBind:
    def test_all_interfaces_have_one_port(self) -> None:
        bound = bind(":0")
        try:
            assert len({sock.getsockname()[1] for sock in bound}) == 1
            assert {sock.getsockname()[0] for sock in bound} <= {"0.0.0.0", "::"}
        finally:
            _close(bound)

    def test_an_address_in_use_is_named(self) -> None:
        bound = bind("127.0.0.1:0")
        address = described(bound)
        try:
            with pytest.raises(OSError, match=f"{address}: Address already in use"):
                bind(address)
        finally:
            _close(bound)

    def test_an_address_that_is_shared(self) -> None:
        bound = bind("127.0.0.1:0", shared=True)
        bound += bind(described(bound), shared=True)
        try:
            assert bound[0].getsockname() == bound[1].getsockname()
            with pytest.raises(OSError, match="in use"):
                bind(described(bound[:1]))
        finally:
            _close(bound)

    def test_a_name_that_nobody_knows(self) -> None:
        with pytest.raises(socket.gaierror):
            bind("no-such-host.invalid:80")

    def test_a_unix_socket_left_behind_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "door"
        _close(bind(f"unix:{path}"))
        assert path.is_socket()
        bound = bind(f"unix:{path}")
        assert described(bound) == f"unix:{path}"
        _close(bound)

    def test_a_file_is_not_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("precious")
        with pytest.raises(OSError, match="in use"):
            bind(f"unix:{path}")
        assert path.read_text() == "precious"


class TestHandedDown:
    def test_to_this_process_once(self) -> None:
        script = (
            "import os; from proxy.server.sockets import *;"
            "os.environ['LISTEN_PID'] = str(os.getpid());"
            "found = handed_down(os.environ);"
            "print(described(found), found[0].get_inheritable(), handed_down(os.environ))"
        )
        (bound,) = bind("127.0.0.1:0")
        with bound:
            told = subprocess.run(
                [sys.executable, "-c", _AS_THIRD.format(bound.fileno()), script],
                env={**os.environ, "LISTEN_FDS": "1"},
                pass_fds=[bound.fileno()],
                capture_output=True,
                text=True,
                check=True,
            )
            assert told.stdout == f"{described([bound])} False []\n"

    @pytest.mark.parametrize("words", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}])
    def test_to_nobody_or_to_somebody_else(self, words: dict[str, str]) -> None:
        assert handed_down(words) == []

    @pytest.mark.parametrize("count", ["", "x", "²", "-1"])
    def test_a_count_that_is_none(self, count: str) -> None:
        assert handed_down({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}) == []


_AS_THIRD = (
    "import os, sys; os.dup2({}, 3); os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
)


class TestTake:
    def test_those_that_listen_there(self, tmp_path: Path) -> None:
        bound = [*bind("127.0.0.1:0"), *bind("[::1]:0"), *bind(f"unix:{tmp_path}/door")]
        everywhere = bind(":0")
        port = everywhere[0].getsockname()[1]
        left = [*bound, *everywhere]
        try:
            assert take(left, "127.0.0.1:1") == []
            for sock in bound:
                assert take(left, described([sock])) == [sock]
            assert take(left, f"127.0.0.1:{port}") == []
            assert take(left, f":{port}") == everywhere
            assert left == []
        finally:
            _close([*bound, *everywhere])

    def test_a_name_stands_for_its_addresses(self) -> None:
        bound = bind("127.0.0.1:0")
        try:
            left = list(bound)
            port = bound[0].getsockname()[1]
            assert take(left, f"no-such-host.invalid:{port}") == []
            assert take(left, f"localhost:{port}") == bound
        finally:
            _close(bound)


def _close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()

"""The sockets of several workers: some of their own, some shared, all of them closed at the end."""

import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.server import sockets
from proxy.settings.loading import settings_from
from proxy.workers.listening import Listening
from tests.redis_server import free_port

WORKERS = 3


class Log:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.warned: list[str] = []

    def warning(self, event: str, **_: Any) -> None:
        self.warned.append(event)


@contextmanager
def listening(text: str, *given: socket.socket) -> Iterator[tuple[Listening, Log]]:
    head = f"origin: {{url: 'http://127.0.0.1:1'}}\nworkers: {WORKERS}\n"
    log: Any = Log()
    made = Listening(settings_from(head + text, file="", env={}), log)
    try:
        made.open(list(given))
        yield made, log
    finally:
        made.close()


def ports(descriptors: tuple[int, ...]) -> set[int]:
    found = set()
    for number in descriptors:
        with socket.socket(fileno=number) as sock:
            found.add(sock.getsockname()[1])
            sock.detach()
    return found


def test_each_has_sockets_of_its_own_on_one_port_for_all() -> None:
    with listening("listen: 127.0.0.1:0\nadmin: {listen: '127.0.0.1:0'}\n") as (made, log):
        (address,) = made.addresses
        port = int(address.rpartition(":")[2])
        assert [ports(own) for own in made.own] == [{port}] * WORKERS
        assert len({*sum(made.own, ())}) == WORKERS
        assert made.admin is not None
        assert made.shared(in_charge=False) == ()
        (admin,) = ports(made.shared(in_charge=True))
        assert made.admin == (f"127.0.0.1:{admin}",)
        assert log.warned == []
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))


def test_a_unix_socket_is_shared_and_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "wf.sock"
    with listening(f"listen: unix:{path}\nadmin: off\n") as (made, _):
        assert made.addresses == [f"unix:{path}"]
        assert made.own == ((),) * WORKERS
        assert len(made.shared(in_charge=False)) == 1
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert made.admin is None
    assert not path.exists()


def test_sockets_that_were_handed_down_are_taken_and_others_told_of() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as given,
        socket.create_server(("127.0.0.1", 0)) as surplus,
    ):
        address = f"127.0.0.1:{given.getsockname()[1]}"
        with listening(f"listen: {address}\nadmin: off\n", given, surplus) as (made, log):
            assert made.shared(in_charge=False) == (given.fileno(),)
            assert made.own == ((),) * WORKERS
        (warning,) = log.warned
        assert "sockets were handed down" in warning


def test_a_port_in_use_is_an_error_unless_it_may_be_shared() -> None:
    port = free_port()
    (other,) = sockets.bind(f"127.0.0.1:{port}", shared=True)
    with other:
        with pytest.raises(OSError, match=str(port)), listening(f"listen: 127.0.0.1:{port}\n"):
            pass
        text = f"listen: 127.0.0.1:{port}\nreuse_port: on\nadmin: off\n"
        with listening(text) as (made, _):
            assert ports(made.own[0]) == {port}

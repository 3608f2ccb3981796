"""The listening sockets of all workers: they outlive every one of them."""

import socket
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import structlog

from proxy.server import sockets
from proxy.settings import ListenAddress, Settings, TcpAddress, UnixAddress


class Listening:
    """Where the workers accept, and from which sockets.

    Args:
        settings: Of all workers; their number counts, too.
        log: Is told what is amiss and no reason to give up.

    Attributes:
        addresses: Where the workers answer clients.
        admin: Where one of them answers the admin API; None where none does.
    """

    def __init__(self, settings: Settings, log: structlog.stdlib.BoundLogger) -> None:
        self.addresses: list[str] = []
        self.admin: tuple[str, ...] | None = None
        self._settings = settings
        self._log = log
        self._own: list[list[socket.socket]] = [[] for _ in range(settings.workers)]
        self._shared: list[socket.socket] = []  # by all, since they cannot be had twice
        self._admins: list[socket.socket] = []
        self._paths: list[Path] = []

    def open(self, given: list[socket.socket]) -> None:
        """Bind all addresses, but for what is among the sockets that were handed down.

        Raises:
            OSError: An address cannot be bound.
        """
        settings = self._settings
        for address in settings.listen:
            self.addresses.append(self._listen_on(address, given))
        if settings.admin is not None:
            try:
                self.admin = tuple(self._admin_on(one, given) for one in settings.admin.listen)
            except OSError as error:
                if settings.admin.listen_given:
                    raise
                problem = str(error)
                self._log.warning("the admin API is not started; set admin.listen", problem=problem)
        if given:
            self._log.warning(
                "sockets were handed down that nothing is to listen on; name them in `listen`",
                addresses=sockets.described(given),
            )

    def close(self) -> None:
        """Nobody listens any more, and Unix sockets are gone."""
        for sock in chain(*self._own, self._shared, self._admins):
            sock.close()
        for path in self._paths:
            path.unlink(missing_ok=True)

    @property
    def own(self) -> tuple[tuple[int, ...], ...]:
        """For each worker the descriptors that it accepts from alone."""
        return tuple(_descriptors(one) for one in self._own)

    def shared(self, *, in_charge: bool) -> tuple[int, ...]:
        """Those of sockets that several accept from, or one that is in charge of the admin API."""
        return _descriptors([*self._shared, *(self._admins if in_charge else ())])

    def _listen_on(self, address: ListenAddress, given: list[socket.socket]) -> str:
        """Have sockets for clients there; the address with the port that it got."""
        found = sockets.take(given, str(address))
        if found or isinstance(address, UnixAddress):
            self._shared += found or self._bound(address)
            return str(address)
        if not self._settings.reuse_port:
            probes = sockets.bind(str(address))  # nobody else may be there
            address = _with_port(address, probes[0])
            for probe in probes:
                probe.close()
        for own in self._own:
            bound = sockets.bind(str(address), shared=True)
            address = _with_port(address, bound[0])
            own.extend(bound)
        return str(address)

    def _admin_on(self, address: ListenAddress, given: list[socket.socket]) -> str:
        """Have sockets for the admin API there; the address with the port that it got."""
        found = sockets.take(given, str(address)) or self._bound(address)
        self._admins += found
        return str(address if isinstance(address, UnixAddress) else _with_port(address, found[0]))

    def _bound(self, address: ListenAddress) -> list[socket.socket]:
        found = sockets.bind(str(address))
        if isinstance(address, UnixAddress):
            self._paths.append(Path(address.path))
        return found


def _with_port(address: TcpAddress, sock: socket.socket) -> TcpAddress:
    """The port that the system picked, where it was left to it."""
    return TcpAddress(address.host, address.port or sock.getsockname()[1])


def _descriptors(of: Iterable[socket.socket]) -> tuple[int, ...]:
    return tuple(sock.fileno() for sock in of)

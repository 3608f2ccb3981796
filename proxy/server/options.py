"""What the operator may set about the public listener."""

from dataclasses import dataclass

from proxy.routes import HostPattern


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Limits and times of the listener; bytes and seconds. None: no limit.

    Attributes:
        header_timeout: From the first byte of a head (or from the accept) to its last.
        body_idle: Between two pieces of a request body that somebody waits for.
        body_rate: Bytes a second of such a body, reckoned beyond `body_idle` of waiting in all:
            whoever sends a byte now and then is as idle as one who sends none. 0 for any.
        body_size: Of one request; a larger one is answered 413.
        keepalive_timeout: Between an answer and the next request.
        send_timeout: Within which a client that is being sent to must take something.
        unsent: Bytes of answers that are held for slow clients; beyond, the slowest are cut.
        request_line: Longest request line; 414 beyond.
        header_size: All field lines of a head together; 431 beyond.
        headers: Field lines in a head; 431 beyond.
        connections: Open connections; one more is answered 503.
        drain_idle: That an idle connection gets for another request once it is to close.
        connections_per_client: Of one IPv4 address or IPv6 /64; one more is answered 429.
        requests_per_connection: The last of them is answered with `Connection: close`.
        allowed_hosts: Requests for other hosts are answered 421; empty for all.
    """

    header_timeout: float = 10.0
    body_idle: float = 30.0
    body_rate: int = 500
    body_size: int | None = None
    keepalive_timeout: float = 75.0
    send_timeout: float = 60.0
    unsent: int | None = None
    request_line: int = 8192
    header_size: int = 32768
    headers: int = 200
    connections: int = 10000
    drain_idle: float = 1.0
    connections_per_client: int | None = None
    requests_per_connection: int | None = None
    allowed_hosts: tuple[HostPattern, ...] = ()

    def serves(self, authority: str) -> bool:
        """Whether requests for `host[:port]` are let in."""
        hosts = self.allowed_hosts
        return not hosts or any(host.matches(authority) for host in hosts)

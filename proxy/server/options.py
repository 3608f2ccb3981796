"""What the operator may set about the public listener."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Limits and times of the listener; bytes and seconds.

    Attributes:
        header_timeout: From the first byte of a head (or from the accept) to its last.
        body_idle: Between two pieces of a request body that somebody waits for.
        keepalive_timeout: Between an answer and the next request.
        send_timeout: Within which a client that is being sent to must take something.
        request_line: Longest request line.
        header_size: All field lines of a head together.
        headers: Field lines in a head.
        connections: Open connections; one more is answered 503.
        drain_idle: That an idle connection gets for another request once it is to close.
    """

    header_timeout: float = 10.0
    body_idle: float = 30.0
    keepalive_timeout: float = 75.0
    send_timeout: float = 60.0
    request_line: int = 8192
    header_size: int = 32768
    headers: int = 200
    connections: int = 10000
    drain_idle: float = 1.0

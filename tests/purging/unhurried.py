"""A purge log in Redis for tests: what is too long ago is said by a clock that jumps, not awaited.

So no test waits for a lag to pass, and a machine that stands still for a moment changes nothing.
"""

from dataclasses import dataclass

from proxy.events import Event
from proxy.purging import TAIL_TIMEOUT, RedisPurgeLog, Timing
from proxy.purging.timing import steady
from proxy.redis_link import Client, connect
from tests.redis_server import patient


@dataclass(frozen=True, slots=True)
class Unhurried(Timing):
    """Beats often, and bears a lag that no test takes.

    Attributes:
        answer: Seconds to wait for an answer of Redis; short where none is to come.
    """

    max_lag: float = 60.0
    answer: float = 20.0

    @property
    def heartbeat(self) -> float:
        return 0.1

    @property
    def patience(self) -> float:
        return self.answer


TIMING = Unhurried()
IMPATIENT = Unhurried(answer=0.1)


class Watch:
    """The clock of all logs of a test: it goes on by itself, and jumps when told to."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return steady() + self.ahead

    def outlast_trust(self) -> None:
        """Go on for longer than anything is trusted, and not for so long that it is forgotten."""
        self.ahead += (TIMING.max_lag + TIMING.expiry) / 2

    def outlast_all(self) -> None:
        """Go on until who was silent all the time is forgotten, and a new log is settled."""
        self.ahead += TIMING.expiry


async def settle(log: RedisPurgeLog) -> None:
    """Let the log be old enough to promise something."""
    await _grow_old(log._commands._client, log._tail_client, log._stream.partition(":{")[0])


async def settle_at(url: str) -> None:
    """The same for processes that are yet to start, with nothing of their own about Redis."""
    options = patient(url)
    client, tail = connect(options), connect(options, socket_timeout=TAIL_TIMEOUT)
    try:
        await _grow_old(client, tail, options.prefix.rstrip(":"))
    finally:
        await client.aclose()
        await tail.aclose()


async def _grow_old(client: Client, tail: Client, namespace: str) -> None:
    """One whose clock goes faster has been there for long enough, says so, and leaves."""
    told: list[Event] = []
    watch = Watch()
    elder = RedisPurgeLog(
        client, tail, emit=told.append, namespace=namespace, timing=TIMING, clock=watch
    )
    await elder._catch_up()
    watch.outlast_all()
    await elder._catch_up()
    await elder.close()
    assert told == []

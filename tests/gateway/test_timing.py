import pytest

from proxy.events import Repeated
from proxy.gateway.timing import server_timing
from proxy.rfc9111.cache_status import Outcome
from proxy.rfc9111.policy import Policy
from proxy.routes import PathPattern, Route
from tests.apparatus import Reply, proxied

FRESH = ("Cache-Control", "s-maxage=60")


@pytest.mark.parametrize(
    ("origin_time", "duration", "value"),
    [
        (None, 0.0, "cache;desc=miss, total;dur=0"),
        (None, -1.0, "cache;desc=miss, total;dur=0"),
        (0.0123456, 0.0129, "cache;desc=miss, origin;dur=12.3, total;dur=12.9"),
        (1.2344, 12.3456, "cache;desc=miss, origin;dur=1234, total;dur=12346"),
        (0.000123, 0.9994, "cache;desc=miss, origin;dur=0.123, total;dur=999"),
    ],
)
def test_milliseconds(origin_time: float | None, duration: float, value: str) -> None:
    assert server_timing(Outcome.MISS, origin_time, duration) == value


async def test_it_is_told_where_the_route_asks_for_it() -> None:
    timed = Route(name="timed", path=PathPattern("/timed"), policy=Policy(), server_timing=True)
    async with proxied(routes=[timed]) as proxy:
        proxy.origin.always = lambda _: Reply(headers=[FRESH, ("Server-Timing", "db;dur=5")])
        miss, hit, plain = [await proxy.get(path) for path in ("/timed", "/timed", "/plain")]
    assert miss.headers.getall("Server-Timing") == [
        "db;dur=5",
        "cache;desc=miss, origin;dur=0, total;dur=0",
    ]
    assert hit.headers.getall("Server-Timing") == ["db;dur=5", "cache;desc=hit, total;dur=0"]
    assert plain.headers.getall("Server-Timing") == ["db;dur=5"]


async def test_such_answers_are_timed_each_time() -> None:
    timed = Route(name="timed", path=PathPattern("/timed"), policy=Policy(), server_timing=True)
    async with proxied(routes=[timed]) as proxy:
        proxy.origin.always = lambda _: Reply(headers=[FRESH])
        seen = [(await proxy.get("/timed")).headers["Server-Timing"] for _ in range(4)]
        proxy.gateway.tell()
        events = [event for event in proxy.events if isinstance(event, Repeated)]
    assert len(seen) == 4
    assert events == []

"""Stored responses with a part or the whole of a representation, and dates that are far apart."""

from multidict import CIMultiDict

from proxy.rfc9111.stored import ByteRange, Freshness, LifetimeSource, StoredResponse, packed

NOW = 784_111_900.0
DATE = "Sun, 06 Nov 1994 08:51:37 GMT"
TWO_MINUTES_EARLIER = "Sun, 06 Nov 1994 08:49:37 GMT"
TEN_SECONDS_EARLIER = "Sun, 06 Nov 1994 08:51:27 GMT"
STRONG_DATE = {"Date": DATE, "Last-Modified": TWO_MINUTES_EARLIER}


def stored_response(
    headers: dict[str, str] | None = None, *, part: ByteRange | None = None, status: int = 200
) -> StoredResponse:
    return StoredResponse(
        status=status if part is None else 206,
        reason="OK",
        **packed(CIMultiDict(headers or {})),
        request_time=NOW,
        freshness=Freshness(
            lifetime=60, source=LifetimeSource.MAX_AGE, initial_age=0, response_time=NOW
        ),
        variant=(),
        date=NOW,
        part=part,
    )

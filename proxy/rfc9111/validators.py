"""What tells one representation from another byte for byte (RFC 9110 §8.8.1, §8.8.2)."""

from proxy.rfc9111.dates import parse_http_date
from proxy.rfc9111.etags import strong_match
from proxy.rfc9111.messages import Headers, field_value

STRONG_DATE_GAP = 60.0
"""Seconds by which Last-Modified must precede Date to be a strong validator (§8.8.2.2).

One second is enough where both come from the same clock. An application often takes the former
from a database on another machine, so leave room for clocks that disagree.
"""


def strong_validator(headers: Headers, *, now: float) -> str | None:
    """The field value of the strong entity tag, else of a strong Last-Modified (§8.8.1)."""
    etag = field_value(headers, "ETag")
    if etag is not None:
        return etag if strong_match(etag, etag) else None
    if strong_last_modified(headers, now=now) is None:
        return None
    return field_value(headers, "Last-Modified")


def strong_last_modified(headers: Headers, *, now: float) -> float | None:
    """Last-Modified in seconds, where it is a strong validator (§8.8.2.2)."""
    value, sent = field_value(headers, "Last-Modified"), field_value(headers, "Date")
    if value is None or sent is None:
        return None
    modified, date = parse_http_date(value, now=now), parse_http_date(sent, now=now)
    if modified is None or date is None or date - modified < STRONG_DATE_GAP:
        return None
    return modified

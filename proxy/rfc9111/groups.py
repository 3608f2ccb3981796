"""Cache groups: stored responses of one origin that are invalidated together (RFC 9875)."""

from typing import cast

import http_sf

from proxy.rfc9111.invalidation import is_unsafe
from proxy.rfc9111.messages import Headers, Request, Response, field_value


def parse_groups(headers: Headers) -> tuple[str, ...]:
    """The groups that a response belongs to, in order of first mention (RFC 9875 §2)."""
    return _strings(headers, "Cache-Groups")


def invalidated_groups(request: Request, response: Response) -> tuple[str, ...]:
    """The groups of the request's origin to invalidate (RFC 9875 §3).

    Safe methods have none to name. The status does not matter: even a request that failed may
    have changed something on its way, and here the origin says that it did.
    """
    return _strings(response.headers, "Cache-Group-Invalidation") if is_unsafe(request) else ()


def _strings(headers: Headers, name: str) -> tuple[str, ...]:
    """A List of Strings; () unless every member is one, as for all structured fields."""
    value = field_value(headers, name)
    if value is None:
        return ()
    try:
        parsed = http_sf.parse(value.encode("latin-1"), tltype="list")
    except ValueError:
        return ()
    members = cast("list[tuple[object, object]]", parsed)
    strings = [member for member, _parameters in members if isinstance(member, str)]
    return tuple(dict.fromkeys(strings)) if len(strings) == len(members) else ()

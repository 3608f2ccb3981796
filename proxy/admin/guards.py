"""What keeps browsers out, before anybody looks at a token.

A page on the web can make a visitor's browser send requests to this machine. It cannot add a
token, but nothing of it should get that far:

    Host               a foreign name that was made to resolve to this machine (DNS rebinding) is
                       refused; the cache verbs are exempt, as their Host names what to purge
    Origin             must be this very listener: there is no CORS, and no preflight is answered
    Sec-Fetch-Site     must not say that another site asks; but a link may lead to a page, which the
                       other site does not get to see and which does nothing
"""

from collections.abc import Collection
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

from proxy.admin.problems import Fault, Refusal
from proxy.exchange import Incoming
from proxy.rfc9111.messages import Request

CACHE_VERBS: Final = frozenset({"PURGE", "PURGEKEYS", "PURGETAGS", "BAN"})
"""Methods whose Host is that of a stored resource."""

_OWN_SITE: Final = frozenset({"same-origin", "none"})

PAGES: Final = frozenset({"/", "/dashboard"})
"""Where links may lead."""


def check(incoming: Incoming, allowed_hosts: Collection[str]) -> None:
    """Raise Refusal for what a foreign page may have sent."""
    _check_site(incoming)
    request = incoming.request
    if request.method not in CACHE_VERBS or "Origin" in request.headers:
        _check_host(incoming, allowed_hosts)


def _check_site(incoming: Incoming) -> None:
    request = incoming.request
    if not is_own(request) and not _follows_link(request):
        raise _forbidden("Sec-Fetch-Site", "another site asks")
    for origin in request.headers.getall("Origin", ()):
        if origin.lower().partition("://")[2] != request.authority:
            raise _forbidden("Origin", "it is not this listener")


def is_own(request: Request) -> bool:
    """Whether no browser says that another site asks."""
    sites = request.headers.getall("Sec-Fetch-Site", ())
    return all(site.lower() in _OWN_SITE for site in sites)


def _follows_link(request: Request) -> bool:
    """Whether a browser goes to one of our pages, in place of the one that it shows."""
    headers = request.headers
    return (
        request.method == "GET"
        and request.target in PAGES
        and headers.getall("Sec-Fetch-Mode", ()) == ["navigate"]
        and headers.getall("Sec-Fetch-Dest", ()) == ["document"]
    )


def _check_host(incoming: Incoming, allowed_hosts: Collection[str]) -> None:
    """Only clients on this machine can be fooled about the name of a loopback address."""
    if not is_loopback(incoming.client.address) or "*" in allowed_hosts:
        return
    name = host_name(incoming.request.authority)
    if not (name in allowed_hosts or name == "localhost" or name.endswith(".localhost")) and (
        not is_address(name)
    ):
        fault = Fault(
            where="header Host",
            what="a name that nobody said this listener has",
            how="use a loopback name or an IP address, or add the name to admin.allowed_hosts",
        )
        raise Refusal(HTTPStatus.FORBIDDEN, "The admin API does not go by this name.", [fault])


def host_name(authority: str) -> str:
    """The host of a normalised `host[:port]`, an IPv6 address without brackets."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0].removesuffix(".")


def is_address(name: str) -> bool:
    """Whether it is an IP address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Whether it is an IP address of this machine alone; a Unix socket's "" is none."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _forbidden(field: str, what: str) -> Refusal:
    fault = Fault(
        where=f"header {field}",
        what=what,
        how="call the admin API from a program, not from a page of another site",
    )
    return Refusal(HTTPStatus.FORBIDDEN, "Pages of other sites may not use the admin API.", [fault])

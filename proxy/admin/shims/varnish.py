"""The methods of Varnish configurations, as xkey, FOSHttpCache and API Platform send them.

    PURGE /path        Host: api.example              that resource, in every variant
    PURGE http://...                                  the same
    PURGE /            xkey, xkey-purge: a b          tags; also in Surrogate-Key, X-Cache-Tags, ...
                       xkey-softpurge: a b            the same, softly
                       Clear-Cache: true              everything (Symfony's cache)
    PURGEKEYS /        xkey-purge, xkey-softpurge     tags
    PURGETAGS /        X-Cache-Tags: a,b              tags
    BAN /              X-Cache-Tags: (^|,)(a|b)(,|$)  tags; also ApiPlatform-Ban-Regex
                       X-Host, X-Url                  patterns that are searched for in both

A purge has scopes, not conditions: a ban of tags that also narrows the host, or one that narrows
the content type, forgets more than was asked for, never less.
"""

import re
from collections.abc import Iterable
from typing import Final

from proxy.admin import guards, patterns
from proxy.admin.control import PurgeReceipt
from proxy.admin.items import Wanted
from proxy.admin.operations import ANY_PATH, Ask, Operation
from proxy.admin.patterns import InvalidPattern
from proxy.admin.problems import Fault, bad_request
from proxy.admin.shims.common import is_soft, missing, purged, tags_in
from proxy.exchange import Outgoing
from proxy.rfc9111.messages import Headers
from proxy.tags import TAG_FIELDS

_HARD: Final = ("xkey-purge", *TAG_FIELDS)
_SOFT: Final = ("xkey-softpurge",)
_BAN_TAGS: Final = ("X-Cache-Tags", "ApiPlatform-Ban-Regex")
_TAG_LIST: Final = re.compile(
    r"(?:\(\^\|\\?,\))?"  # (^|,)
    r"(?:\((?P<group>(?:\\.|[^()\\])*)\)|(?P<bare>(?:\\.|[^()\\])*))"
    r"(?:\(\\?,\|\$\)|\(\$\|\\?,\)|\(,\.\+\)\?\$)?",  # (,|$), ($|\,), (,.+)?$
    re.DOTALL,
)
_ANYTHING: Final = frozenset({"", ".*"})


async def purge(ask: Ask) -> Outgoing:
    """PURGE."""
    headers = ask.incoming.request.headers
    hard, soft = tags_in(headers, _HARD), tags_in(headers, _SOFT)
    if hard or soft:
        return purged(await _purge_tags(ask, hard, soft))
    _refuse_empty(headers, (*_HARD, *_SOFT))
    if "Clear-Cache" in headers:
        return purged(await ask.desk.purge_exactly(Wanted(everything=True), ask.caller))
    wanted = Wanted(urls=[_named_url(ask)], soft=is_soft(headers))
    return purged(await ask.desk.purge_exactly(wanted, ask.caller))


async def purge_keys(ask: Ask) -> Outgoing:
    """PURGEKEYS."""
    headers = ask.incoming.request.headers
    hard, soft = tags_in(headers, ("xkey-purge", "xkey")), tags_in(headers, _SOFT)
    if not hard and not soft:
        raise missing("header xkey-purge", "send xkey-purge or xkey-softpurge")
    return purged(await _purge_tags(ask, hard, soft))


async def purge_tags(ask: Ask) -> Outgoing:
    """PURGETAGS."""
    tags = tags_in(ask.incoming.request.headers, TAG_FIELDS)
    if not tags:
        raise missing("header X-Cache-Tags", "send tags, separated by commas")
    return purged(await _purge_tags(ask, tags, []))


async def ban(ask: Ask) -> Outgoing:
    """BAN."""
    try:
        wanted = _banned(ask.incoming.request.headers)
    except InvalidPattern as error:
        fault = Fault(where="header", what=error.what, how=error.how)
        raise bad_request("This ban is not accepted.", fault) from None
    return purged(await ask.desk.purge_exactly(wanted, ask.caller))


async def _purge_tags(ask: Ask, hard: list[str], soft: list[str]) -> PurgeReceipt:
    """Both kinds may stand in one request; the later receipt covers the earlier purge."""
    softly = Wanted(tags=soft, soft=True)
    if not hard:
        return await ask.desk.purge_exactly(softly, ask.caller)
    if soft:
        await ask.desk.purge_exactly(softly, ask.caller, wait=0)
    return await ask.desk.purge_exactly(Wanted(tags=hard), ask.caller)


def _refuse_empty(headers: Headers, fields: Iterable[str]) -> None:
    """A field for tags without a tag does not mean the path that it was sent to."""
    for field in fields:
        if field in headers:
            raise missing(f"header {field}", "name tags in it, or leave it out")


def _named_url(ask: Ask) -> str:
    """The target URI, unless it is the admin listener's own: nothing is stored under that."""
    request = ask.incoming.request
    name = guards.host_name(request.authority)
    port = request.authority.removesuffix("]").rpartition(":")[2]
    own = name in {"localhost", *ask.desk.options.allowed_hosts} or guards.is_address(name)
    if not name or (own and port in map(str, ask.desk.ports)):
        fault = Fault(
            where="header Host",
            what="it names the admin listener",
            how="send the Host of the API, or the whole URL as request target",
        )
        raise bad_request("This does not name a resource of the API.", fault)
    return request.uri


def _banned(headers: Headers) -> Wanted:
    """What a ban means; raises InvalidPattern."""
    tags = [
        tag
        for field in _BAN_TAGS
        for line in headers.getall(field, ())
        if line not in _ANYTHING
        for tag in _tags_of(line)
    ]
    if tags:
        return Wanted(tags=tags)
    if "X-Host" not in headers and "X-Url" not in headers:
        raise InvalidPattern("nothing to ban", "send X-Cache-Tags, X-Host or X-Url")
    host, path = headers.get("X-Host", ".*"), headers.get("X-Url", ".*")
    if host in _ANYTHING and path in _ANYTHING:
        return Wanted(everything=True)
    for one in (host, path):
        patterns.check(one, matches_all=True)
    return Wanted(composed=patterns.of_host_and_path(host, path))


def _tags_of(expression: str) -> tuple[str, ...]:
    found = _TAG_LIST.fullmatch(expression)
    if found is None:
        raise InvalidPattern("no list of tags", "send (^|,)(a|b)(,|$)")
    return patterns.literals(found["group"] if found["bare"] is None else found["bare"])


OPERATIONS: Final = (
    Operation("PURGE", ANY_PATH, purge),
    Operation("PURGEKEYS", ANY_PATH, purge_keys),
    Operation("PURGETAGS", ANY_PATH, purge_tags),
    Operation("BAN", ANY_PATH, ban),
)

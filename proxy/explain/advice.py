"""For each reason: the clause that it rests on, and what would have to change for a hit."""

import re
from typing import Final

from proxy.explain.facts import Why
from proxy.rfc9111.reasons import Reason

_CLAUSE: Final = re.compile(r"\(([^()]*(?:§|RFC )[^()]*)\)")

_ADVICE: Final = {
    Reason.FRESH: "",
    Reason.VALIDATED: (
        "Nothing, if a 304 is cheap enough. A longer s-maxage, or stale_while_revalidate in the "
        "route, would save the question."
    ),
    Reason.STALE_WHILE_REVALIDATE: "",
    Reason.STALE_IF_ERROR: "Mend the origin: it failed, and this stood in for it.",
    Reason.GRACE: "Mend the origin: it cannot be reached, and this stood in for it.",
    Reason.REQUEST_MAX_STALE: "",
    Reason.URI_MISS: (
        "Ask again: the first request for a URL has to go to the origin. If it stays a miss, the "
        "answer is not stored (probe tells why), was purged, or had to make room (store.memory)."
    ),
    Reason.VARY_MISS: (
        "Ask again with the same fields. To have fewer variants, name less in Vary, or make the "
        "field the same in a proxy in front."
    ),
    Reason.EXPIRED: (
        "A longer s-maxage or max-age from the origin, ttl in the route to overrule it, or "
        "stale_while_revalidate to answer stale while a refresh runs."
    ),
    Reason.NO_CACHE: (
        "Send no-cache only where each use has to be validated; with an ETag or Last-Modified "
        "that costs a 304, not a body. Without either the response is not stored at all."
    ),
    Reason.REQUEST_NO_CACHE: "client_directives: ignore in the route, or no no-cache from clients.",
    Reason.REQUEST_MAX_AGE: "client_directives: ignore in the route, or a larger max-age.",
    Reason.REQUEST_MIN_FRESH: "client_directives: ignore in the route, or ask for less.",
    Reason.CREDENTIALS: (
        "If all users get the same, have the origin say so: Cache-Control: public with a lifetime, "
        "or ttl in the route. Else send neither Cookie nor Authorization."
    ),
    Reason.RANGE_NOT_HELD: "Ask for the whole once: every range is then answered from it.",
    Reason.METHOD: "Only GET and HEAD are answered from the store.",
    Reason.CACHE_OFF: "Take cache: off out of the route, or put a route that caches before it.",
    Reason.REQUEST_BODY: "Send what the body says in the query, or in the path.",
    Reason.REQUEST_PRECONDITION: (
        "Leave out If-Match and If-Unmodified-Since; for reading there are If-None-Match and "
        "If-Modified-Since."
    ),
    Reason.REQUEST_OVERRIDE: (
        "Leave the field out. If a proxy in front sets it for every request, name it in "
        "key.headers of the route."
    ),
    Reason.REQUEST_WITHHOLDS: "List in Connection only fields that are about the connection.",
    Reason.REQUEST_WITHOUT_HOST: "Send Host.",
    Reason.MAX_FORWARDS: "Leave out Max-Forwards.",
    Reason.REQUEST_UPGRADE: "Ask without Upgrade.",
    Reason.PURGES_UNKNOWN: (
        "Bring Redis back: until the purge log can be read, nothing is used unasked. "
        "purge.serve_blind says for how long it may be."
    ),
    Reason.ONLY_IF_CACHED: "Ask without only-if-cached: the origin may then be asked.",
    Reason.STORED: "",
    Reason.METHOD_NOT_STORABLE: (
        "Only answers to GET are stored, and those to POST with 200, a lifetime and their own URL "
        "in Content-Location."
    ),
    Reason.REQUEST_NO_STORE: "Ask without Cache-Control: no-store.",
    Reason.NO_STORE: (
        "Take no-store out of the response, or address this cache alone: CDN-Cache-Control: "
        "max-age=60 comes before Cache-Control."
    ),
    Reason.PRIVATE: (
        "Take private out of the response if all users get the same, or address this cache alone: "
        'CDN-Cache-Control: max-age=60. For single fields, private="Set-Cookie" will do.'
    ),
    Reason.AUTHORIZATION: (
        "If all users get the same, add public or s-maxage to Cache-Control. Else it is right so."
    ),
    Reason.SET_COOKIE: (
        "Do not set cookies in answers that are for everybody; or set_cookie: strip in the route, "
        "which stores them without."
    ),
    Reason.VARY_ANY: "Name in Vary the fields that the answer really depends on.",
    Reason.STATUS_NOT_FINAL: "Nothing: an interim response is not the answer.",
    Reason.STATUS_NOT_UNDERSTOOD: "Leave out must-understand, or answer with a usual status.",
    Reason.STATUS_NEVER_STORED: "Nothing: it is about one request.",
    Reason.REQUEST_TO_BLAME: (
        "Ask without what is unusual (long or non-ASCII fields, parameters outside the key). To "
        "store a 400, 403 or 406 for all, name it in negative_ttl."
    ),
    Reason.KEY_TOO_LARGE: "Shorter URLs, or fewer and shorter fields in Vary and key.headers.",
    Reason.NOT_MODIFIED_PASSED: "Ask once without If-None-Match and If-Modified-Since.",
    Reason.NO_FRESHNESS: (
        "Send Cache-Control: s-maxage=60, say; or set default_ttl in the route (it does not count "
        "for requests with Cookie or Authorization). An ETag alone allows to store it, and to ask "
        "with each use."
    ),
    Reason.TTL_ZERO: "A ttl or default_ttl above 0 in the route, or an ETag in the response.",
    Reason.POST_WITHOUT_LOCATION: "Send Cache-Control: max-age and Content-Location: its own URL.",
    Reason.PARTIAL_UNUSABLE: "Send one Content-Range, and no multipart/byteranges.",
    Reason.TOO_LARGE: "Raise store.memory.max_object_size.",
    Reason.INVALID_TAGS: (
        "Mend the tags: the log says which field or template, and what is wrong with it."
    ),
    Reason.OUTDATED: "Nothing: the next request gets and stores what is new.",
    Reason.TOO_SLOW: "Nothing: the next request fills the store.",
    Reason.ABANDONED: "Nothing: the next request fills the store.",
    Reason.REQUEST_INCOMPLETE: "The client has to send as much as Content-Length says.",
    Reason.ORIGIN_REFUSED: "Start the origin, or correct origin.url.",
    Reason.ORIGIN_UNREACHABLE: "Correct the host in origin.url, or the network's routes.",
    Reason.ORIGIN_TLS: "Give the origin a certificate for its name, and a current TLS version.",
    Reason.ORIGIN_CONNECT_TIMEOUT: "See why the origin does not accept; origin.timeouts.connect.",
    Reason.ORIGIN_HEADER_TIMEOUT: "A faster origin, or a larger origin.timeouts.header.",
    Reason.ORIGIN_IDLE_TIMEOUT: "See why the origin stalls, or raise origin.timeouts.idle.",
    Reason.ORIGIN_BROKEN: "Look into the origin's own log: it hung up in the middle.",
    Reason.ORIGIN_MALFORMED: "Mend the origin: the log says what is no HTTP/1.1.",
    Reason.ORIGIN_TOTAL_TIMEOUT: "A faster origin, or a larger origin.timeouts.total.",
    Reason.ORIGIN_OVERLOADED: "A faster origin or more of them, or raise origin.limit.",
    Reason.ORIGIN_DOWN: "Bring an origin back; /stats tells the state of each.",
}


def clause_of(reason: Reason) -> str:
    """What a reason rests on, such as "RFC 9111 §4.2"; "" for a rule of our own."""
    found = _CLAUSE.search(reason.explanation)
    if found is None:
        return ""
    return found[1] if found[1].startswith("RFC ") else f"RFC 9111 {found[1]}"


def explanation_of(reason: Reason) -> str:
    """Its sentence, with the RFC of every clause."""
    return reason.explanation.replace("(§", "(RFC 9111 §")


def advice_on(reason: Reason) -> str:
    """What would have to change for a hit; "" where nothing has to."""
    return _ADVICE[reason]


def why(reason: Reason) -> Why:
    """A reason as it is told."""
    return Why(
        reason=reason.value,
        explanation=explanation_of(reason),
        clause=clause_of(reason),
        advice=advice_on(reason),
    )

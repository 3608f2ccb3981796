"""What a successful unsafe request makes invalid (§4.4)."""

from http import HTTPStatus
from urllib.parse import urldefrag, urljoin, urlsplit

from proxy.rfc9111.keys import normalise_authority
from proxy.rfc9111.messages import Request, Response

SAFE_METHODS = frozenset(
    {"GET", "HEAD", "OPTIONS", "PRI", "PROPFIND", "QUERY", "REPORT", "SEARCH", "TRACE"}
)
"""Methods registered as safe (RFC 9110 §16.1.1); any other may have changed something."""


def is_unsafe(request: Request) -> bool:
    """Whether the request may have changed something; unknown methods may have (§4.4)."""
    return request.method not in SAFE_METHODS


def suspect_uris(request: Request) -> tuple[str, ...]:
    """What to invalidate when the answer to a request got lost: it may have succeeded."""
    return (request.uri,) if is_unsafe(request) and request.target.startswith("/") else ()


def invalidated_uris(request: Request, response: Response) -> tuple[str, ...]:
    """Absolute URIs of the request's origin to invalidate, the target URI first.

    They are those in Location and Content-Location as well; () after a safe method or an error,
    which changed nothing. A URI of another origin is not for this one to invalidate.
    """
    success = HTTPStatus.OK <= response.status < HTTPStatus.BAD_REQUEST
    if not success or not suspect_uris(request):
        return ()
    uris = [request.uri]
    for name in ("Location", "Content-Location"):
        for reference in response.headers.getall(name, ()):
            uri = _resolved(request, reference)
            if uri is not None:
                uris.append(uri)
    return tuple(dict.fromkeys(uris))


def _resolved(request: Request, reference: str) -> str | None:
    """The URI that `reference` names, without its fragment; None where it is none of ours."""
    try:
        uri = urlsplit(urldefrag(urljoin(request.uri, reference)).url)
    except ValueError:
        return None
    if uri.scheme != request.scheme:
        return None
    if normalise_authority(uri.netloc, uri.scheme) != request.authority:
        return None
    query = f"?{uri.query}" if uri.query else ""
    return f"{request.scheme}://{request.authority}{uri.path or '/'}{query}"

"""docs/reasons.md, from the enum of reasons.

`python -m proxy.explain.reference > docs/reasons.md`
"""

import sys
from collections.abc import Iterator
from textwrap import fill
from typing import Final

from proxy.explain.advice import advice_on, explanation_of
from proxy.rfc9111.cache_status import forward_of
from proxy.rfc9111.reasons import Reason

_INTRO: Final = """\
# Reasons

Every decision of the cache has one reason, and it is the same word everywhere: in `detail` of the
response field `Cache-Status` (RFC 9211), in the log, and in what `warmfront explain` tells.
`make schema` writes this page from the enum that the code decides by.

```sh
curl -sI http://127.0.0.1:8080/products/42 | grep -i cache-status
# From what is stored; nothing is sent:
warmfront explain http://127.0.0.1:8080/products/42
# Asks twice, and explains the second answer:
warmfront explain http://127.0.0.1:8080/products/42 --probe
# A past request, by what its answer said in Warmfront-Request-Id:
warmfront explain --id 0123456789abcdef
```

The same over HTTP: `GET /explain` and `GET /explain/requests/{id}` of the admin API. The name of a
request is in the response field `Warmfront-Request-Id`; it is what the client said in
`X-Request-Id`, if that is at most 128 letters, digits and `._:=/+@-`, else a random number. Of each
request are kept: method, URL with the names of query parameters, route, a hash of the key, the
names in `Vary`, tags, and what was decided with its numbers; no value of a field, no value of the
query. `explain.ring` says how many, `explain.sample` which share; `ring: 0` switches it off.
"""

_GROUPS: Final = {
    Reason.FRESH: "Why a stored response was used",
    Reason.URI_MISS: "Why the origin was asked",
    Reason.STORED: "Why a response was not stored",
    Reason.REQUEST_INCOMPLETE: "What went wrong on the way",
}
"""Headings, each before its first reason."""


_NOT_ASKED: Final = frozenset({Reason.MAX_FORWARDS, Reason.ONLY_IF_CACHED})
"""Among the reasons to ask the origin, those for which it is not: it is answered without."""


def text() -> str:
    """The page as it stands in docs/reasons.md."""
    return _INTRO + "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    asked = False
    for reason in Reason:
        if reason in _GROUPS:
            yield from ("", f"## {_GROUPS[reason]}")
            asked = reason is Reason.URI_MISS
        forward = f" In `Cache-Status`: `fwd={forward_of(reason)}`."
        told = asked and reason not in _NOT_ASKED
        yield from ("", f"### `{reason}`", "", _filled(explanation_of(reason) + forward * told))
        if advice := advice_on(reason):
            yield from ("", _filled(f"What would help: {advice}"))


def _filled(text: str) -> str:
    return fill(text, 100, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    sys.stdout.write(text())

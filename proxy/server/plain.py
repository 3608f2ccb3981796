r"""Plain request heads, known for what they are in one look.

Most requests are a GET that asks for nothing special. `compile_grammar` makes a function that
takes the bytes of one and returns its gist: all of the head that the answer can depend on.

    b"GET /a HTTP/1.1\r\nHost: h\r\nCookie: id=1\r\nUser-Agent: ...\r\n\r\n"
    (b"GET", b"/a", b"h", b"", None)       where Cookie is watched for presence, Range not there

It is no second parser: whoever needs to know what a gist means has `parse_head` read the head that
`head_of` makes of it. The grammar here must accept nothing that `heads` refuses or reads otherwise;
what it does not accept is not wrong, only not plain.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from string import ascii_letters, digits
from typing import Any, Final, Protocol, TypeAlias

from proxy.exchange import Watched
from proxy.rfc9111 import poisoning

try:
    from proxy.server import _plain
except ImportError:
    _plain = None  # type: ignore[assignment]
if os.environ.get("WARMFRONT_PURE_PYTHON"):
    _plain = None  # type: ignore[assignment]

ACCELERATED: Final = _plain is not None
"""Whether the same is there in C."""

Gist: TypeAlias = tuple[Any, ...]
"""bytes: method, target, Host, then one for each watched field, or None where it is absent."""


class Place(Protocol):
    """All requests with one method, target and Host.

    Attributes:
        known: What is known of them, by known_key.
        members: Numbers of the members of a gist by which they are told apart.
    """

    known: dict[Any, Any]
    members: bytes


class Scan(Protocol):
    """What reads plain heads. Of keys, it is known only that they are hashable."""

    def __call__(self, head: bytes, /) -> Gist | None:
        """From one whole head to its gist; None for what is not one plain head."""
        ...

    def find(self, head: bytes, places: Mapping[Any, Place], /) -> tuple[Any, bytes | None] | None:
        """What is known of one whole head, and what it names its request.

        Args:
            head: Its bytes.
            places: A dictionary of them, by place_key.
        """
        ...

    def place_key(self, gist: Gist, /) -> object:
        """The same for all gists with this method, target and Host, and for no others."""
        ...

    def known_key(self, gist: Gist, members: bytes, /) -> object:
        """The same for all gists that agree in these members, and for no others."""
        ...


NEVER_PLAIN: Final = frozenset(
    {
        "content-length",
        "expect",
        "if-match",
        "if-range",
        "if-unmodified-since",
        "range",
        "transfer-encoding",
        "upgrade",
        *poisoning.OVERRIDES,
    }
)
"""Fields without which a head is plain."""

NEVER_WATCHED: Final = NEVER_PLAIN | {"connection", "host"}
"""Fields that are known without: absent, `keep-alive` or absent, and always in the gist."""

_FIXED: Final = ("method", "target", "host")
_FIRST_FIELD: Final = len(_FIXED)
# Less what disguises a field: see poisoning.is_disguised.
_NAME_CHARS = "-" + digits + ascii_letters
_NAME = rf"[{re.escape(_NAME_CHARS)}]++"
_VALUE = r"[\t -~\x80-\xff]*+"


def compile_grammar(watched: Watched, *, longest: int, lines: int) -> Scan:
    """What recognises plain heads, in C if it is there.

    Args:
        watched: What goes into the gist, less NEVER_WATCHED, and what is in disguise.
        longest: Bytes of a head above which it is not plain.
        lines: The same for its field lines.
    """
    if _plain is not None:
        present, values = _in_order(watched)
        name = member_of_name(watched)
        with suppress(ValueError):  # it has room for only so many names, and none without end
            return _plain.Scanner(
                refused=_encoded(sorted(NEVER_PLAIN)),
                present=_encoded(present),
                values=_encoded(values),
                longest=longest,
                lines=lines,
                name=-1 if name is None else name,
            )
    return Expression(watched, longest=longest, lines=lines)


class Expression:
    """The same, in Python; see `compile_grammar`, and Scan."""

    def __init__(self, watched: Watched, *, longest: int, lines: int) -> None:
        self._fullmatch = re.compile(_expression(watched).encode()).fullmatch
        self._longest = longest
        self._most_newlines = lines + 2  # the request line's, and the empty line's
        self._name = member_of_name(watched)

    def __call__(self, head: bytes, /) -> Gist | None:
        """See Scan."""
        if len(head) > self._longest:
            return None
        match = self._fullmatch(head)
        if match is None or head.count(b"\n") > self._most_newlines:
            return None
        return match.groups()

    def find(self, head: bytes, places: Mapping[Any, Place], /) -> tuple[Any, bytes | None] | None:
        """See Scan."""
        gist = self(head)
        place = None if gist is None else places.get(gist[:_FIRST_FIELD])
        if gist is None or place is None:
            return None
        known = place.known.get(_picker(place.members)(gist))
        if known is None:
            return None
        return known, None if self._name is None else gist[self._name]

    def place_key(self, gist: Gist, /) -> object:
        """See Scan."""
        return gist[:_FIRST_FIELD]

    def known_key(self, gist: Gist, members: bytes, /) -> object:
        """See Scan."""
        return _picker(members)(gist)


@lru_cache(maxsize=256)
def _picker(members: bytes) -> Callable[[Gist], object]:
    return itemgetter(*members) if members else itemgetter(slice(0))


@lru_cache(maxsize=16)
def watched_names(watched: Watched) -> tuple[str, ...]:
    """The fields of a gist, in its order."""
    present, values = _in_order(watched)
    return present + values


def member_of(watched: Watched) -> dict[str, int]:
    """The member of a gist that is the value, or the presence, of each field."""
    return {name: number for number, name in enumerate(watched_names(watched), _FIRST_FIELD)}


def member_of_name(watched: Watched) -> int | None:
    """The member of a gist that names the request; None where nobody asks for it."""
    return None if watched.name is None else member_of(watched).get(watched.name)


def head_of(gist: Gist, watched: Watched) -> bytes:
    """The head that says just this, for `heads.parse_head`."""
    names = (b"Host", *map(str.encode, watched_names(watched)))
    fields = zip(names, gist[2:], strict=True)
    lines = [b"%b:%b\r\n" % (name, value) for name, value in fields if value is not None]
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (gist[0], gist[1], b"".join(lines))


def _in_order(watched: Watched) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields of a gist by presence, and by value."""
    present = watched.present - watched.values
    return _sorted(present), _sorted(watched.values)


def _sorted(names: frozenset[str]) -> tuple[str, ...]:
    """Those that a plain head may have."""
    plain = names - NEVER_WATCHED
    return tuple(sorted(name for name in plain if not poisoning.is_disguised(name)))


def _encoded(names: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(map(str.encode, names))


def _expression(watched: Watched) -> str:
    """One regular expression, in which nothing that was matched is ever tried otherwise."""
    names = watched_names(watched)
    captured = [
        _once(number, name, "()" + _VALUE if name not in watched.values else f"({_VALUE})")
        for number, name in enumerate(names, len(_FIXED) + 1)
    ]
    special = sorted({*NEVER_WATCHED, *names})
    others = "".join(c for c in _NAME_CHARS if not _begins(special, c.lower()))
    first = f"[{re.escape(others)}]" if others else "(?!)"
    lines = (
        rf"{first}[{re.escape(_NAME_CHARS)}]*+:{_VALUE}\r\n",  # most lines, cheaply
        _once(len(_FIXED), "host", f"({_VALUE})"),
        rf"{_any_case('connection')}:[ \t]*+{_any_case('keep-alive')}[ \t]*+\r\n",
        *captured,
        rf"(?!(?:{_any_of(special)}):){_NAME}:{_VALUE}\r\n",
    )
    request_line = r'(GET|HEAD) (/[!"$-~\x80-\xff]*+) HTTP/1\.1\r\n'
    # Atomic, but no possessive group: see http1.
    return rf"{request_line}(?>(?:{'|'.join(lines)})*)(?(3)\r\n|(?!))"


def _once(group: int, name: str, value: str) -> str:
    """A field line that may come once, its value in this group."""
    return rf"{_any_case(name)}:(?({group})(?!)){value}\r\n"


def _begins(names: Iterable[str], character: str) -> bool:
    return any(name.startswith(character) for name in names)


def _any_of(names: Iterable[str]) -> str:
    """Any of these names, tried only where their first letter fits."""
    grouped = groupby(sorted(names), key=itemgetter(0))
    return "|".join(
        f"{_any_case(first)}(?:{'|'.join(_any_case(name[1:]) for name in group)})"
        for first, group in grouped
    )


def _any_case(name: str) -> str:
    return "".join(f"[{c.upper()}{c}]" if c.isalpha() else re.escape(c) for c in name)

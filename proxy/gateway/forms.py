"""Heads of hits, as forms that are filled in.

Answers from memory to plain requests differ in the values of their fields, in their length, their
age and what Cache-Status says. Where all else is the same, one of them is made with marks in place
of these, by the functions that make every other answer; what they write is the form.

    marks                       --> whole or unmodified, aged, dress, write --> Form
    values, length, age, status --> Form.fill                               --> head
"""

import re
from collections.abc import Callable
from typing import Final

from proxy.events import HitKind
from proxy.exchange import Client, Incoming, WriteHead, no_interim
from proxy.gateway.delivery import aged, unmodified, whole
from proxy.gateway.precedents import picker
from proxy.gateway.steps import Answer, Exchange, Wanted
from proxy.request_ids import ANSWERED
from proxy.rfc9111.cache_status import CacheStatus
from proxy.rfc9111.messages import Headers
from proxy.routes import Route
from proxy.stores import Entry

_MOST: Final = 1024
"""Forms; one takes about 3 KiB."""

_MARKS: Final = re.compile("\1(-?[0-9]+)\1")

_LENGTH, _AGE, _STATUS = -3, -2, -1
"""Marks of what stands behind the values of the fields."""

_CONTENT_LENGTH: Final = "content-length"
_NOBODY: Final = Client("", (1, 1))

_Dress = Callable[[Exchange, Answer, str, float], Headers]


class Forms:
    """Those that are known.

    Args:
        dress: Fields of an answer on its way out.
        named: Clients are told what their requests are called, in a line that is no part of this.
    """

    def __init__(self, dress: _Dress, *, named: bool) -> None:
        self._dress = dress
        self._named = named
        self._known: dict[object, Form | None] = {}

    def of(
        self, wanted: Wanted, entry: Entry, *, modified: bool, write: WriteHead
    ) -> "Form | None":
        """That of the answer to a request; None where there is none.

        Args:
            wanted: The request.
            entry: All of which answers it.
            modified: The client does not have that yet, as far as it says.
            write: Writes heads.
        """
        stored, method = entry.response, wanted.request.method
        route = id(wanted.matched.route)  # the table keeps it, and does not change
        about = (route, method, modified, stored.status, stored.reason, stored.names)
        if about in self._known:
            return self._known[about]
        if len(self._known) >= _MOST:
            self._known.clear()
        form = self._known[about] = self._make(wanted, entry, modified=modified, write=write)
        return form

    def _make(
        self, wanted: Wanted, entry: Entry, *, modified: bool, write: WriteHead
    ) -> "Form | None":
        request, matched, key = wanted
        stored = entry.response
        if not (has_forms(matched.route) and stored.has("date")) or "\1" in stored.reason:
            return None
        fields = Headers((name, _mark(number)) for number, name in enumerate(stored.names))
        sample = Entry(stored.with_changes(fields), entry.body)
        outgoing = whole(sample) if modified else unmodified(sample.response)
        outgoing = aged(outgoing, request.method, _mark(_AGE))
        answer = Answer(outgoing, CacheStatus(hit=True))
        incoming = Incoming(request, _NOBODY, None, no_interim)
        exchange = Exchange(incoming, matched, key, 0.0)
        outgoing.headers = self._dress(exchange, answer, _mark(_STATUS), 0.0)
        if self._named:
            outgoing.headers.popall(ANSWERED, None)
        try:
            head = write(outgoing, request.method).decode("latin-1")
        except ValueError:  # the settings have it write what cannot be written
            return None
        length = re.escape(f"{len(entry.body)}\r\n")
        head = re.sub(
            rf"(?i)(\r\n{_CONTENT_LENGTH}: ){length}", rf"\g<1>{_mark(_LENGTH)}\r\n", head
        )
        return Form(head, outgoing.status)


def has_forms(route: Route) -> bool:
    """Whether heads of hits on it differ in nothing but what forms are filled with."""
    return not route.server_timing and _CONTENT_LENGTH not in route.response_headers.names


class Form(HitKind):
    """All heads of hits that differ in values only.

    Args:
        head: One of them, with marks.
        status: Of all.

    Attributes:
        status: The same.
    """

    __slots__ = ("_pick", "_template", "status")

    def __init__(self, head: str, status: int) -> None:
        super().__init__()
        self._template = _MARKS.sub("%s", head.replace("%", "%%"))
        self._pick = picker([int(number) for number in _MARKS.findall(head)])
        self.status = status

    def fill(self, values: str, length: int, age: int, status: str) -> bytes:
        """One of them.

        Args:
            values: As in StoredResponse.
            length: Bytes of the body.
            age: Seconds.
            status: What Cache-Status says.

        Raises:
            ValueError: One could be taken for several lines, or is not latin-1.
        """
        if "\r" in values or "\0" in values:
            raise ValueError("a line break or NUL inside a field")
        given = [*values.split("\n"), str(length), str(age), status]
        return (self._template % self._pick(given)).encode("latin-1")


def _mark(number: int) -> str:
    return f"\1{number}\1"

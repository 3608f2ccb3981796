"""Explaining requests: what would be done, what is done, what was done."""

import re
from http import HTTPStatus
from typing import Annotated, Final, Literal

from pydantic import Field, RootModel

from proxy import http1
from proxy.admin import items, reading
from proxy.admin.answers import modelled
from proxy.admin.items import InvalidItem
from proxy.admin.models import Document
from proxy.admin.operations import Ask, Documented, Operation, admitted
from proxy.admin.options import Role
from proxy.admin.problems import Fault, Refusal, unprocessable
from proxy.exchange import Outgoing
from proxy.explain import Explanation, Mode
from proxy.rfc9111.keys import normalise_authority
from proxy.rfc9111.messages import Headers, Request

_SENT: Final = ("GET", "HEAD")
"""What is sent for an explanation: whatever else may change something."""

_METHOD: Final = re.compile(http1.TCHARS)


class ExplainQuery(Document):
    """Which request, and how to find out."""

    url: str
    """Absolute, as clients ask for it; a header Host takes the place of its host."""
    method: str = "GET"
    header: Annotated[tuple[str, ...], Field(max_length=50)] = ()
    """A field of the request, as `Name: value`; may be repeated."""
    mode: Literal["simulate", "send", "probe"] = "simulate"
    """`simulate`: from what is stored now, nothing is sent. `send`: answer it like every other,
    which may ask the origin. `probe`: the same twice, and the second answer is explained. The last
    two need the role `admin`, and send GET and HEAD only."""


class ExplainAnswer(RootModel[Explanation]):
    """Why a request is answered as it is."""


async def explain(ask: Ask) -> Outgoing:
    """GET /explain."""
    query = reading.query(ask.query, ExplainQuery)
    request = _request(query)
    mode = Mode(query.mode)
    if mode is not Mode.SIMULATE:
        assert ask.caller is not None  # noqa: S101 - the operation has a role
        admitted(ask.caller, Role.ADMIN)
        if request.method not in _SENT:
            fault = Fault(
                where="query method",
                what=f"{reading.shown(request.method)} may change something",
                how="simulate it, or send GET or HEAD",
            )
            raise unprocessable("This request is not sent.", fault)
    return modelled(ExplainAnswer(await ask.desk.control.explain(request, mode)))


async def explain_past(ask: Ask) -> Outgoing:
    """GET /explain/requests/{id}."""
    found = await ask.desk.control.recall(reading.decoded(ask.captured["id"]))
    if found is None:
        fault = Fault(
            where="path",
            what="nothing is kept of such a request",
            how="take what Warmfront-Request-Id says; explain.ring and explain.sample in the "
            "configuration say of how many something is kept",
        )
        raise Refusal(HTTPStatus.NOT_FOUND, "There is no such request.", [fault])
    return modelled(ExplainAnswer(found))


def _request(query: ExplainQuery) -> Request:
    """The request that is meant; raises Refusal."""
    faults: list[Fault] = []
    url = ""
    try:
        url = items.url(query.url)[0]
    except InvalidItem as error:
        what = f"{reading.shown(query.url)!r}: {error.what}"
        faults.append(Fault(where="query url", what=what, how=error.how))
    if not _METHOD.fullmatch(query.method):
        faults.append(Fault(where="query method", what="no method", how="write GET, say"))
    headers = Headers()
    for number, line in enumerate(query.header):
        name, _, value = line.partition(":")
        if http1.is_field_line(line):
            headers.add(name, value.strip(" \t"))
        else:
            what = f"{reading.shown(name)!r}: no field of a request"
            where = f"query header[{number}]"
            faults.append(Fault(where=where, what=what, how="write Name: value"))
    if len(headers.getall("Host", ())) > 1:
        faults.append(Fault(where="query header", what="Host comes twice", how="give it once"))
    if faults:
        raise unprocessable("This is no request.", *faults)
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    headers.setdefault("Host", authority)
    authority = normalise_authority(headers["Host"], scheme)
    return Request(query.method, scheme, authority, f"{slash}{path}", headers)


OPERATIONS: Final = (
    Operation(
        "GET",
        "/explain",
        explain,
        Role.READ,
        documented=Documented(
            "Explain how a request is answered: simulated, or really sent (role `admin`)",
            {HTTPStatus.OK: [ExplainAnswer]},
            ExplainQuery,
            refusals=(HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY),
        ),
    ),
    Operation(
        "GET",
        "/explain/requests/{id}",
        explain_past,
        Role.READ,
        documented=Documented(
            "Explain how a past request was answered",
            {HTTPStatus.OK: [ExplainAnswer]},
            refusals=(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND),
        ),
    ),
)

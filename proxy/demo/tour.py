"""The requests worth trying: what is announced for each, its curl line, and what really happened.

One table, `TOUR`, serves both ways of showing it: the printed curl lines and the played requests
cannot drift apart.
"""

import asyncio
import shlex
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import aiohttp
import http_sf

from proxy.rfc9111.cache_status import Forward
from proxy.rfc9111.reasons import Reason


class Outcome(StrEnum):
    """What became of one request, in the operator's words."""

    MISS = "miss"
    """The API answered; later requests may share the answer."""
    HIT = "hit"
    """Answered from the store; the API was not asked."""
    NOT_MODIFIED = "304"
    """Nothing was sent again: the client's copy, or the stored one, is still right."""
    STALE = "stale"
    """Answered from the store past its lifetime, as the API allowed."""
    PRIVATE = "private"
    """The API answered, for this user alone."""
    PASSED = "passed"
    """The API answered; requests like this one are none of the cache's business."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request, and what is announced for it.

    Attributes:
        note: Why it is worth sending, for people.
        wait: Seconds to wait before it.
    """

    path: str
    announced: Outcome
    note: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    wait: float = 0.0

    @property
    def label(self) -> str:
        """The request in a few words: its method, its path, and what steers the cache."""
        steering = [f"{name}: {value}" for name, value in self.headers.items() if not self.body]
        return "\n  ".join([f"{self.method} {self.path}", *steering])

    def curl(self, base: str) -> str:
        """The same request as a line for a shell; `base` is `http://host:port`."""
        words = ["curl", "-i"]
        if self.method != "GET":
            words += ["-X", self.method]
        for name, value in self.headers.items():
            words += ["-H", f"{name}: {value}"]
        if self.body is not None:
            words += ["-d", self.body]
        return shlex.join([*words, base + self.path])


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a step.

    Attributes:
        elapsed: Seconds from sending the request to the last byte of the answer.
        cache_status: The Cache-Status field as it came, "" when there was none.
        outcome: None when the field says nothing that the demo knows.
        why: The explanation of the reason that the field names.
    """

    step: Step
    status: int
    elapsed: float
    cache_status: str
    outcome: Outcome | None
    why: str

    @property
    def as_announced(self) -> bool:
        """Whether the cache did what was said beforehand."""
        return self.outcome is self.step.announced


_REASONS = {reason.value: reason for reason in Reason}

_GERMAN = {"Accept-Language": "de"}
_JSON = {"Content-Type": "application/json"}

TOUR = (
    Step("/products", Outcome.MISS, "the API works on it for 0.4 s"),
    Step("/products", Outcome.HIT, "the same again: no work at all"),
    Step("/products", Outcome.MISS, "another language is another answer (Vary)", headers=_GERMAN),
    Step("/products", Outcome.HIT, "and both stay", headers=_GERMAN),
    Step(
        "/products",
        Outcome.NOT_MODIFIED,
        "a client that holds this version gets no body",
        headers={"If-None-Match": '"list-3-en"'},
    ),
    Step("/products/1", Outcome.MISS, "one product"),
    Step("/products/1", Outcome.HIT, "the same again"),
    Step(
        "/products/1",
        Outcome.PASSED,
        "a change goes to the API, and makes the cache forget",
        method="PUT",
        headers=_JSON,
        body='{"price": 2500}',
    ),
    Step("/products/1", Outcome.MISS, "the new price, not the stored one"),
    Step("/products", Outcome.MISS, "the list too (Cache-Group-Invalidation)"),
    Step("/account", Outcome.PRIVATE, "Cache-Control: private, so nobody else gets it"),
    Step("/account", Outcome.PRIVATE, "however often it is asked for"),
    Step("/prices", Outcome.MISS, "fresh for 2 s"),
    Step("/offers", Outcome.MISS, "fresh for 3 s, then stale-while-revalidate"),
    Step("/offers", Outcome.HIT, "the same again"),
    Step("/prices", Outcome.NOT_MODIFIED, "expired; the API confirms it by its ETag", wait=3.1),
    Step("/offers", Outcome.STALE, "expired; answered at once, refreshed behind"),
    Step("/offers", Outcome.HIT, "here is the refreshed one", wait=1.0),
    Step(
        "/outage",
        Outcome.PASSED,
        "from now on the API answers 503",
        method="PUT",
        headers=_JSON,
        body='{"on": true}',
    ),
    Step("/prices", Outcome.STALE, "expired, the API is down: still an answer", wait=2.1),
    Step(
        "/outage",
        Outcome.PASSED,
        "the API is whole again",
        method="PUT",
        headers=_JSON,
        body='{"on": false}',
    ),
)


async def play(base: str, steps: tuple[Step, ...] = TOUR) -> AsyncIterator[Played]:
    """Send `steps` one after the other to `base`, over real connections.

    Raises aiohttp.ClientError when nothing answers there.
    """
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        for step in steps:
            await asyncio.sleep(step.wait)
            yield await _send(session, base, step)


async def _send(session: aiohttp.ClientSession, base: str, step: Step) -> Played:
    started = time.perf_counter()
    async with session.request(
        step.method, base + step.path, headers=step.headers, data=step.body
    ) as response:
        await response.read()
        elapsed = time.perf_counter() - started
        cache_status = ", ".join(response.headers.getall("Cache-Status", []))
        outcome, why = judge(response.status, cache_status)
        return Played(step, response.status, elapsed, cache_status, outcome, why)


def judge(status: int, cache_status: str) -> tuple[Outcome | None, str]:
    """What a Cache-Status field (RFC 9211) says in the operator's words, and why."""
    parameters = _parameters(cache_status)
    reason = _reason(parameters)
    if reason is None:
        return None, "the answer does not say"
    return _outcome(status, parameters, reason), reason.explanation


def _outcome(status: int, parameters: Mapping[str, object], reason: Reason) -> Outcome | None:
    match reason:
        case Reason.STALE_WHILE_REVALIDATE | Reason.STALE_IF_ERROR | Reason.GRACE:
            return Outcome.STALE
        case Reason.VALIDATED:
            return Outcome.NOT_MODIFIED
        case Reason.PRIVATE:
            return Outcome.PRIVATE
    if parameters.get("hit") is True:
        return Outcome.NOT_MODIFIED if status == HTTPStatus.NOT_MODIFIED else Outcome.HIT
    if str(parameters.get("fwd")) in {Forward.METHOD, Forward.BYPASS}:
        return Outcome.PASSED
    return Outcome.MISS if parameters.get("stored") is True else None


def _reason(parameters: Mapping[str, object]) -> Reason | None:
    """The most telling reason: `detail`, unless it only repeats that the answer was stored."""
    tokens = [str(parameters[name]) for name in ("detail", "fwd") if name in parameters]
    known = [_REASONS[token] for token in tokens if token in _REASONS]
    if not known and parameters.get("hit") is True:
        return Reason.FRESH
    telling = [reason for reason in known if reason is not Reason.STORED]
    return next(iter(telling or known), None)


def _parameters(cache_status: str) -> dict[str, object]:
    """The parameters of the last member: the cache nearest to this client (RFC 9211 §2)."""
    try:
        members: Any = http_sf.parse(cache_status.encode("latin-1"), tltype="list")
    except ValueError:
        return {}
    return members[-1][1] if members else {}

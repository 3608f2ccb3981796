"""A proxy with a scripted origin, and who explains it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from proxy.explain import Explainer, Explanation
from proxy.gateway import Decisions
from proxy.rfc9111.messages import Headers, Request
from proxy.rfc9111.policy import Policy
from proxy.routes import Route
from tests.apparatus import Proxied, proxied

HOST = "api.example"
Line = tuple[str, str]


def request(target: str = "/p", *lines: Line, method: str = "GET") -> Request:
    return Request(method, "http", HOST, target, Headers([("Host", HOST), *lines]))


@dataclass
class Explained:
    """What runs, and what explains it."""

    proxy: Proxied
    explainer: Explainer
    decisions: Decisions

    async def simulate(self, target: str = "/p", *lines: Line, method: str = "GET") -> Explanation:
        return await self.explainer.simulate(request(target, *lines, method=method))


@asynccontextmanager
async def explained(
    policy: Policy | None = None,
    routes: Sequence[Route] = (),
    serves: Callable[[str], bool] = lambda _: True,
    **options: Any,
) -> AsyncIterator[Explained]:
    decisions = Decisions(100, 1.0)
    async with proxied(policy, routes, decisions=decisions, **options) as proxy:
        explainer = Explainer(
            gateway=lambda: proxy.gateway,
            decisions=lambda: decisions,
            memory=proxy.store,
            shared=None,
            log=proxy.log,
            clock=proxy.clock,
            serves=serves,
        )
        yield Explained(proxy, explainer, decisions)


def lines_of(explanation: Explanation, title: str) -> list[str]:
    """What one part of it says."""
    return [line for part in explanation.words if part.title == title for line in part.lines]

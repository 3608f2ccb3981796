"""/openapi.json against reality: schemathesis asks the real listener whatever it allows."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS, load_all_checks

from proxy.admin import AdminServer, openapi
from proxy.admin.attempts import Attempts
from proxy.admin.server import OPERATIONS
from tests.admin.conftest import ADMIN, API, OPTIONS, Admin, Shelf, document, entry

load_all_checks()

DOCUMENT = json.loads(openapi.document(OPERATIONS))
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)

UNMET = {
    "positive_data_acceptance": "a URL, a tag or a pattern may be text and still name nothing",
}
CHECKED = [check for check in CHECKS.get_all() if check.__name__ not in UNMET]


class Forgiving(Attempts):
    """Wrong tokens are what schemathesis tries, one after the other."""

    def failed(self, _address: str, _now: float) -> float:
        return 0.0


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """The admin API in a thread of its own, since schemathesis does not wait for ours."""
    loop = asyncio.new_event_loop()
    shelf = Shelf([entry(f"http://{API}/a", "a", "b")])
    server = AdminServer(shelf, replace(OPTIONS, max_body=1 << 20))
    server._attempts = Forgiving()
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
        yield f"http://127.0.0.1:{server.ports[0]}"
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@SCHEMA.parametrize()
@settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_what_it_says_is_so(case: Any, base_url: str) -> None:
    case.call_and_validate(
        base_url=base_url,
        headers={"Authorization": f"Bearer {ADMIN}"},
        checks=CHECKED,
        timeout=30,
    )


async def test_it_is_served_and_describes_what_is_served(admin: Admin) -> None:
    served = document(await admin.ask("GET", "/openapi.json"))
    assert served == DOCUMENT
    assert served["openapi"] == "3.1.0"
    described = {
        (method.upper(), path) for path, item in served["paths"].items() for method in item
    }
    known = {(one.method, one.path.replace(":rest", "")) for one in OPERATIONS if one.documented}
    assert described == known


def test_every_operation_asks_for_a_token_except_for_health() -> None:
    open_paths = {
        path
        for path, item in DOCUMENT["paths"].items()
        for operation in item.values()
        if not operation["security"]
    }
    assert open_paths == {"/healthz", "/readyz"}

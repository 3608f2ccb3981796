"""POST /reload: what has changed, or everything that is wrong; for the role admin."""

import pytest

from proxy.admin import NothingToReload, Reloaded
from proxy.settings import Change, Problem, SettingsError
from tests.admin.conftest import PURGE, Admin, Shelf, document, faults


async def test_it_tells_what_has_changed(admin: Admin, shelf: Shelf) -> None:
    changes = (Change("routes[0].ttl", "1m", "2m"), Change("tls.cert", None, "/cert.pem"))
    shelf.reloads = lambda: Reloaded(changes, ("tls",), ("limits",))
    answer = await admin.ask("POST", "/reload")
    assert answer.status == 200
    assert document(answer) == {
        "changes": [
            {"key": "routes[0].ttl", "old": "1m", "new": "2m"},
            {"key": "tls.cert", "old": None, "new": "/cert.pem"},
        ],
        "restart": ["tls"],
        "renewing": ["limits"],
    }


async def test_it_tells_all_that_is_wrong(admin: Admin, shelf: Shelf) -> None:
    def refuse() -> Reloaded:
        raise SettingsError(
            [
                Problem(message="missing", path="origin.url"),
                Problem(message="no key", suggestion="write it", file="w.yaml", line=3, column=5),
                Problem(message="[SSL] wrong key"),
            ]
        )

    shelf.reloads = refuse
    answer = await admin.ask("POST", "/reload")
    assert answer.status == 422
    assert faults(answer) == [
        ("origin.url", "missing"),
        ("settings", "[SSL] wrong key"),
        ("w.yaml:3:5", "no key"),
    ]
    assert "old ones stay" in document(answer)["detail"]


async def test_there_may_be_no_file(admin: Admin, shelf: Shelf) -> None:
    def refuse() -> Reloaded:
        raise NothingToReload

    shelf.reloads = refuse
    answer = await admin.ask("POST", "/reload")
    assert answer.status == 409
    assert faults(answer) == [("process", "no file")]


@pytest.mark.parametrize(("token", "status"), [(None, 401), (PURGE, 403)])
async def test_it_takes_the_role_admin(admin: Admin, token: str | None, status: int) -> None:
    assert (await admin.by(token).ask("POST", "/reload")).status == status


async def test_it_takes_no_body(admin: Admin) -> None:
    assert (await admin.ask("POST", "/reload", body={})).status == 422

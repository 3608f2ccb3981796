"""`warmfront reload`: what has changed, in words."""

from tests.cli.warmfront import warmfront
from tests.client.fake_admin import FakeAdmin, Reply


def test_what_has_changed(admin: FakeAdmin) -> None:
    changes = [
        {"key": "routes[0].ttl", "old": "1m", "new": "2m"},
        {"key": "tls.cert", "old": None, "new": "/[a]"},
    ]
    admin.will(Reply({"changes": changes, "restart": ["tls"], "renewing": ["limits"]}))
    assert warmfront("reload", "--admin", admin.url) == (
        0,
        "routes[0].ttl: 1m -> 2m\ntls.cert: none -> /[a]\nnew workers take over, for limits\n",
        "takes a restart: tls\n",
    )
    assert (admin.asked[0].method, admin.asked[0].target) == ("POST", "/reload")


def test_nothing_has(admin: FakeAdmin) -> None:
    admin.will(Reply({"changes": [], "restart": [], "renewing": []}))
    assert warmfront("reload", "--admin", admin.url) == (0, "nothing has changed\n", "")


def test_every_problem_is_told(admin: FakeAdmin) -> None:
    fault = {"where": "w.yaml:2:1 tll", "what": "unknown key", "how": "did you mean ttl?"}
    problem = {"title": "Unprocessable", "detail": "The old ones stay.", "errors": [fault]}
    admin.will(Reply(problem, 422))
    code, out, err = warmfront("reload", "--admin", admin.url)
    assert (code, out) == (1, "")
    assert err == ("w.yaml:2:1 tll: unknown key: did you mean ttl?\nerror: The old ones stay.\n")

"""`warmfront purge`, against an admin API on a real socket."""

from typing import Any

import pytest

from tests.cli.warmfront import warmfront
from tests.client.fake_admin import PURGED, FakeAdmin, Reply, problem

FAULT = {"where": "tags[0]", "what": "empty", "how": "remove it"}


@pytest.mark.parametrize(
    ("flags", "body"),
    [
        (["--tag", "a", "--tag", "b c"], {"tags": ["a", "b c"], "soft": False}),
        (["--url", "http://a/?b"], {"urls": ["http://a/?b"], "soft": False}),
        (["--prefix", "/a", "--host", "b"], {"prefixes": ["/a"], "hosts": ["b"], "soft": False}),
        (["--pattern", r"/p/\d+$"], {"pattern": r"/p/\d+$", "soft": False}),
        (["--all", "--soft"], {"all": True, "soft": True}),
        (["--tag", "a", "--wait", "1m2s"], {"tags": ["a"], "soft": False, "wait": 62.0}),
        (["--tag", "a", "--wait", "0"], {"tags": ["a"], "soft": False, "wait": 0.0}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags(admin: FakeAdmin, flags: list[str], body: dict[str, Any]) -> None:
    told = warmfront("purge", *flags, "--admin", admin.url)
    assert told == (0, "purge 812: acknowledged by 6 of 6 processes\n", "")
    assert admin.bodies == [body]


@pytest.mark.parametrize("command", ["purge", "entries", "tags", "warm"])
def test_every_command_explains_itself(command: str) -> None:
    code, out, _ = warmfront(command, "--help")
    assert code == 0
    assert "WARMFRONT_ADMIN_TOKEN" in out


def test_how_much_that_was(admin: FakeAdmin) -> None:
    admin.will(Reply({**PURGED, "entries": 1}))
    _, out, _ = warmfront("purge", "--all", "--admin", admin.url)
    assert out == "purge 812: acknowledged by 6 of 6 processes, 1 entry\n"


def test_some_have_not_said_so(admin: FakeAdmin) -> None:
    admin.will(Reply({**PURGED, "acked": 4, "pending": ["node-[5]", "node-6"]}, 202))
    code, out, err = warmfront("purge", "--all", "--admin", admin.url)
    assert code == 3
    assert out == "purge 812: acknowledged by 4 of 6 processes\n"
    assert err == "still to come: node-[5], node-6\n"


def test_some_of_it_cannot_be_purged(admin: FakeAdmin) -> None:
    admin.will(Reply({**PURGED, "refused": [FAULT]}, 207))
    code, _, err = warmfront("purge", "--tag", "", "--tag", "a", "--admin", admin.url)
    assert (code, err) == (1, "not done: tags[0]: empty: remove it\n")


class TestDryRun:
    def test_what_would_go(self, admin: FakeAdmin) -> None:
        found = {"entries": 3, "urls": ["http://a/[b]", "http://a/c"], "complete": False}
        admin.will(Reply(found))
        told = warmfront("purge", "--all", "--dry-run", "--admin", admin.url)
        assert told == (0, "3 entries would be forgotten\nhttp://a/[b]\nhttp://a/c\n...\n", "")
        assert admin.bodies == [{"all": True, "dry_run": True}]

    def test_nobody_counts(self, admin: FakeAdmin) -> None:
        admin.will(Reply({"entries": None, "urls": [], "complete": True}))
        _, out, _ = warmfront("purge", "--all", "--dry-run", "--admin", admin.url)
        assert out == "an unknown number of entries would be forgotten\n"

    def test_some_of_it_cannot_be_purged(self, admin: FakeAdmin) -> None:
        admin.will(Reply({"entries": 0, "urls": [], "complete": True, "refused": [FAULT]}, 207))
        code, _, err = warmfront("purge", "--tag", "", "--dry-run", "--admin", admin.url)
        assert (code, err) == (1, "not done: tags[0]: empty: remove it\n")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        pytest.param([], "warmfront purge --tag product:42", id="nothing"),
        pytest.param(["--soft"], "there is nothing to purge", id="nothing, softly"),
        pytest.param(["--all", "--wait", "5"], "a duration needs a unit", id="no unit"),
        pytest.param(["--all", "--tags", "a"], "--tag", id="unknown"),
        pytest.param(["--all", "--admin", "localhost"], "http://127.0.0.1:8081", id="no URL"),
        pytest.param(["--all", "--token", "a b"], "without blanks", id="no token"),
    ],
)
def test_wrong_flags(admin: FakeAdmin, flags: list[str], told: str) -> None:
    code, _, err = warmfront("purge", "--admin", admin.url, *flags)
    assert code == 2
    assert told in err
    assert admin.asked == []


def test_refused(admin: FakeAdmin) -> None:
    fault = {"where": "pattern", "what": "matches [everything]", "how": "say all"}
    admin.will(problem(422, "Unprocessable Content", "Nothing of this can be purged.", fault))
    code, out, err = warmfront("purge", "--pattern", ".*", "--admin", admin.url)
    assert (code, out) == (1, "")
    assert err == (
        "pattern: matches [everything]: say all\nerror: Nothing of this can be purged.\n"
    )


def test_the_log_cannot_be_reached(admin: FakeAdmin) -> None:
    admin.will(problem(503, "Service Unavailable", "The purge log cannot be reached."))
    code, _, err = warmfront("purge", "--all", "--admin", admin.url)
    assert code == 1
    assert "old answers may still be served" in err

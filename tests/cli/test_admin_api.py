"""The token that commands use, and what they say when the admin API will not have it."""

import socket
from pathlib import Path

import pytest

from proxy import token_file
from proxy.cli import admin_api
from tests.cli.warmfront import warmfront
from tests.client.fake_admin import FakeAdmin, problem

ELSEWHERE = "http://192.0.2.1:8081"


@pytest.fixture
def kept(admin: FakeAdmin, monkeypatch: pytest.MonkeyPatch) -> token_file.KeptToken:  # noqa: ARG001
    """What a server on this machine keeps, and no token in the environment."""
    monkeypatch.delenv("WARMFRONT_ADMIN_TOKEN")
    return token_file.ensure(token_file.default_path())


def sent(admin: FakeAdmin) -> str | None:
    (asked,) = admin.asked
    return asked.fields.get("authorization")


def test_the_flag_wins(admin: FakeAdmin) -> None:
    warmfront("purge", "--all", "--admin", admin.url, "--token", "the-token-of-the-flag")
    assert sent(admin) == "Bearer the-token-of-the-flag"


def test_then_the_environment(admin: FakeAdmin) -> None:
    warmfront("purge", "--all", "--admin", admin.url)
    assert sent(admin) == "Bearer a-token-of-some-length"


def test_then_the_file_of_the_server(admin: FakeAdmin, kept: token_file.KeptToken) -> None:
    warmfront("purge", "--all", "--admin", admin.url)
    assert sent(admin) == f"Bearer {kept.token}"


def test_a_file_that_others_can_read_is_not_used(
    admin: FakeAdmin, kept: token_file.KeptToken
) -> None:
    kept.path.chmod(0o644)
    code, _, err = warmfront("purge", "--all", "--admin", admin.url)
    assert code == 1
    assert "chmod 600" in err
    assert admin.asked == []


def test_no_token_anywhere(admin: FakeAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARMFRONT_ADMIN_TOKEN")
    admin.will(problem(401, "Unauthorized", "A valid token is needed."))
    code, _, err = warmfront("purge", "--all", "--admin", admin.url)
    assert code == 1
    assert "A valid token is needed" in err
    assert "WARMFRONT_ADMIN_TOKEN" in err
    assert sent(admin) is None


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://127.0.0.1:8081", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:8081", True),
        ("http://localhost", True),
        (ELSEWHERE, False),
        ("http://localhost.example", False),
        ("http://127.0.0.1.example", False),
    ],
)
def test_the_file_is_for_this_machine_only(
    kept: token_file.KeptToken, url: str, *, ours: bool
) -> None:
    with admin_api.admin_api(url, None) as client:
        token = client._transport._server.headers.get("Authorization")
    assert token == (f"Bearer {kept.token}" if ours else None)


def test_nobody_there(admin: FakeAdmin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    code, out, err = warmfront("purge", "--all", "--admin", url)
    assert (code, out) == (1, "")
    assert f"start warmfront with its admin API on {url}" in err
    assert admin.asked == []


def test_somebody_else_there(tmp_path: Path, admin: FakeAdmin) -> None:
    code, _, err = warmfront("entries", "http://a/", "--admin", f"{admin.url}/{tmp_path.name}")
    assert code == 1
    assert "not an admin API's answer" in err

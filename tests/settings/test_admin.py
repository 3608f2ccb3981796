"""The admin API's addresses and tokens, and what a purge waits for."""

from collections.abc import Callable

import pytest

from proxy.admin import options
from proxy.settings import (
    Admin,
    AdminRole,
    SettingsError,
    TcpAddress,
    TokenRole,
    UnixAddress,
    defaults,
)
from proxy.settings.loading import settings_from

TOKEN = "0123456789abcdef"  # noqa: S105 - nobody's


def admin_of(text: str) -> Admin | None:
    return settings_from(f"admin: {text}", file="c.yaml", env={}).admin


def problem_of(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        settings_from(text, file="c.yaml", env={})
    (problem,) = caught.value.problems
    return f"{problem.path}: {problem.message}"


def test_it_is_on_at_a_loopback_address_that_nobody_wrote() -> None:
    admin = defaults().admin
    assert admin is not None
    assert admin.listen == (TcpAddress("127.0.0.1", 8081),)
    assert not admin.listen_given
    assert admin.all_tokens() == ()


@pytest.mark.parametrize("text", ["off", "false"])
def test_off(text: str) -> None:
    assert admin_of(text) is None


def test_a_key_without_a_value_is_absent() -> None:
    assert admin_of("") == Admin()


def test_where_to_listen() -> None:
    admin = admin_of('{listen: [":81", unix:/run/a.sock]}')
    assert admin is not None
    assert admin.listen == (TcpAddress("", 81), UnixAddress("/run/a.sock"))
    assert admin.listen_given
    assert admin_of("{listen: 127.0.0.1:8081}") == Admin()


def test_tokens_alone_leave_the_address_ungiven() -> None:
    admin = admin_of(f"{{token: {TOKEN}}}")
    assert admin is not None
    assert not admin.listen_given


def test_all_tokens() -> None:
    more = f"[{{token: {TOKEN}1, role: read, name: ci}}, {{token: {TOKEN}2}}]"
    admin = admin_of(f"{{token: {TOKEN}, tokens: {more}}}")
    assert admin is not None
    assert admin.all_tokens() == (
        TokenRole(token=TOKEN),
        TokenRole(token=f"{TOKEN}1", role=AdminRole.READ, name="ci"),
        TokenRole(token=f"{TOKEN}2", role=AdminRole.ADMIN),
    )
    assert TOKEN not in f"{admin!r} {admin}"


def test_roles_are_those_of_the_api() -> None:
    assert [role.value for role in AdminRole] == [role.label for role in options.Role]


@pytest.mark.parametrize(
    "token",
    [
        "x" * 15,
        "x" * 16,
        "x" * 512,
        "x" * 513,
        "with a blank in it",
        "with:a:colon:in:it",
        "non-ascii-é-in-it",
        "~!@#$%^&*()_+-=[]{}",
        "x" * 16 + "\n",
    ],
)
def test_tokens_are_those_of_the_api(token: str) -> None:
    told = [_refusal(TokenRole, token), _refusal(options.TokenSpec, token)]
    assert told[0] is None if told[1] is None else told[0] is not None
    assert token not in str(told)


def _refusal(make: Callable[..., object], token: str) -> str | None:
    try:
        make(token=token)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("admin: {token: short}", "admin.token: is not fit: 16 to 512 printable"),
        ("admin: {tokens: [{role: read}]}", "admin.tokens[0].token: missing"),
        (f"admin: {{tokens: [{{token: {TOKEN}, role: root}}]}}", "admin.tokens[0].role: 'root'"),
        (
            f"admin: {{token: {TOKEN}, tokens: [{{token: {TOKEN}}}]}}",
            "admin.tokens[0].token: the same token stands above",
        ),
        ("admin: {listen: []}", "admin.listen: is an empty list"),
        ("admin: {listen: [':1', ':1']}", "admin.listen[1]: :1 is listed twice"),
        ("admin: {allowed_hosts: ['*.a']}", "admin.allowed_hosts[0]: '*.a' is not a host name"),
        ("purge: {max_lag: 499ms}", "purge.max_lag: '499ms' is out of range"),
        ("purge: {wait: 61m}", "purge.wait: '61m' is out of range"),
        ("purge: {write_wait: 2h}", "purge.write_wait: '2h' is out of range"),
        ("purge: {max_lag: 61s}", "purge.max_lag: '61s' is out of range"),
        ("purge: {wait: 5}", "purge.wait: a duration needs a unit"),
    ],
)
def test_what_cannot_be(text: str, problem: str) -> None:
    assert problem_of(text).startswith(problem)


def test_hosts_are_compared_in_lower_case() -> None:
    admin = admin_of("{allowed_hosts: [Proxy.Example, '*']}")
    assert admin is not None
    assert admin.allowed_hosts == ("proxy.example", "*")


def test_what_a_purge_waits_for() -> None:
    purge = settings_from("purge: {wait: 0, write_wait: 1s, max_lag: 500ms}", file="", env={}).purge
    assert (purge.wait, purge.write_wait, purge.max_lag) == (0.0, 1.0, 0.5)


class TestFlag:
    def test_an_address(self) -> None:
        settings = settings_from(f"admin: {{token: {TOKEN}}}", file="c.yaml", env={})
        admin = settings.with_overrides(admin="127.0.0.1:0").admin
        assert admin is not None
        assert (admin.listen, admin.token) == ((TcpAddress("127.0.0.1", 0),), TOKEN)
        assert admin.listen_given

    def test_off(self) -> None:
        assert defaults().with_overrides(admin="off").admin is None

    def test_on_again(self) -> None:
        settings = settings_from("admin: off", file="c.yaml", env={})
        admin = settings.with_overrides(admin=":81").admin
        assert admin is not None
        assert admin.listen == (TcpAddress("", 81),)

    def test_it_must_be_an_address(self) -> None:
        with pytest.raises(SettingsError) as caught:
            defaults().with_overrides(admin="on")
        assert str(caught.value) == "--admin: 'on' has no port; write on:8080"

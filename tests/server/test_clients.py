"""What counts as one client, and how many connections it may hold."""

import pytest

from proxy.server.clients import Clients, network_of


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no address", "no address"),
    ],
)
def test_one_client(address: str, client: str) -> None:
    assert network_of(address) == client


def test_no_more_than_the_limit() -> None:
    clients = Clients(2)
    assert [clients.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert clients.enter("192.0.2.2")
    clients.leave("192.0.2.1")
    assert clients.enter("192.0.2.1")


def test_a_site_is_one_client() -> None:
    clients = Clients(1)
    assert clients.enter("2001:db8::1")
    assert not clients.enter("2001:db8::2")
    assert clients.enter("2001:db8:0:1::1")


def test_who_has_left_leaves_no_trace() -> None:
    clients = Clients(1)
    for number in range(100):
        clients.enter(f"192.0.2.{number}")
        clients.leave(f"192.0.2.{number}")
    assert not clients._held


@pytest.mark.parametrize(("limit", "address"), [(None, "192.0.2.1"), (1, "")])
def test_nobody_counts(limit: int | None, address: str) -> None:
    clients = Clients(limit)
    assert all(clients.enter(address) for _ in range(3))
    clients.leave(address)

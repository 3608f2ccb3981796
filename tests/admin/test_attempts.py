"""Wrong tokens in a row: 429, and what it does not do."""

import logging

import pytest

from proxy.admin.attempts import Attempts
from tests.admin.conftest import READ, Admin


def test_a_burst_is_forgiven_and_one_every_six_seconds() -> None:
    attempts = Attempts()
    assert not any(attempts.failed("192.0.2.1", 0.0) for _ in range(10))
    assert attempts.failed("192.0.2.1", 0.0) == 6.0
    assert attempts.failed("192.0.2.1", 3.0) == 3.0
    assert attempts.failed("192.0.2.1", 9.0) == 0.0
    assert not any(attempts.failed("192.0.2.1", 1000.0) for _ in range(10))


def test_each_client_has_its_own() -> None:
    attempts = Attempts()
    for _ in range(11):
        attempts.failed("2001:db8::1", 0.0)
    assert attempts.failed("2001:db8::2", 0.0)
    assert not attempts.failed("2001:db8:0:1::1", 0.0)


def test_memory_is_bounded() -> None:
    attempts = Attempts()
    for number in range(5000):
        attempts.failed(f"10.0.{number // 256}.{number % 256}", float(number))
    assert len(attempts._last) == 4096


async def test_too_many_wrong_tokens(admin: Admin, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    wrong = admin.by("wrong-token-0123456789")
    statuses = [(await wrong.ask("GET", "/stats")).status for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    refusal = await wrong.ask("GET", "/stats")
    assert 1 <= int(refusal.headers["Retry-After"]) <= 6
    assert caplog.text.count("No valid token") == 10
    assert "wrong-token" not in caplog.text
    # Neither who has a token nor who shows none is kept out.
    assert (await admin.by(READ).ask("GET", "/stats")).status == 200
    assert (await admin.by(None).ask("GET", "/stats")).status == 401

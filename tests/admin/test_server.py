"""The server as a whole: its start and end, and what must not leak."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.admin import AdminOptions, AdminServer, Role, TokenSpec
from proxy.token_file import TokenFileError
from tests.admin.conftest import ADMIN, OPTIONS, PURGE, READ, Admin, Shelf, admin_of, document


async def test_without_tokens_one_is_made_and_found_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state" / "token"
    options = AdminOptions(listen=("127.0.0.1:0",), token_file=path)
    async with admin_of(Shelf(), options) as admin:
        made = admin.server.made_token
        assert made is not None
        assert (made.created, made.path) == (True, path)
        assert (await admin.by(made.token).ask("GET", "/stats")).status == 200
        assert (await admin.by(made.token + "x").ask("GET", "/stats")).status == 401
        with caplog.at_level(logging.INFO):
            await admin.by(made.token).ask("POST", "/purge", body={"tags": ["a"]})
        assert any(one.startswith("admin purges ") for one in caplog.messages)
    async with admin_of(Shelf(), options) as admin:
        again = admin.server.made_token
        assert again is not None
        assert (again.created, again.token) == (False, made.token)


async def test_with_tokens_no_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "token"
    async with admin_of(Shelf(), replace(OPTIONS, token_file=path)) as admin:
        assert admin.server.made_token is None
    assert not path.exists()


async def test_the_default_file_is_where_the_command_line_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    async with admin_of(Shelf(), AdminOptions(listen=("127.0.0.1:0",))) as admin:
        assert admin.server.made_token is not None
        assert admin.server.made_token.path == tmp_path / "warmfront" / "admin-token"


async def test_a_file_that_others_can_read_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("x" * 32)
    path.chmod(0o644)
    server = AdminServer(Shelf(), AdminOptions(listen=("127.0.0.1:0",), token_file=path))
    with pytest.raises(TokenFileError):
        await server.start()
    assert not server.ports


async def test_several_addresses_or_none(tmp_path: Path) -> None:
    options = replace(OPTIONS, listen=("127.0.0.1:0", "127.0.0.1:0", f"unix:{tmp_path}/admin"))
    async with admin_of(Shelf(), options) as admin:
        assert len(set(admin.server.ports)) == 3
        taken = replace(OPTIONS, listen=("127.0.0.1:0", f"127.0.0.1:{admin.port}"))
        second = AdminServer(Shelf(), taken)
        with pytest.raises(OSError, match="in use"):
            await second.start()
        with pytest.raises(ConnectionRefusedError):
            await Admin(second, Shelf()).ask("GET", "/healthz")


async def test_new_tokens_apply_at_once(admin: Admin) -> None:
    admin.server.reload(replace(OPTIONS, tokens=(TokenSpec("the-new-one-012345", Role.ADMIN),)))
    assert (await admin.ask("GET", "/stats")).status == 401
    assert (await admin.by("the-new-one-012345").ask("GET", "/stats")).status == 200
    twice = (TokenSpec(ADMIN), TokenSpec(ADMIN))
    with pytest.raises(ValueError, match="twice"):
        admin.server.reload(replace(OPTIONS, tokens=twice))
    assert (await admin.by("the-new-one-012345").ask("GET", "/stats")).status == 200


async def test_logs_tell_who_and_how_much_but_no_secret(
    admin: Admin, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await admin.by(PURGE).ask("POST", "/purge", body={"tags": ["secret-tag"], "soft": True})
        await admin.ask("PURGE", "http://a/?q=secret-query")
        await admin.by("wrong-token-0123456789").ask("GET", "/stats")
        await admin.by(READ).ask("POST", "/purge/tag/secret-tag")
    assert "purger purges softly 1 tag" in caplog.text
    assert "admin purges 1 URL" in caplog.text
    assert "No valid token from 127.0.0.1" in caplog.text
    for secret in (PURGE, ADMIN, READ, "wrong-token", "secret-tag", "secret-query"):
        assert secret not in caplog.text


async def test_answers_are_neither_stored_nor_sniffed(admin: Admin) -> None:
    for answer in (await admin.ask("GET", "/stats"), await admin.by(None).ask("GET", "/stats")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_an_error_of_ours_is_a_problem_without_details(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise RuntimeError("inside")

    monkeypatch.setattr(admin.shelf, "stats", fail)
    answer = await admin.ask("GET", "/stats")
    assert answer.status == 500
    assert b"inside" not in answer.body
    assert document(answer)["status"] == 500
    assert "No answer" in caplog.text


async def test_heads_are_bounded(admin: Admin) -> None:
    answer = await admin.ask("PURGE", "/", ("xkey", "a" * 40_000))
    assert answer.status == 431
    assert not admin.shelf.orders


async def test_jobs_end_with_the_server(shelf: Shelf) -> None:
    shelf.gate = asyncio.Event()
    async with admin_of(shelf) as admin:
        await admin.ask("POST", "/warm", body={"urls": ["http://a/"]})
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("warm")]

"""What the machine refuses, in words; and the loop that things run on."""

import asyncio
import errno
import socket
import ssl

import pytest
import typer

from proxy.cli.serving import explain, run_to_end


@pytest.mark.parametrize(
    ("error", "sentence", "help_"),
    [
        (OSError(errno.EADDRINUSE, "address in use"), "address in use", "another address"),
        (PermissionError(errno.EACCES, "not permitted"), "not permitted", "above 1023"),
        (OSError(errno.EADDRNOTAVAIL, "no such address"), "no such address", "this machine"),
        (socket.gaierror(socket.EAI_NONAME, "unknown name"), "unknown name", "this machine"),
        (FileNotFoundError(errno.ENOENT, "missing", "/k.pem"), "/k.pem: missing", "may read"),
        (ssl.SSLError(1, "wrong key"), "wrong key", "belongs to it"),
        (OSError("something else"), "something else", None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_explain(error: OSError, sentence: str, help_: str | None) -> None:
    told, hint = explain(error)
    assert told == sentence
    assert hint is help_ or (hint and help_ and help_ in hint)


def test_the_result_comes_back() -> None:
    async def main() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run_to_end(main()) in {"uvloop", "asyncio.unix_events"}


def test_a_refusal_of_the_machine_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        raise OSError(errno.EADDRINUSE, "port 80 is in use")

    with pytest.raises(typer.Exit) as leaving:
        run_to_end(main())
    assert leaving.value.exit_code == 1
    assert "port 80 is in use" in capsys.readouterr().err


def test_an_interrupt_before_anybody_listens_for_it() -> None:
    async def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as leaving:
        run_to_end(main())
    assert leaving.value.exit_code == 130

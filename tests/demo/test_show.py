"""`warmfront demo` as its users start it: a process, what it prints, its exit code."""

import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest

from proxy.demo.show import HOST, _free_address
from proxy.demo.tour import TOUR

DEMO = [sys.executable, "-m", "proxy", "demo"]
PATIENCE = 45.0


def test_the_tour_goes_as_announced() -> None:
    done = subprocess.run(
        [*DEMO, "--once", "--listen", f"{HOST}:0"],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert f"All {len(TOUR)} as announced" in done.stdout
    for word in ("miss", "hit", "304", "stale", "private", "passed"):
        assert f" {word} " in done.stdout


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_stays_up_with_lines_to_try_until_told_to_stop(how: signal.Signals) -> None:
    command = [*DEMO, "--listen", f"{HOST}:0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            printed = ""
            while "Ctrl-C" not in printed:
                line = process.stdout.readline()
                assert line, printed
                printed += line
            assert re.search(r"Watch it on http://127\.0\.0\.1:\d+/dashboard", printed)
            lines = re.findall(r"^ *(curl .*)$", printed, re.MULTILINE)
            assert len(lines) == len(TOUR)
            url = shlex.split(lines[0])[-1]
            with urllib.request.urlopen(url, timeout=PATIENCE) as response:  # noqa: S310
                assert "stored" in response.headers["Cache-Status"]
            process.send_signal(how)
            assert process.wait(PATIENCE) == 0
        finally:
            watchdog.cancel()
            process.kill()


def test_an_address_in_use_is_refused_when_it_was_asked_for() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*DEMO, "--once", "--listen", f"{HOST}:{port}"],
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr


def test_it_wants_an_address_that_curl_reaches() -> None:
    done = subprocess.run(
        [*DEMO, "--listen", "unix:/tmp/demo.sock"],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert "--listen" in done.stderr


def test_the_next_free_port_is_taken() -> None:
    with socket.create_server((HOST, 0)) as taken, socket.create_server((HOST, 0)) as probe:
        used, free = taken.getsockname()[1], probe.getsockname()[1]
        probe.close()
        assert _free_address([used, free]) == f"{HOST}:{free}"
        assert _free_address([used]) == f"{HOST}:0"

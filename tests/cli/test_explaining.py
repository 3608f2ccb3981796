"""`warmfront explain`, before an admin API that says what it is told, and before a real one."""

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests.cli.warmfront import warmfront
from tests.client.fake_admin import FakeAdmin, Reply, problem

URL = "http://api.example/a?b=[c]"
FOUND: dict[str, Any] = {
    "summary": "Would be a miss. Nothing is stored for this URL. [uri-miss]",
    "words": [
        {"title": "Key", "lines": [URL, "hash 0123"]},
        {"title": "For a hit", "lines": ["Ask again."]},
    ],
}


def test_it_is_told_in_words(admin: FakeAdmin) -> None:
    admin.will(Reply(FOUND))
    code, out, err = warmfront("explain", URL, "--admin", admin.url)
    assert (code, err) == (0, "")
    assert out == (
        "Would be a miss. Nothing is stored for this URL. [uri-miss]\n"
        "Key\n"
        f"  {URL}\n"
        "  hash 0123\n"
        "For a hit\n"
        "  Ask again.\n"
    )


@pytest.mark.parametrize(
    ("flags", "asked"),
    [
        pytest.param([], [("method", "GET"), ("mode", "simulate")], id="simulated"),
        pytest.param(["--send"], [("method", "GET"), ("mode", "send")], id="sent"),
        pytest.param(["--send", "--probe"], [("method", "GET"), ("mode", "probe")], id="probed"),
        pytest.param(
            ["--method", "HEAD", "-H", "A: b, c", "--header", "A: d"],
            [("method", "HEAD"), ("mode", "simulate"), ("header", "A: b, c"), ("header", "A: d")],
            id="with fields",
        ),
    ],
)
def test_what_is_asked(admin: FakeAdmin, flags: list[str], asked: list[tuple[str, str]]) -> None:
    admin.will(Reply(FOUND))
    assert warmfront("explain", URL, *flags, "--admin", admin.url)[0] == 0
    path, _, query = admin.asked[0].target.partition("?")
    assert (path, parse_qsl(query)) == ("/explain", [("url", URL), *asked])


def test_a_past_request(admin: FakeAdmin) -> None:
    admin.will(Reply(FOUND))
    assert warmfront("explain", "--id", "Root=1/a", "--admin", admin.url)[0] == 0
    assert admin.asked[0].target == "/explain/requests/Root%3D1%2Fa"


def test_all_facts_as_json(admin: FakeAdmin) -> None:
    admin.will(Reply(FOUND))
    _, out, _ = warmfront("explain", URL, "--json", "--admin", admin.url)
    assert json.loads(out) == FOUND


@pytest.mark.parametrize(
    "arguments", [[], [URL, "--id", "a"], ["--id", "a", "--send"]], ids=["none", "both", "again"]
)
def test_what_cannot_be_meant(arguments: list[str]) -> None:
    code, out, err = warmfront("explain", *arguments)
    assert (code, out) == (2, "")
    assert "try: " in err


def test_a_refusal(admin: FakeAdmin) -> None:
    fault = {"where": "query url", "what": "not an absolute URL", "how": "write http://host/path"}
    admin.will(problem(422, "Unprocessable Content", "This is no request.", fault))
    code, out, err = warmfront("explain", "/a", "--admin", admin.url)
    assert (code, out) == (1, "")
    assert "write http://host/path" in err

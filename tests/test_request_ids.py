import re

import pytest

from proxy.request_ids import RequestIds
from proxy.rfc9111.messages import Headers


@pytest.mark.parametrize("given", ["a", "Root=1-67891233-abcdef", "x" * 128, "YWJj+/=="])
def test_a_client_s_name_stays(given: str) -> None:
    assert RequestIds().name(Headers({"x-request-id": given})) == given


@pytest.mark.parametrize("given", ["", " ", "a b", "a\x1b[0m", '"', "x" * 129, "é"])
def test_what_could_be_taken_for_something_else_is_not_used(given: str) -> None:
    ids = RequestIds()
    assert ids.name(Headers({"X-Request-Id": given})) != given


def test_no_two_requests_are_called_the_same() -> None:
    ids, others = RequestIds(), RequestIds()
    names = {each.name(Headers()) for each in (ids, others) for _ in range(100)}
    assert len(names) == 200


def test_every_line_names_one_request() -> None:
    ids = RequestIds()
    lines = [ids.line(None) for _ in range(1000)]
    assert len(set(lines)) == 1000
    assert all(re.fullmatch(rb"Warmfront-Request-Id: [0-9a-f]{16}\r\n", line) for line in lines)
    assert ids.line(b" mine\t") == b"Warmfront-Request-Id: mine\r\n"

import re

import pytest

from proxy.request_ids import RequestIds, ending_of, name_given
from proxy.rfc9111.messages import Headers


@pytest.mark.parametrize("given", ["a", "Root=1-67891233-abcdef", "x" * 128, "YWJj+/=="])
def test_a_client_s_name_stays(given: str) -> None:
    assert RequestIds().name(Headers({"x-request-id": given})) == given.encode()
    assert name_given(b" %b\t" % given.encode()) == given.encode()


@pytest.mark.parametrize("given", ["", " ", "a b", "a\x1b[0m", '"', "x" * 129, "é"])
def test_what_could_be_taken_for_something_else_is_not_used(given: str) -> None:
    ids = RequestIds()
    assert re.fullmatch(rb"[0-9a-f]{16}", ids.name(Headers({"X-Request-Id": given})))
    assert name_given(given.encode("latin-1")) is None


def test_no_two_requests_are_called_the_same() -> None:
    ids, others = RequestIds(), RequestIds()
    names = {each.name(Headers()) for each in (ids, others) for _ in range(100)}
    assert len(names) == 200


def test_a_name_is_told_in_the_last_line_of_a_head() -> None:
    assert ending_of(b"mine") == b"Warmfront-Request-Id: mine\r\n\r\n"

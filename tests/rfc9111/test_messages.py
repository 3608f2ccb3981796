import pytest

from proxy.rfc9111.messages import Headers, Request, field_value


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        pytest.param([], None, id="5.3-absent"),
        pytest.param([""], "", id="5.3-empty is not absent"),
        pytest.param(["a, b"], "a, b", id="5.3-one line as it is"),
        pytest.param(["a", "", "b"], "a, , b", id="5.3-lines joined in order"),
    ],
)
def test_field_value(lines: list[str], value: str | None) -> None:
    headers = Headers([("Other", "x"), *(("x-name", line) for line in lines)])
    assert field_value(headers, "X-Name") == value


@pytest.mark.parametrize("target", ["/", "/a%2Fb//../c?d?e", "*"])
def test_7_1_the_target_uri_keeps_every_byte_of_the_target(target: str) -> None:
    request = Request("GET", "https", "api.example:8443", target, Headers())
    assert request.uri == f"https://api.example:8443{target}"

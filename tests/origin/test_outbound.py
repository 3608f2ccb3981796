import pytest
from multidict import CIMultiDict

from proxy.origin import Outbound
from proxy.origin.outbound import render_head
from tests.origin.conftest import Pieces


def test_target_and_fields_go_out_byte_for_byte() -> None:
    headers = CIMultiDict([("hOST", "Api"), ("X-A", "\xff  1"), ("x-a", ""), ("X-A", "2")])
    head = render_head(Outbound("BREW", "/a%7e/../b//;x?\xe9?", headers))
    assert head == (
        b"BREW /a%7e/../b//;x?\xe9? HTTP/1.1\r\n"
        b"hOST: Api\r\nX-A: \xff  1\r\nx-a: \r\nX-A: 2\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("method", "body", "framing"),
    [
        pytest.param("GET", None, b"", id="none without a body"),
        pytest.param("DELETE", None, b"", id="none for DELETE without a body"),
        pytest.param("POST", None, b"Content-Length: 0\r\n", id="RFC 9110 8.6: POST says so"),
        pytest.param("GET", Pieces(length=0), b"Content-Length: 0\r\n", id="empty body"),
        pytest.param("POST", Pieces(length=7), b"Content-Length: 7\r\n", id="known length"),
        pytest.param("PUT", Pieces(), b"Transfer-Encoding: chunked\r\n", id="unknown length"),
    ],
)
def test_framing_follows_the_body(method: str, body: Pieces | None, framing: bytes) -> None:
    head = render_head(Outbound(method, "/", CIMultiDict(Host="x"), body))
    assert head == b"%b / HTTP/1.1\r\nHost: x\r\n%b\r\n" % (method.encode(), framing)


def test_an_upgrade_asks_for_it() -> None:
    headers = CIMultiDict([("Host", "x"), ("Upgrade", "websocket")])
    head = render_head(Outbound("GET", "/", headers, upgrade=True))
    assert head.endswith(b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n")


@pytest.mark.parametrize("name", ["content-length", "Transfer-Encoding", "Connection"])
def test_framing_from_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"(?i){name}"):
        render_head(Outbound("GET", "/", CIMultiDict({name: "1"})))


@pytest.mark.parametrize("bad", ["\r", "\n", "\r\n", "\0", "a\r\nEvil: 1"])
@pytest.mark.parametrize("place", ["method", "target", "name", "value"])
def test_a_request_cannot_be_split(bad: str, place: str) -> None:
    parts = {"method": "GET", "target": "/", "name": "X", "value": "y"}
    parts[place] += bad
    headers = CIMultiDict({parts["name"]: parts["value"]})
    with pytest.raises(ValueError, match="line break"):
        render_head(Outbound(parts["method"], parts["target"], headers))


@pytest.mark.parametrize(
    "outbound",
    [
        pytest.param(Outbound("GET", "/", CIMultiDict()), id="9.2.2-GET"),
        pytest.param(Outbound("DELETE", "/", CIMultiDict()), id="9.2.2-DELETE"),
    ],
)
def test_what_may_be_sent_twice(outbound: Outbound) -> None:
    assert outbound.replayable


@pytest.mark.parametrize(
    "outbound",
    [
        pytest.param(Outbound("PUT", "/", CIMultiDict(), Pieces()), id="the body is gone"),
        pytest.param(Outbound("POST", "/", CIMultiDict()), id="9.2.2-POST"),
        pytest.param(Outbound("BREW", "/", CIMultiDict()), id="9.2.2-unknown"),
        pytest.param(Outbound("get", "/", CIMultiDict()), id="9.1-methods are case-sensitive"),
        pytest.param(Outbound("GET", "/", CIMultiDict(), upgrade=True), id="7.8-an upgrade"),
    ],
)
def test_what_may_not(outbound: Outbound) -> None:
    assert not outbound.replayable

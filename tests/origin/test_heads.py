from typing import Any

import pytest

from proxy.origin.errors import OriginError
from proxy.origin.heads import Head, check_head, check_raw_head, parse_head
from proxy.rfc9111.reasons import Reason


def checked(*fields: tuple[bytes, bytes], **changes: Any) -> Head:
    facts: dict[str, Any] = {
        "version": (1, 1),
        "status": 200,
        "reason": "OK",
        "persistent": True,
        "head_only": False,
        "fields": fields,
    }
    return check_head(**(facts | changes))


CHUNKED = (b"Transfer-Encoding", b"chunked")
FIVE = (b"content-length", b"5")


@pytest.mark.parametrize(
    ("fields", "changes", "length"),
    [
        pytest.param((), {}, None, id="6.3-8 until close"),
        pytest.param((FIVE,), {}, 5, id="6.3-6 Content-Length"),
        pytest.param((CHUNKED,), {}, None, id="6.3-4 chunked"),
        pytest.param(((b"Transfer-Encoding", b"Chunked"),), {}, None, id="7 codings ignore case"),
        pytest.param((FIVE,), {"head_only": True}, 0, id="6.3-1 HEAD"),
        pytest.param((FIVE,), {"status": 304}, 0, id="6.3-1 304"),
        pytest.param((FIVE,), {"status": 204}, 0, id="6.3-1 204"),
        pytest.param((), {"status": 103}, 0, id="6.3-1 1xx"),
        pytest.param((FIVE,), {"status": 999}, 5, id="9110-15 out of range passes"),
        pytest.param((FIVE,), {"version": (1, 0)}, 5, id="HTTP/1.0"),
    ],
)
def test_body_length(
    fields: tuple[tuple[bytes, bytes], ...], changes: dict[str, Any], length: int | None
) -> None:
    assert checked(*fields, **changes).length == length


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        pytest.param((FIVE, (b"Content-Length", b"6")), {}, id="6.3-5 differing lengths"),
        pytest.param((FIVE, FIVE), {}, id="6.3-5 repeated length"),
        pytest.param(((b"Content-Length", b"5, 5"),), {}, id="6.3-5 list of lengths"),
        pytest.param(((b"Content-Length", b"+5"),), {}, id="9110-8.6 sign"),
        pytest.param(((b"Content-Length", b""),), {}, id="9110-8.6 empty"),
        pytest.param(((b"Content-Length", "\u0665".encode()),), {}, id="9110-8.6 not ASCII"),
        pytest.param(((b"Content-Length", b"1" * 20),), {}, id="9110-8.6 overflow"),
        pytest.param(((b"Content-Length ", b"5"),), {}, id="5.1 white space before the colon"),
        pytest.param(((b"Transfer-Encoding\t", b"chunked"),), {}, id="5.1 a tab"),
        pytest.param(((b"A(b)", b"c"),), {}, id="5.1 no token"),
        pytest.param((CHUNKED, FIVE), {}, id="6.3-3 both"),
        pytest.param((CHUNKED, CHUNKED), {}, id="6.1 chunked twice"),
        pytest.param(((b"Transfer-Encoding", b"gzip, chunked"),), {}, id="6.1 unknown coding"),
        pytest.param(((b"Transfer-Encoding", b"identity"),), {}, id="6.1 identity"),
        pytest.param(((b"Transfer-Encoding", b"chun\xe2\x84\xaaed"),), {}, id="6.1 Kelvin sign"),
        pytest.param((CHUNKED,), {"version": (1, 0)}, id="6.1 HTTP/1.0 chunked"),
        pytest.param((FIVE,), {"status": 103}, id="9110-8.6 length in 1xx"),
        pytest.param((CHUNKED,), {"status": 100}, id="6.1 coding in 1xx"),
        pytest.param((), {"status": 99}, id="9110-15 status too small"),
        pytest.param((), {"version": (2, 0)}, id="2.3 HTTP/2.0"),
        pytest.param((), {"version": (0, 9)}, id="2.3 HTTP/0.9"),
    ],
)
def test_a_head_that_two_readers_could_read_differently_is_refused(
    fields: tuple[tuple[bytes, bytes], ...], changes: dict[str, Any]
) -> None:
    with pytest.raises(OriginError) as raised:
        checked(*fields, **changes)
    assert raised.value.reason is Reason.ORIGIN_MALFORMED
    assert raised.value.status == 502


@pytest.mark.parametrize(
    ("status", "head_only", "fields", "persistent", "hollow"),
    [
        (204, False, (), True, False),
        (204, False, ((b"Content-Length", b"0"),), True, False),
        (204, False, (FIVE,), False, True),
        (204, False, (CHUNKED,), False, True),
        (304, False, (), True, False),
        (304, False, (FIVE,), True, True),
        (200, True, (FIVE,), True, True),
        (200, True, (CHUNKED,), True, True),
        (200, True, (), True, False),
        (200, False, (FIVE,), True, False),
        (200, False, ((b"Content-Length", b"0"),), True, False),
    ],
)
def test_a_message_without_content_that_tells_of_some(
    status: int,
    fields: tuple[tuple[bytes, bytes], ...],
    *,
    head_only: bool,
    persistent: bool,
    hollow: bool,
) -> None:
    """It may come yet, before the next answer on the connection."""
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    raw = b"HTTP/1.1 %d Some\r\n%b\r\n" % (status, lines)
    for head in (
        checked(*fields, status=status, head_only=head_only),
        parse_head(raw, head_only=head_only, max_fields=9),
    ):
        assert (head.persistent, head.hollow) == (persistent, hollow)


def test_fields_keep_order_case_repeats_and_bytes() -> None:
    fields = ((b"ETag", b'"\xe9"'), (b"set-cookie", b"a"), (b"Set-Cookie", b"b"), (b"x", b""))
    assert list(checked(*fields).headers.items()) == [
        ("ETag", '"\xe9"'),
        ("set-cookie", "a"),
        ("Set-Cookie", "b"),
        ("x", ""),
    ]


def test_interim_is_1xx() -> None:
    assert checked(status=199).interim
    assert not checked(status=200).interim


@pytest.mark.parametrize("byte", [*range(9), 11, 12, *range(14, 32), 127])
def test_control_bytes_are_refused(byte: int) -> None:
    with pytest.raises(OriginError):
        check_raw_head(b"HTTP/1.1 200 OK\r\nX: a%cb\r\n\r\n" % byte)


@pytest.mark.parametrize("space", [b" ", b"\t"])
def test_space_before_the_first_field_is_refused(space: bytes) -> None:
    with pytest.raises(OriginError):
        check_raw_head(b"HTTP/1.1 200 OK\r\n" + space + b"X: a\r\n\r\n")


def test_other_bytes_are_not() -> None:
    check_raw_head(b"HTTP/1.1 200 OK\r\nX: \ta\x80\xff\r\n\r\n")

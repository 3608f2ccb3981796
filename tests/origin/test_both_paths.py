"""The lean path against the one over aiohttp: the same bytes mean the same, or are refused.

Two parsers that were written apart seldom share a mistake.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.exchange import BodyAborted
from proxy.origin import OriginClient, OriginError
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.reasons import Reason
from tests.origin.conftest import get, read
from tests.origin.in_memory import Network, Speech, hang_up, reset
from tests.scripted_origin import reply

End = Callable[[asyncio.Protocol], None]


@dataclass
class Outcome:
    """All that a client can know of an exchange.

    Attributes:
        error: Why there is no response, or why its body has no end.
    """

    interim: list[tuple[int, str, tuple[tuple[str, str], ...]]]
    head: tuple[int, str, tuple[tuple[str, str], ...], int | None] | None = None
    body: bytes = b""
    error: Reason | None = None

    @property
    def whole(self) -> bool:
        return self.error is None


async def _outcome(says: Speech, *, method: str, lean: bool) -> Outcome:
    network = Network(lambda _: says)
    client = network.client(lean=lean)
    outcome = Outcome([])

    def note(status: int, reason: str, headers: Headers) -> None:
        outcome.interim.append((status, reason, tuple(headers.items())))

    try:
        async with asyncio.timeout(5):
            response = await client.fetch(get(method=method, on_interim=note))
            outcome.head = (
                response.status,
                response.reason,
                tuple(response.headers.items()),
                response.length,
            )
            async for piece in response.body:
                outcome.body += piece
    except (OriginError, BodyAborted) as error:
        outcome.error = error.reason
    finally:
        await client.close()
        network.close()
    return outcome


def outcome(segments: list[bytes], end: End, *, method: str = "GET", lean: bool) -> Outcome:
    return asyncio.run(_outcome(Speech(segments, end), method=method, lean=lean))


def mostly(usual: str, odd: str) -> st.SearchStrategy[bytes]:
    """Four times out of five something usual; `|` stands between, escapes are Python's."""

    def samples(text: str) -> st.SearchStrategy[bytes]:
        parts = [part.strip(" ") for part in text.replace("\n", "|").split("|")]
        return st.sampled_from(
            [part.encode().decode("unicode_escape").encode("latin-1") for part in parts if part]
        )

    return st.integers(0, 4).flatmap(lambda one: samples(usual) if one else samples(odd))


STATUS_LINES = mostly(
    r"""HTTP/1.1 200 OK | HTTP/1.1 200 OK | HTTP/1.1 404 | HTTP/1.1 299 a\tb\xff
        HTTP/1.0 200 OK | HTTP/1.1 204 No | HTTP/1.1 304 Not | HTTP/1.1 103 Hints""",
    r"""HTTP/1.1 100 Continue | HTTP/1.1 101 S | HTTP/1.1 999\x20 | HTTP/1.2 200 OK | HTTP/2 200
        HTTP/1.1 20 OK | HTTP/1.1 2000 | HTTP/1.1  200 OK | HTTP/1.1 099 O""",
)
FRAMING = mostly(
    r"Content-Length: 5 | content-length:5 | Transfer-Encoding: chunked | X: y",
    r"""Content-Length: 0 | Content-Length: +5 | Content-Length: 5,5 | Content-Length: 05
        Content-Length:\t5\x20 | Content-Length: | transfer-encoding: Chunked\x20
        Transfer-Encoding: gzip, chunked | Transfer-Encoding:""",
)
FIELDS = mostly(
    r"""Connection: close | Connection: keep-alive | connection: x, CLOSE | X: y | x:\t\xe9\x20
        X: | Set-Cookie: a | set-cookie: b | Key: a b c d e f g h i j k l m n o p q r s t u v""",
    r"""Connection: Upgrade | Upgrade: x | X : y | \x20folded | \tfolded | no colon | : no name
        X\x00: y | X: \x7f | X: a\rb | X: a\nY: b | X\xe9: a | X(: a | Content-Length: 5
        Transfer-Encoding: chunked""",
)
CHUNKS = mostly(
    r"5\r\nhello\r\n | 05;a=b\r\nhello\r\n | a\r\nhellohello\r\n",
    r"""5\nhello\r\n | 5\r\nhello\n | 0\r\nT : x\r\n\r\n | g\r\n | +5\r\nhello\r\n
        5 \r\nhello\r\n | 4\r\nhello\r\n | \r\n | 0\r\n | 5;a="\r"\r\nhello\r\n""",
)
LAST_CHUNKS = mostly(r"0\r\n\r\n | 00;a\r\nT: x\r\n\r\n", r"0\r\n | 0 | 0\r\n\r\n!")
BODIES = mostly(r"hello", r"hell | hello! | helloHTTP/1.1 200 OK\r\n\r\n")
CHUNKED_BODIES = st.builds(
    lambda chunks, last: b"".join([*chunks, last]), st.lists(CHUNKS, max_size=4), LAST_CHUNKS
)
LINE_ENDS = st.sampled_from([b"\n", b"\r", b"\r\r\n"])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A response that may be wrong in one way or another."""
    framing = draw(FRAMING)
    lines = [draw(STATUS_LINES), *draw(st.lists(FIELDS, max_size=3)), framing]
    ends = LINE_ENDS if draw(st.integers(0, 19)) == 7 else st.just(b"\r\n")
    body = draw(CHUNKED_BODIES if b"hunked" in framing else BODIES)
    return b"".join([*(line + draw(ends) for line in lines), draw(ends), body])


@st.composite
def segmented(draw: st.DrawFn) -> list[bytes]:
    """One to three messages, cut anywhere."""
    data = b"".join(draw(st.lists(messages(), min_size=1, max_size=3)))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=4)))
    edges = [0, *cuts, len(data)]
    return [data[a:b] for a, b in pairwise(edges) if data[a:b]]


ENDS = st.sampled_from([hang_up, reset])
METHODS = st.sampled_from(["GET", "GET", "HEAD"])


@settings(max_examples=250, deadline=None, derandomize=True)
@given(segmented(), ENDS, METHODS)
def test_the_same_bytes_mean_the_same_or_are_refused(
    segments: list[bytes], end: End, method: str
) -> None:
    lean = outcome(segments, end, method=method, lean=True)
    other = outcome(segments, end, method=method, lean=False)
    if lean.whole or (other.whole and lean.error is not Reason.ORIGIN_MALFORMED):
        assert lean == other


@pytest.mark.parametrize(
    ("behind", "body"),
    [
        pytest.param(b'5 ; a="b"\r\nhello\r\n0\r\n\r\n', b"hello", id="7.1.1 space in extensions"),
    ],
)
def test_only_the_lean_path_reads(behind: bytes, body: bytes) -> None:
    response = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + behind]
    assert outcome(response, hang_up, lean=True).body == body
    assert outcome(response, hang_up, lean=True).whole
    assert not outcome(response, hang_up, lean=False).whole


@pytest.mark.parametrize(
    "behind",
    [
        pytest.param(b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n", id="7.1.1 a long extension"),
        pytest.param(
            b"0\r\n" + (b"T: " + b"x" * 90 + b"\r\n") * 100 + b"\r\n", id="7.1.2 endless trailers"
        ),
    ],
)
def test_only_the_lean_path_refuses(behind: bytes) -> None:
    response = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + behind]
    assert outcome(response, hang_up, lean=True).error is Reason.ORIGIN_MALFORMED
    assert outcome(response, hang_up, lean=False).whole


ROUNDS = 50
"""Of the loop, in which a conversation in memory comes to its end or stalls for good."""


async def _ask_thrice(first: Speech, *, lean: bool) -> None:
    told = False

    def says(request: bytes) -> Speech:
        nonlocal told
        if told:
            return Speech([reply(request.split()[1])])
        told = True
        return first

    network = Network(says)
    client = network.client(lean=lean, connections=1)
    asked = asyncio.create_task(_ask_first(client))
    for _ in range(ROUNDS):
        await asyncio.sleep(0)
    asked.cancel()  # all that will ever come has come
    await asyncio.wait([asked])
    if not asked.cancelled():
        asked.result()
    async with asyncio.timeout(5):
        for path in ("/second", "/third"):
            assert await read(await client.fetch(get(path))) == path.encode()
        await client.close()
    network.close()


async def _ask_first(client: OriginClient) -> None:
    with contextlib.suppress(OriginError, BodyAborted):
        response = await client.fetch(get("/first"))
        assert 200 <= response.status <= 999
        try:
            body = await read(response)
        except asyncio.CancelledError:
            await response.aclose()
            raise
        assert response.length in {None, len(body)}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(segments=segmented(), end=st.sampled_from([hang_up, reset, None]), lean=st.booleans())
def test_whatever_comes_the_next_request_gets_its_own_answer(
    segments: list[bytes], end: End | None, *, lean: bool
) -> None:
    asyncio.run(_ask_thrice(Speech(segments, end), lean=lean))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.binary(max_size=40), max_size=4), st.sampled_from([hang_up, reset]))
def test_noise_is_no_response(noise: list[bytes], end: End) -> None:
    assert outcome([piece for piece in noise if piece], end, lean=True).head is None

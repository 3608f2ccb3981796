"""Header fields: what passes as it came, what ends at this hop, and what the proxy adds."""

from typing import Any

import pytest

from proxy.gateway import ForwardingOptions
from tests.scripted_origin import answering, reply
from tests.wire.conftest import Through, lines, request

ODD_FIELDS = [
    b"x-lower: 1",
    b"X-UPPER: 2",
    b"x-MiXed_Name.~: 3",
    b"X-Bytes: caf\xe9 \x80\xff \xf0\x9f\x8d\xaa \xc3\x28",
    b"X-Repeat: b",
    b"X-Other: between",
    b"x-repeat: a",
    b"X-Repeat: b",
    b"X-Empty: ",
    b'X-Quoted: "a, b" ; c="\\"",, ,',
    b"X-Inner:  two  spaces\tand a tab ",
]
"""All of it valid, none of it tidy. White space around a value is not part of it."""

ODD = [
    (name, value.strip(b" \t"))
    for name, _, value in (line.partition(b":") for line in ODD_FIELDS)
]  # fmt: skip

NOTHING_ADDED = ForwardingOptions(
    origin_authority="unused", via=False, x_forwarded=False, forwarded=False
)
ADDED = [
    (b"Via", b"1.1 warmfront"),
    (b"X-Forwarded-For", b"127.0.0.1"),
    (b"X-Forwarded-Proto", b"http"),
    (b"X-Forwarded-Host", b"api.example"),
    (b"Forwarded", b"for=127.0.0.1;host=api.example;proto=http"),
]


class TestUntouched:
    async def test_request_fields_and_nothing_else(self, through: Through) -> None:
        chain = await through(answering(reply()), forwarding=NOTHING_ADDED)
        await chain.ask(request(b"GET /a HTTP/1.1", *ODD_FIELDS))
        (received,) = chain.origin.requests
        assert received.fields == [(b"Host", b"api.example"), *ODD]

    async def test_what_is_added_stands_behind(self, through: Through) -> None:
        chain = await through(answering(reply()))
        await chain.ask(request(b"GET /a HTTP/1.1", *ODD_FIELDS))
        (received,) = chain.origin.requests
        assert received.fields == [(b"Host", b"api.example"), *ODD, *ADDED]

    async def test_response_fields_from_origin_and_store(self, through: Through) -> None:
        clock_date = b"date: Fri, 15 Jan 2027 08:00:00 GMT"
        fields = [*ODD_FIELDS, clock_date, b"cache-CONTROL: max-age=60"]
        chain = await through(answering(reply(b"ok", *fields)))
        miss, hit = [await chain.ask(request()) for _ in range(2)]
        assert len(chain.origin.requests) == 1
        own = {b"Via", b"Cache-Status", b"Age", b"Content-Length"}
        for answer in (miss, hit):
            theirs = [field for field in answer.fields if field[0] not in own]
            assert theirs == [
                *ODD,
                (b"date", b"Fri, 15 Jan 2027 08:00:00 GMT"),
                (b"cache-CONTROL", b"max-age=60"),
            ]

    async def test_nothing_is_made_up_for_a_response(self, through: Through) -> None:
        chain = await through(answering(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"))
        answer = await chain.ask(request())
        assert answer.line == b"HTTP/1.1 200 "
        assert [name for name, _ in answer.fields] == [
            b"Content-Length",
            b"Date",  # RFC 9110 §6.6.1 asks for it
            b"Via",
            b"Cache-Status",
        ]

    async def test_status_and_reason(self, through: Through) -> None:
        chain = await through(answering(reply(b"ok", status=b"599 Tr\xe8s \xc3\xa9trange")))
        assert (await chain.ask(request())).line == b"HTTP/1.1 599 Tr\xe8s \xc3\xa9trange"

    async def test_cookies_stay_lines_of_their_own(self, through: Through) -> None:
        cookies = [b"Set-Cookie: a=1, b; Path=/", b"set-cookie: b=2", b"Set-Cookie: a=3"]
        chain = await through(answering(reply(b"", *cookies)))
        answer = await chain.ask(request(b"GET / HTTP/1.1", b"Cookie: x=1; y=2", b"Cookie: z"))
        assert lines(answer, b"set-cookie") == [
            (b"Set-Cookie", b"a=1, b; Path=/"),
            (b"set-cookie", b"b=2"),
            (b"Set-Cookie", b"a=3"),
        ]
        (received,) = chain.origin.requests
        assert [value for name, value in received.fields if name == b"Cookie"] == [
            b"x=1; y=2",
            b"z",
        ]

    async def test_redirects_are_the_clients_business(self, through: Through) -> None:
        chain = await through(
            answering(reply(b"", b"Location: //b.example/%7e", status=b"302 Found"))
        )
        answer = await chain.ask(request())
        assert (answer.status, answer.get(b"Location")) == (302, b"//b.example/%7e")
        assert len(chain.origin.requests) == 1

    async def test_large_and_many_fields_both_ways(self, through: Through) -> None:
        tags = b"X-Tags: " + b"t" * 16_384
        many = [b"X-%d: %d" % (number, number) for number in range(150)]
        chain = await through(answering(reply(b"ok", tags, *many, b"X-Long: " + b"l" * 30_000)))
        answer = await chain.ask(request(b"GET / HTTP/1.1", tags, *many))
        (received,) = chain.origin.requests
        assert received.get(b"X-Tags") == answer.get(b"X-Tags") == b"t" * 16_384
        assert received.get(b"X-149") == answer.get(b"X-149") == b"149"
        assert len(answer.get(b"X-Long") or b"") == 30_000

    async def test_the_proxys_own_framing_only(self, through: Through) -> None:
        """What frames a message on one side says nothing on the other."""
        raw = b"2\r\nok\r\n0\r\n\r\n"
        chain = await through(
            answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n" + raw)
        )
        answer = await chain.ask(
            request(b"POST / HTTP/1.1", b"transfer-encoding: CHUNKED", body=raw)
        )
        (received,) = chain.origin.requests
        assert lines(received, b"content-length", b"transfer-encoding") == [
            (b"Transfer-Encoding", b"chunked")
        ]
        assert lines(answer, b"content-length", b"transfer-encoding") == [
            (b"Transfer-Encoding", b"chunked")
        ]
        assert (received.body, answer.body) == (b"ok", b"ok")


HOP_BY_HOP = [
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"TE: trailers, gzip",
    b"Trailer: X-Sum",
    b"Upgrade: h2c",
    b"X-Listed: gone",
    b"x-also-LISTED: gone",
    b"X-Kept: 1",
]


class TestHopByHop:
    async def test_requests(self, through: Through) -> None:
        chain = await through(answering(reply()), forwarding=NOTHING_ADDED)
        await chain.ask(
            request(
                b"GET / HTTP/1.1",
                b"Connection: X-listed , keep-alive,,",
                *HOP_BY_HOP,
                b"connection: X-Also-Listed",
            )
        )
        (received,) = chain.origin.requests
        assert received.fields == [(b"Host", b"api.example"), (b"X-Kept", b"1")]

    async def test_responses_from_origin_and_store(self, through: Through) -> None:
        connection = [b"Connection: x-LISTED", b"Connection: X-Also-Listed, Keep-Alive"]
        fields = [*connection, *HOP_BY_HOP, b"Cache-Control: max-age=60"]
        chain = await through(answering(reply(b"ok", *fields)))
        for _ in range(2):
            answer = await chain.ask(request())
            names = {name for name, _ in answer.fields}
            assert names - {b"Age"} == {
                b"X-Kept", b"Cache-Control", b"Content-Length", b"Date", b"Via", b"Cache-Status"
            }  # fmt: skip
        assert len(chain.origin.requests) == 1

    @pytest.mark.parametrize("listed", [b"Host", b"Content-Length", b"Via"])
    async def test_connection_cannot_take_what_routes_or_frames(
        self, through: Through, listed: bytes
    ) -> None:
        chain = await through(answering(reply()))
        fields = [b"Connection: " + listed, b"Content-Length: 2", b"Via: 1.0 a"]
        await chain.ask(request(b"POST / HTTP/1.1", *fields, body=b"ok"))
        (received,) = chain.origin.requests
        assert received.get(b"Host") == b"api.example"
        assert (received.get(b"Content-Length"), received.body) == (b"2", b"ok")
        assert received.get(b"Via") == b"1.0 a"

    async def test_connection_cannot_make_a_response_storable(self, through: Through) -> None:
        fields = [b"Connection: cache-control", b"Cache-Control: private", b"Expires: 0"]
        chain = await through(answering(reply(b"mine", *fields)))
        for _ in range(2):
            assert (await chain.ask(request())).get(b"Cache-Control") == b"private"
        assert len(chain.origin.requests) == 2


class TestTelling:
    async def test_what_earlier_hops_said_is_kept(self, through: Through) -> None:
        chain = await through(answering(reply(b"", b"Via: 1.0 inner")))
        answer = await chain.ask(
            request(
                b"GET / HTTP/1.1",
                b"Via: 1.0 fred, 1.1 p.example",
                b"X-Forwarded-For: 198.51.100.1",
                b"x-forwarded-for: 198.51.100.2",
                b"X-Forwarded-Proto: gopher",
                b"X-Forwarded-Host: liar.example",
                b'Forwarded: for="[2001:db8::1]"',
            )
        )
        (received,) = chain.origin.requests
        assert [field for field in received.fields if field[0] != b"Host"] == [
            (b"Via", b"1.0 fred, 1.1 p.example"),
            (b"Via", b"1.1 warmfront"),
            (b"X-Forwarded-For", b"198.51.100.1, 198.51.100.2, 127.0.0.1"),
            (b"X-Forwarded-Proto", b"http"),
            (b"X-Forwarded-Host", b"api.example"),
            (
                b"Forwarded",
                b'for="[2001:db8::1]", for=127.0.0.1;host=api.example;proto=http',
            ),
        ]
        assert lines(answer, b"via") == [(b"Via", b"1.0 inner"), (b"Via", b"1.1 warmfront")]

    @pytest.mark.parametrize(
        ("switched_off", "names"),
        [
            ("via", {b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"Forwarded"}),
            ("x_forwarded", {b"Via", b"Forwarded"}),
            ("forwarded", {b"Via", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host"}),
        ],
    )
    async def test_each_can_be_switched_off(
        self, through: Through, switched_off: str, names: set[bytes]
    ) -> None:
        options: dict[str, Any] = {switched_off: False}
        chain = await through(
            answering(reply()), forwarding=ForwardingOptions(origin_authority="o", **options)
        )
        answer = await chain.ask(request())
        (received,) = chain.origin.requests
        assert {name for name, _ in received.fields} - {b"Host"} == names
        assert (answer.get(b"Via") is None) == (switched_off == "via")

    async def test_the_clients_http_version_in_via(self, through: Through) -> None:
        chain = await through(answering(reply()))
        await chain.ask(request(b"GET / HTTP/1.0"))
        (received,) = chain.origin.requests
        assert received.line == b"GET / HTTP/1.1"
        assert received.get(b"Via") == b"1.0 warmfront"


class TestHost:
    @pytest.mark.parametrize(
        "host", [b"api.example", b"API.Example:80", b"api.example:", b"[::1]:8080", b"127.0.0.1"]
    )
    async def test_it_is_kept_as_it_came(self, through: Through, host: bytes) -> None:
        """A signature may cover it."""
        chain = await through(answering(reply()))
        await chain.ask(b"GET / HTTP/1.1\r\nX-First: 1\r\nhOst: %b\r\n\r\n" % host)
        (received,) = chain.origin.requests
        assert received.fields[:2] == [(b"X-First", b"1"), (b"hOst", host)]

    @pytest.mark.parametrize(
        ("option", "sent"), [("origin", b"origin.example:8080"), ("name.example", b"name.example")]
    )
    async def test_another_one(self, through: Through, option: str, sent: bytes) -> None:
        chain = await through(
            answering(reply()),
            forwarding=ForwardingOptions(host=option, origin_authority="origin.example:8080"),
        )
        await chain.ask(request())
        (received,) = chain.origin.requests
        assert received.fields[0] == (b"Host", sent)
        assert received.get(b"X-Forwarded-Host") == b"api.example"
        assert received.get(b"Forwarded") == b"for=127.0.0.1;host=api.example;proto=http"

    async def test_http_1_0_may_name_none(self, through: Through) -> None:
        """Health checks of load balancers do; HTTP/1.1 servers refuse a request without Host."""
        chain = await through(answering(reply()))
        assert (await chain.ask(b"GET / HTTP/1.0\r\nX-Forwarded-Host: liar\r\n\r\n")).status == 200
        (received,) = chain.origin.requests
        assert received.fields[0] == (b"Host", b"127.0.0.1:%d" % chain.origin.port)
        assert received.get(b"X-Forwarded-Host") is None
        assert received.get(b"Forwarded") == b"for=127.0.0.1;proto=http"

"""Requests that no strict reader of RFC 9112 would act upon: what is sent, and what it gets.

Each stands for itself, as a whole; what is sent behind it is the test's affair.
"""

from typing import NamedTuple


class Hostile(NamedTuple):
    """Attributes:
    name: What is wrong, with the § of RFC 9112 or RFC 9110 (HTTP).
    raw: What is sent.
    statuses: One of these is the answer.
    """

    name: str
    raw: bytes
    statuses: tuple[int, ...] = (400,)


def get(
    *fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: api.example"
) -> bytes:
    return b"\r\n".join([line, *([host] if host else []), *fields, b"", b""])


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return get(*fields, line=b"POST / HTTP/1.1") + body


TE = b"Transfer-Encoding: chunked"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: api.example\r\n\r\n"
ZERO = b"0\r\n\r\n"

REQUEST_LINES = [
    Hostile("3-no version", get(line=b"GET /")),
    Hostile("3-HTTP/0.9", b"GET /\r\n\r\n"),
    Hostile("3-no target", get(line=b"GET HTTP/1.1")),
    Hostile("3-two blanks", get(line=b"GET  / HTTP/1.1")),
    Hostile("3-a tab", get(line=b"GET\t/\tHTTP/1.1")),
    Hostile("3-a blank in front", get(line=b" GET / HTTP/1.1")),
    Hostile("3-a blank behind", get(line=b"GET / HTTP/1.1 ")),
    Hostile("3-a blank in the target", get(line=b"GET /a b HTTP/1.1")),
    Hostile("3-two versions", get(line=b"GET / HTTP/1.1 HTTP/1.1")),
    Hostile("3-lower case version", get(line=b"GET / http/1.1")),
    Hostile("2.3-a long version", get(line=b"GET / HTTP/1.10")),
    Hostile("2.3-no minor version", get(line=b"GET / HTTP/1")),
    Hostile("2.3-another protocol", get(line=b"GET / ICAP/1.0")),
    Hostile("2.3-version 2", get(line=b"GET / HTTP/2.0"), (505,)),
    Hostile("2.3-version 0.9", get(line=b"GET / HTTP/0.9"), (505,)),
    Hostile("2.3-the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    Hostile("TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"),
    Hostile("3.1-a method that is no token", get(line=b"G(ET / HTTP/1.1")),
    Hostile("3.1-NUL in the method", get(line=b"G\0ET / HTTP/1.1")),
    Hostile("3.2-NUL in the target", get(line=b"GET /\0 HTTP/1.1")),
    Hostile("3.2-DEL in the target", get(line=b"GET /\x7f HTTP/1.1")),
    Hostile("3.2-a fragment", get(line=b"GET /a#b HTTP/1.1")),
    Hostile("3.2-a relative target", get(line=b"GET a HTTP/1.1")),
    Hostile("3.2-a query alone", get(line=b"GET ?a HTTP/1.1")),
    Hostile("3.2.4-an asterisk with GET", get(line=b"GET * HTTP/1.1")),
    Hostile("3.2.3-CONNECT", get(line=b"CONNECT api.example:443 HTTP/1.1"), (501,)),
    Hostile("3.2.3-an authority with GET", get(line=b"GET api.example:80 HTTP/1.1")),
    Hostile("3.2.2-user information", get(line=b"GET http://a@api.example/ HTTP/1.1")),
    Hostile("3.2.2-another scheme", get(line=b"GET file:///etc/passwd HTTP/1.1")),
    Hostile("3.2.2-no authority", get(line=b"GET http:///a HTTP/1.1")),
    Hostile("3.2.2-a backslash in the authority", get(line=b"GET http://a\\b/ HTTP/1.1")),
    Hostile("3.2.2-a port too many", get(line=b"GET http://a:1:2/ HTTP/1.1")),
    Hostile("3-too long", get(line=b"GET /%b HTTP/1.1" % (b"a" * 8192)), (414,)),
    Hostile("3-endless", b"GET /" + b"a" * 10_000, (414,)),
    Hostile("2.2-CR alone behind the line", b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
    Hostile("2.2-LF alone", b"GET / HTTP/1.1\nHost: a\n\n"),
    Hostile("2.2-empty lines without end", b"\r\n" * 50 + get()),
]

FIELDS = [
    Hostile("5-a blank before the colon", get(b"A : b")),
    Hostile("5-a tab before the colon", get(b"A\t: b")),
    Hostile("5-no name", get(b": b")),
    Hostile("5-no colon", get(b"A")),
    Hostile("5-a blank in the name", get(b"A b: c")),
    Hostile("5-no token", get(b"A(b): c")),
    Hostile("5-not ASCII", get(b"\xc3\xa4: c")),
    Hostile("5.2-folded", get(b"A: b", b" c")),
    Hostile("5.2-folded with a tab", get(b"A: b", b"\tc")),
    Hostile("2.2-a blank before the first", get(host=b" Host: api.example")),
    Hostile("5-NUL in a value", get(b"A: \0")),
    Hostile("5-a bell in a value", get(b"A: \x07")),
    Hostile("5-DEL in a value", get(b"A: \x7f")),
    Hostile("5-CR in a value", get(b"A: b\rC: d")),
    Hostile("5-CR CR LF", get(b"A: b\r")),
    Hostile("5-LF in a value", get(b"A: b\nC: d")),
    Hostile("5-LF LF", b"GET / HTTP/1.1\r\nHost: api.example\n\n" + SMUGGLED),
    Hostile("5.4-too many", get(*[b"A: b"] * 201), (431,)),
    Hostile("5.4-too large", get(b"A: " + b"b" * 33_000), (431,)),
    Hostile("5.4-endless", b"GET / HTTP/1.1\r\nA: " + b"b" * 40_000, (431,)),
]

HOSTS = [
    Hostile("3.2-none", get(host=b"")),
    Hostile("3.2-two", get(b"Host: api.example")),
    Hostile("3.2-two, spelled differently", get(b"hOST: evil.example")),
    Hostile("3.2-empty", get(host=b"Host:")),
    Hostile("3.2-a list", get(host=b"Host: api.example, evil.example")),
    Hostile("3.2-a blank inside", get(host=b"Host: api.example evil.example")),
    Hostile("3.2-a path", get(host=b"Host: api.example/evil")),
    Hostile("3.2-user information", get(host=b"Host: evil@api.example")),
    Hostile("3.2-a query", get(host=b"Host: api.example?evil")),
    Hostile("3.2-no port", get(host=b"Host: api.example:port")),
    Hostile("3.2-port -1", get(host=b"Host: api.example:-1")),
    Hostile("3.2-port 65536", get(host=b"Host: api.example:65536")),
    Hostile("3.2-two ports", get(host=b"Host: api.example:80:81")),
    Hostile("3.2-a broken IPv6 address", get(host=b"Host: [::1")),
    Hostile("3.2-no IPv6 address", get(host=b"Host: [evil]")),
    Hostile("3.2-a quote", get(host=b'Host: "api.example"')),
    Hostile("3.2-not ASCII", get(host=b"Host: \xe4.example")),
    Hostile(
        "3.2-absolute form without one", get(line=b"GET http://api.example/ HTTP/1.1", host=b"")
    ),
]

LENGTHS = [
    Hostile(f"6.3-Content-Length {value!r}", post(b"Content-Length: " + value, body=b"x" * 10))
    for value in [
        *(b"", b"-1", b"+5", b"5 5", b"5,5", b"5, 6", b"0x5", b"5.0", b"1e1", b"five", b"5;5"),
        *(b"\xb2", b"9" * 19, b"\x0b5", b'"5"'),
    ]
] + [
    Hostile("6.3-repeated", post(b"Content-Length: 5", b"Content-Length: 5", body=b"12345")),
    Hostile("6.3-contradictory", post(b"Content-Length: 5", b"content-length: 0") + SMUGGLED),
    Hostile("6.3-CL.TE", post(b"Content-Length: 6", TE, body=ZERO + b"G")),
    Hostile("6.3-TE.CL", post(TE, b"Content-Length: 4", body=b"2e\r\n" + SMUGGLED + ZERO)),
    Hostile("6.3-CL 0 and TE", post(b"Content-Length: 0", TE, body=ZERO)),
]

CODINGS = [
    Hostile(f"6.1-Transfer-Encoding{value!r}", post(b"Transfer-Encoding" + value, body=ZERO))
    for value in [
        *(b": identity", b": gzip", b": chunked, identity", b": identity, chunked", b": xchunked"),
        *(b": gzip, chunked", b": chunked, chunked", b": chunked;a=b", b': "chunked"', b":"),
        *(b": chunked,", b": ,chunked", b": chunke\xe4", b": x\tchunked", b" : chunked"),
        *(b"\t: chunked", b":\x0bchunked", b":\n chunked", b": chunked\r\n\tx", b":\0chunked"),
    ]
] + [
    Hostile("6.1-two lines", post(TE, TE, body=ZERO)),
    Hostile("6.1-two lines, one odd", post(TE, b"Transfer-encoding: cow", body=ZERO)),
    Hostile("6.1-in HTTP/1.0", get(TE, b"Connection: keep-alive", line=b"POST / HTTP/1.0") + ZERO),
]

EXPECTATIONS = [
    Hostile("9110-10.1.1-another one", post(b"Expect: 200-ok", b"Content-Length: 1"), (417,)),
    Hostile("9110-10.1.1-two", post(b"Expect: 100-continue, x", b"Content-Length: 1"), (417,)),
]

HEADS = [*REQUEST_LINES, *FIELDS, *HOSTS, *LENGTHS, *CODINGS, *EXPECTATIONS]
"""Refused by their heads: not a byte of them, or behind them, reaches an origin."""

CHUNKS = [
    Hostile(f"7.1-{name}", post(TE, body=body))
    for name, body in [
        ("no size", b"\r\nabc\r\n" + ZERO),
        ("no number", b"x\r\nabc\r\n" + ZERO),
        ("a sign", b"+3\r\nabc\r\n" + ZERO),
        ("a negative size", b"-3\r\nabc\r\n" + ZERO),
        ("a prefix", b"0x3\r\nabc\r\n" + ZERO),
        ("an underscore", b"1_0\r\nabc\r\n" + ZERO),
        ("a blank in front", b" 3\r\nabc\r\n" + ZERO),
        ("a size of 17 digits", b"00000000000000003\r\nabc\r\n" + ZERO),
        ("a size beyond 64 bits", b"10000000000000000\r\nabc\r\n" + ZERO),
        ("a blank behind", b"3 \r\nabc\r\n" + ZERO),
        ("LF behind the size", b"3\nabc\r\n" + ZERO),
        ("CR behind the size", b"3\rabc\r\n" + ZERO),
        ("LF behind the data", b"3\r\nabc\n" + ZERO),
        ("more data than announced", b"3\r\nabcd\r\n" + ZERO),
        ("less data than announced", b"5\r\nabc\r\n" + ZERO),
        ("an extension without a name", b"3;\r\nabc\r\n" + ZERO),
        ("LF in an extension", b"3;a\nb\r\nabc\r\n" + ZERO),
        ("CR in an extension", b"3;a=\rb\r\nabc\r\n" + ZERO),
        ("NUL in an extension", b"3;a=\0\r\nabc\r\n" + ZERO),
        ("an open quote", b'3;a="b\r\nabc\r\n' + ZERO),
        ("a long extension", b"3;a=" + b"b" * 300 + b"\r\nabc\r\n" + ZERO),
        ("long extensions in all", (b"1;a=" + b"b" * 240 + b"\r\nx\r\n") * 80 + ZERO),
        ("LF for the end", b"3\r\nabc\r\n0\n\n"),
        ("a folded trailer", b"0\r\nA: b\r\n c\r\n\r\n"),
        ("a trailer with a blank before its colon", b"0\r\nA : b\r\n\r\n"),
        ("a trailer that is none", b"0\r\n" + SMUGGLED[:22] + b"\r\n\r\n"),
        ("NUL in a trailer", b"0\r\nA: \0\r\n\r\n"),
        ("trailers without end", b"0\r\n" + b"A: b\r\n" * 2000 + b"\r\n"),
    ]
]
"""Refused in the middle: their heads were in order."""

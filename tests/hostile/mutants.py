"""Requests with one to three things wrong with them, always the same ones."""

import random
from collections.abc import Callable, Sequence
from typing import TypeAlias

from tests.hostile.corpus import CHUNKS, HEADS, TE, ZERO, get, post

Mutate: TypeAlias = Callable[[random.Random, bytes], bytes]

SEEDS = [
    get(),
    get(b"Accept: */*", b"X-A: b, c"),
    get(line=b"GET http://api.example/a?b HTTP/1.1"),
    get(b"Connection: keep-alive", line=b"GET /a HTTP/1.0"),
    post(b"Content-Length: 5", body=b"12345"),
    post(b"content-length: 0", b"X-A: b"),
    post(TE, body=b"5\r\n12345\r\n" + ZERO),
    post(b"X-A: b", TE, body=b"3;a=b\r\n123\r\n2\r\n45\r\n0\r\nX-T: u\r\n\r\n"),
]
ODD = [b"\0", b"\t", b"\n", b"\v", b"\f", b"\r", b"\r\n", b" ", b'"', b",", b";", b":", b"\x7f"]
ODD += [
    b"\x85",
    b"\xa0",
    b"\xff",
    b"%0d%0a",
    b"+",
    b"-",
    b"0x",
    b"_",
    b"\\",
    b"#",
    b"@",
    b"/",
    b"?",
]
_LINES = [
    *(b"Host: evil.example", b"Content-Length: 1", b"Content-Length: 5", b"Content-Length: 0"),
    *(TE, b"Transfer-Encoding: identity", b"Transfer-Encoding : chunked", b"Transfer_Encoding: x"),
    *(
        b" folded",
        b"no colon",
        b": no name",
        b"Connection: content-length",
        b"Expect: 100-continue",
    ),
]


def _insert(source: random.Random, data: bytes) -> bytes:
    at = source.randrange(len(data))
    return data[:at] + source.choice(ODD) + data[at:]


def _replace(source: random.Random, data: bytes) -> bytes:
    at = source.randrange(len(data))
    return data[:at] + source.choice(ODD) + data[at + 1 :]


def _delete(source: random.Random, data: bytes) -> bytes:
    at = source.randrange(len(data))
    return data[:at] + data[at + source.choice((1, 1, 2)) :]


def _bare_line_end(source: random.Random, data: bytes) -> bytes:
    ends = [at for at in range(len(data)) if data.startswith(b"\r\n", at)] or [0]
    at = source.choice(ends)
    return data[:at] + source.choice((b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n")) + data[at + 2 :]


def _add_line(source: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    lines.insert(source.randint(1, len(lines)), source.choice(_LINES))
    return b"\r\n".join(lines)


def _repeat_line(source: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    lines.insert(source.randrange(len(lines)), source.choice(lines))
    return b"\r\n".join(lines)


_MUTATIONS: list[Mutate] = [_insert, _replace, _delete, _bare_line_end, _add_line, _repeat_line]


def mutants(count: int, seed: int = 9112) -> list[tuple[str, bytes]]:
    """So many different requests, each with a name."""
    return mutated(SEEDS, count, seed)


def mutated(seeds: Sequence[bytes], count: int, seed: int) -> list[tuple[str, bytes]]:
    """So many different messages made of these, each with a name."""
    source = random.Random(seed)  # noqa: S311 - that they are the same each time is the point
    found: dict[bytes, str] = {}
    while len(found) < count:
        data = source.choice(seeds)
        names = []
        for mutate in source.choices(_MUTATIONS, k=source.choice((1, 1, 2, 3))):
            data = mutate(source, data)
            names.append(mutate.__name__.strip("_"))
        found.setdefault(data, f"mutant {len(found)}: {', '.join(names)}")
    return [(name, data) for data, name in found.items()]


def everything(count: int) -> list[tuple[str, bytes]]:
    """The battery's rows, and so many mutants."""
    return [(row.name, row.raw) for row in (*HEADS, *CHUNKS)] + mutants(count)

r"""Entries as bytes: one format, versioned, read back exactly or not at all.

All numbers are big-endian. A record is a fixed part, a head and, unless it is in chunks, a body:

    0      2       3       4           8             16         20           24
    +------+-------+-------+-----------+-------------+----------+------------+
    | "WF" | ver 1 | flags | head size | body size   | body CRC | chunk size |
    +------+-------+-------+-----------+-------------+----------+------------+
    24              32              40               48         52
    +---------------+---------------+----------------+----------+------+------+
    | born          | request time  | useless after  | head CRC | head | body |
    +---------------+---------------+----------------+----------+------+------+
      u64             f64             f64              u32

    flags        reserved for compressed and encrypted bodies: a bit that is not known here
                 makes the record unreadable
    chunk size   0: the body follows; else it is elsewhere, in chunks of so many bytes
    head CRC     CRC-32 of the fixed part before it and the head

    head  = text(url) text(extra)
            u16 status  text(reason)  f64 date
            f64 lifetime  initial age  response time  stale-while-revalidate  stale-if-error  grace
            text(lifetime source)  u8 marks
            u8 part  [u64 first  last  complete length, if part is 1]
            list(headers: field(name) field(value))
            list(variant: text(name) u8 given [text(value), if given is 1])
            list(tags: text)  list(groups: text)
    text  = u32 size, UTF-8 (with lone surrogates as they are)
    field = u32 size, one byte for each character, as on the wire
            Fields and the reason hold no CR, LF or NUL: they go out as lines.
    list  = u32 count, items
    marks = 1 no-cache, 2 must-revalidate, 4 s-maxage, 8 public

Records come from outside: whoever can write to Redis can write them. Reading runs nothing,
allocates no more than it was given, and ends in an entry or in CorruptRecord.
"""

import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from math import isfinite
from zlib import crc32

from proxy.rfc9111.stored import (
    ByteRange,
    Freshness,
    LifetimeSource,
    PackedHeaders,
    StoredResponse,
    VariantKey,
)
from proxy.stores.entry import CacheKey, Entry
from proxy.stores.sharing import shared_raw_names, shared_text, shared_time, shared_variant

VERSION = 1
_MAGIC = b"WF"
_KNOWN_FLAGS = 0
_FIXED = struct.Struct(">2sBBIQIIQdd")
_U8, _U16, _U32 = struct.Struct(">B"), struct.Struct(">H"), struct.Struct(">I")
_F64 = struct.Struct(">d")
_TIMES = struct.Struct(">6d")
_DATE_AND_TIMES = struct.Struct(">7d")
_PART = struct.Struct(">3Q")
_NO_CACHE, _MUST_REVALIDATE, _S_MAXAGE, _PUBLIC = 1, 2, 4, 8
_ALL_MARKS = _NO_CACHE | _MUST_REVALIDATE | _S_MAXAGE | _PUBLIC
_SOURCES = {source.value.encode(): source for source in LifetimeSource}

_BODY_SIZE_AT, _CHUNK_SIZE_AT, _BORN_AT, _USELESS_AFTER_AT = 8, 20, 24, 40
_HEAD_CRC_AT, _HEAD_AT = 48, 52
_NOT_IN_A_LINE = re.compile(b"[\r\n\0]")
_LOWEST_STATUS, _HIGHEST_STATUS = 100, 999


class CorruptRecord(ValueError):  # noqa: N818 - the state is the name
    """These bytes are no record of this version."""


@dataclass(slots=True)
class Record:
    """A record without its body, its texts shared with others (see sharing).

    Attributes:
        body_size: Bytes of the body.
        body_crc: CRC-32 of the body.
        chunk_size: Bytes of each chunk but the last; 0 where the body follows.
        inline: The body, where it follows.
        stamp: Names this very record: its head and body.
        identity: Names the answer of the origin that it holds, also when it has been made stale.
        useless_after: See Entry.
    """

    key: CacheKey
    response: StoredResponse
    body_size: int
    body_crc: int
    chunk_size: int
    inline: bytes
    stamp: bytes
    identity: bytes
    useless_after: float

    @property
    def chunks(self) -> int:
        """How many chunks the body is in."""
        return -(-self.body_size // self.chunk_size) if self.chunk_size else 0

    def with_body(self, body: bytes) -> Entry:
        """The entry.

        Raises:
            CorruptRecord: This is not the body that was stored.
        """
        if len(body) != self.body_size or crc32(body) != self.body_crc:
            raise CorruptRecord("body")
        return Entry(self.response, body)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A record on its way out.

    Attributes:
        front: All but the body.
        stamp: See Record.
        identity: See Record.
    """

    front: bytes
    stamp: bytes
    identity: bytes


def encode(key: CacheKey, entry: Entry, *, chunk_size: int = 0) -> Encoded:
    """Make a record; with `chunk_size` 0 the body is to follow its front.

    Raises:
        ValueError: The entry holds what the format cannot (a header beyond latin-1).
    """
    head = _encode_head(key, entry.response)
    response = entry.response
    sizes = (len(head), len(entry.body), crc32(entry.body))
    facts = (response.born, response.request_time, entry.useless_after)
    try:
        fixed = _FIXED.pack(_MAGIC, VERSION, 0, *sizes, chunk_size, *facts)
    except struct.error as error:
        raise ValueError(f"beyond what the format holds: {error}") from error
    front = b"".join((fixed, _U32.pack(crc32(head, crc32(fixed))), head))
    return Encoded(front, _stamp(front), _identity(front))


def decode(record: bytes) -> Record:
    """Read a record.

    Raises:
        CorruptRecord: It is damaged, of another version, or something else altogether.
    """
    if len(record) < _HEAD_AT:
        raise CorruptRecord("cut short")
    (
        magic,
        version,
        flags,
        head_size,
        body_size,
        body_crc,
        chunk_size,
        born,
        asked,
        useless_after,
    ) = _FIXED.unpack_from(record)
    if magic != _MAGIC or version != VERSION or flags & ~_KNOWN_FLAGS:
        raise CorruptRecord("not a record of this version")
    front = record[: _HEAD_AT + head_size]
    head, inline = front[_HEAD_AT:], record[len(front) :]
    if crc32(head, crc32(front[:_HEAD_CRC_AT])) != _U32.unpack_from(front, _HEAD_CRC_AT)[0]:
        raise CorruptRecord("damaged head")
    if len(inline) != (0 if chunk_size else body_size):
        raise CorruptRecord("body size")
    if not (isfinite(asked) and isfinite(useless_after)):
        raise CorruptRecord("not a finite number")
    key, response = _decode_head(head, born, asked)
    names = (_stamp(front), _identity(front))
    return Record(key, response, body_size, body_crc, chunk_size, inline, *names, useless_after)


@lru_cache(maxsize=1024)
def variant_name(variant: VariantKey) -> bytes:
    """A short name for a variant, the same in every process."""
    return blake2b(_encode_variant(variant), digest_size=12).digest()


def _stamp(front: bytes) -> bytes:
    """Of all but how the body is cut: that is the writer's affair, not the record's."""
    digest = blake2b(front[:_CHUNK_SIZE_AT], digest_size=16)
    digest.update(front[_BORN_AT:_HEAD_CRC_AT])
    digest.update(front[_HEAD_AT:])
    return digest.digest()


def _identity(front: bytes) -> bytes:
    """Body size, body CRC, born and request time, as Lua finds them in a record."""
    return front[_BODY_SIZE_AT:_CHUNK_SIZE_AT] + front[_BORN_AT:_USELESS_AFTER_AT]


def _encode_head(key: CacheKey, response: StoredResponse) -> bytes:
    fresh = response.freshness
    times = (
        fresh.lifetime,
        fresh.initial_age,
        fresh.response_time,
        fresh.stale_while_revalidate,
        fresh.stale_if_error,
        fresh.grace,
    )
    marks = (
        _NO_CACHE * fresh.no_cache
        | _MUST_REVALIDATE * fresh.must_revalidate
        | _S_MAXAGE * fresh.s_maxage
        | _PUBLIC * fresh.public
    )
    try:
        return b"".join(
            (
                _text(key.url),
                _text(key.extra),
                _U16.pack(response.status),
                _text(response.reason),
                _F64.pack(response.date),
                _TIMES.pack(*times),
                _text(fresh.source.value),
                _U8.pack(marks),
                _encode_part(response.part),
                _U32.pack(len(response.names)),
                *(_field(n) + _field(v) for n, v in response.fields),
                _encode_variant(response.variant),
                _encode_texts(response.tags),
                _encode_texts(response.groups),
            )
        )
    except struct.error as error:
        raise ValueError(f"beyond what the format holds: {error}") from error


def _encode_part(part: ByteRange | None) -> bytes:
    if part is None:
        return b"\0"
    return b"\1" + _PART.pack(part.first, part.last, part.complete_length)


def _encode_variant(variant: VariantKey) -> bytes:
    items = (_text(name) + (b"\0" if v is None else b"\1" + _text(v)) for name, v in variant)
    return _U32.pack(len(variant)) + b"".join(items)


def _encode_texts(texts: tuple[str, ...]) -> bytes:
    return _U32.pack(len(texts)) + b"".join(_text(text) for text in texts)


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return _U32.pack(len(raw)) + raw


def _field(text: str) -> bytes:
    raw = text.encode("latin-1")
    return _U32.pack(len(raw)) + raw


def _decode_head(head: bytes, born: int, request_time: float) -> tuple[CacheKey, StoredResponse]:
    """Flat, and with few calls: every hit in Redis pays for it.

    Sizes and counts are believed until the head ends, which is soon, as all take bytes of it.
    """
    try:
        (url, extra), at = _cut(head, 0, 2)
        (status,) = _U16.unpack_from(head, at)
        (reason,), at = _cut(head, at + _U16.size, 1)
        times = _DATE_AND_TIMES.unpack_from(head, at)
        (source,), at = _cut(head, at + _DATE_AND_TIMES.size, 1)
        (marks,) = _U8.unpack_from(head, at)
        part, at = _decode_part(head, at + _U8.size)
        fields, at = _decode_fields(head, at)
        variant, at = _decode_variant(head, at)
        tags, at = _decode_texts(head, at)
        groups, at = _decode_texts(head, at)
        key, phrase = CacheKey(_decoded(url), _decoded(extra)), _decoded(reason)
    except struct.error:
        raise CorruptRecord("cut short") from None
    except UnicodeDecodeError:
        raise CorruptRecord("not UTF-8") from None
    if at != len(head):
        raise CorruptRecord("cut short, or bytes after the head")
    if not _LOWEST_STATUS <= status <= _HIGHEST_STATUS:
        raise CorruptRecord("impossible status")
    if _NOT_IN_A_LINE.search(reason):
        raise CorruptRecord("a line break in a line")
    response = StoredResponse(
        status=status,
        reason=shared_text(phrase),
        **fields,
        request_time=request_time,
        freshness=_freshness(times, source, marks),
        variant=variant,
        date=shared_time(times[0]),
        part=part,
        tags=tags,
        groups=groups,
        born=born,
    )
    return key, response


def _cut(data: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    """So many texts or fields from `at` on, and where they end: perhaps behind all the data.

    Raises:
        struct.error: The data has ended before.
    """
    size_at, pieces = _U32.unpack_from, []
    for _ in range(count):
        begin = at + 4
        at = begin + size_at(data, at)[0]
        pieces.append(data[begin:at])
    return pieces, at


def _count(head: bytes, at: int) -> tuple[int, int]:
    return _U32.unpack_from(head, at)[0], at + _U32.size


def _flag(head: bytes, at: int) -> tuple[int, int]:
    (value,) = _U8.unpack_from(head, at)
    if value > 1:
        raise CorruptRecord("neither yes nor no")
    return value, at + _U8.size


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogatepass")


def _decode_part(head: bytes, at: int) -> tuple[ByteRange | None, int]:
    given, at = _flag(head, at)
    if not given:
        return None, at
    first, last, complete_length = _PART.unpack_from(head, at)
    if not first <= last < complete_length:
        raise CorruptRecord("impossible part")
    return ByteRange(first, last, complete_length), at + _PART.size


def _decode_fields(head: bytes, at: int) -> tuple[PackedHeaders, int]:
    """What goes out as lines is never more than that, whoever wrote the record."""
    count, at = _count(head, at)
    pieces, at = _cut(head, at, 2 * count)
    if _NOT_IN_A_LINE.search(b"".join(pieces)):
        raise CorruptRecord("a line break in a line")
    values = b"\n".join(pieces[1::2]).decode("latin-1")
    return PackedHeaders(names=shared_raw_names(tuple(pieces[::2])), values=values), at


def _decode_variant(head: bytes, at: int) -> tuple[VariantKey, int]:
    count, at = _count(head, at)
    if not count:
        return (), at
    items: list[tuple[str, str | None]] = []
    for _ in range(count):
        (name,), at = _cut(head, at, 1)
        given, at = _flag(head, at)
        values, at = _cut(head, at, given)
        items.append((_decoded(name), _decoded(values[0]) if values else None))
    return shared_variant(tuple(items)), at


def _decode_texts(head: bytes, at: int) -> tuple[tuple[str, ...], int]:
    count, at = _count(head, at)
    if not count:
        return (), at
    pieces, at = _cut(head, at, count)
    return tuple([shared_text(_decoded(piece)) for piece in pieces]), at


def _freshness(times: tuple[float, ...], source: bytes, marks: int) -> Freshness:
    """Of the date, which is none of it, and what follows."""
    _, lifetime, initial_age, response_time, *windows = times
    if marks & ~_ALL_MARKS:
        raise CorruptRecord("unknown marks")
    if source not in _SOURCES:
        raise CorruptRecord("unknown lifetime source")
    if not all(map(isfinite, times)):
        raise CorruptRecord("not a finite number")
    revalidate, error, grace = map(shared_time, windows)
    return Freshness(
        lifetime=shared_time(lifetime),
        source=_SOURCES[source],
        initial_age=initial_age,
        response_time=response_time,
        public=bool(marks & _PUBLIC),
        no_cache=bool(marks & _NO_CACHE),
        must_revalidate=bool(marks & _MUST_REVALIDATE),
        s_maxage=bool(marks & _S_MAXAGE),
        stale_while_revalidate=revalidate,
        stale_if_error=error,
        grace=grace,
    )

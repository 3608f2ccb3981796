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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from math import isfinite
from typing import Any, TypeVar
from zlib import crc32

from proxy.rfc9111.messages import Headers
from proxy.rfc9111.stored import (
    ByteRange,
    Freshness,
    LifetimeSource,
    StoredResponse,
    VariantKey,
)
from proxy.stores.entry import CacheKey, Entry

T = TypeVar("T")

VERSION = 1
_MAGIC = b"WF"
_KNOWN_FLAGS = 0
_FIXED = struct.Struct(">2sBBIQIIQdd")
_U8, _U16, _U32 = struct.Struct(">B"), struct.Struct(">H"), struct.Struct(">I")
_F64 = struct.Struct(">d")
_TIMES = struct.Struct(">6d")
_PART = struct.Struct(">3Q")
_NO_CACHE, _MUST_REVALIDATE, _S_MAXAGE, _PUBLIC = 1, 2, 4, 8
_ALL_MARKS = _NO_CACHE | _MUST_REVALIDATE | _S_MAXAGE | _PUBLIC

_BODY_SIZE_AT, _CHUNK_SIZE_AT, _BORN_AT, _USELESS_AFTER_AT = 8, 20, 24, 40
_HEAD_CRC_AT, _HEAD_AT = 48, 52
_NOT_IN_A_LINE = re.compile("[\r\n\0]")
_LOWEST_STATUS, _HIGHEST_STATUS = 100, 999


class CorruptRecord(ValueError):  # noqa: N818 - the state is the name
    """These bytes are no record of this version."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record without its body.

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
    reader = _Reader(record)
    fixed = reader.take(_FIXED)
    magic, version, flags, head_size, body_size, body_crc, chunk_size = fixed[:7]
    born, asked, useless_after = fixed[7:]
    if magic != _MAGIC or version != VERSION or flags & ~_KNOWN_FLAGS:
        raise CorruptRecord("not a record of this version")
    seal = reader.number(_U32)
    head = reader.cut(head_size)
    inline = reader.rest()
    if crc32(head, crc32(record[: _FIXED.size])) != seal:
        raise CorruptRecord("damaged head")
    if len(inline) != (0 if chunk_size else body_size):
        raise CorruptRecord("body size")
    key, response = _decode_head(head, born, asked)
    front = record[: len(record) - len(inline)]
    names = (_stamp(front), _identity(front))
    return Record(key, response, body_size, body_crc, chunk_size, inline, *names, useless_after)


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
                _U32.pack(len(response.headers)),
                *(_field(n) + _field(v) for n, v in response.headers.items()),
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
    reader = _Reader(head)
    key = CacheKey(reader.text(), reader.text())
    status = reader.number(_U16)
    if not _LOWEST_STATUS <= status <= _HIGHEST_STATUS:
        raise CorruptRecord("impossible status")
    reason = _line(reader.text())
    (date,) = reader.take(_F64)
    freshness = _decode_freshness(reader)
    part = _decode_part(reader)
    headers = Headers(reader.fields())
    variant = tuple(reader.items(lambda: (reader.text(), reader.text() if reader.flag() else None)))
    tags, groups = tuple(reader.items(reader.text)), tuple(reader.items(reader.text))
    if reader.rest():
        raise CorruptRecord("bytes after the head")
    response = StoredResponse(
        status=status,
        reason=reason,
        headers=headers,
        request_time=request_time,
        freshness=freshness,
        variant=variant,
        date=date,
        part=part,
        tags=tags,
        groups=groups,
        born=born,
    )
    return key, response


def _decode_part(reader: "_Reader") -> ByteRange | None:
    if not reader.flag():
        return None
    first, last, complete_length = reader.take(_PART)
    if not first <= last < complete_length:
        raise CorruptRecord("impossible part")
    return ByteRange(first, last, complete_length)


def _decode_freshness(reader: "_Reader") -> Freshness:
    lifetime, initial_age, response_time, revalidate, error, grace = reader.take(_TIMES)
    try:
        source = LifetimeSource(reader.text())
    except ValueError:
        raise CorruptRecord("unknown lifetime source") from None
    marks = reader.number(_U8)
    if marks & ~_ALL_MARKS:
        raise CorruptRecord("unknown marks")
    return Freshness(
        lifetime=lifetime,
        source=source,
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


def _line(text: str) -> str:
    """What goes out as part of a line is never more than that, whoever wrote the record."""
    if _NOT_IN_A_LINE.search(text):
        raise CorruptRecord("a line break in a line")
    return text


def _is_float(value: object) -> bool:
    return isinstance(value, float)


class _Reader:
    """Takes bytes from the front, never more than there are."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def cut(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise CorruptRecord("cut short")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def rest(self) -> bytes:
        return self.cut(len(self._data) - self._at)

    def take(self, layout: struct.Struct) -> tuple[Any, ...]:
        values = layout.unpack(self.cut(layout.size))
        if not all(map(isfinite, filter(_is_float, values))):
            raise CorruptRecord("not a finite number")
        return values

    def number(self, layout: struct.Struct) -> int:
        try:
            number: int = layout.unpack_from(self._data, self._at)[0]
        except struct.error:
            raise CorruptRecord("cut short") from None
        self._at += layout.size
        return number

    def flag(self) -> bool:
        value = self.number(_U8)
        if value > 1:
            raise CorruptRecord("neither yes nor no")
        return bool(value)

    def text(self) -> str:
        try:
            return self.cut(self.number(_U32)).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise CorruptRecord("not UTF-8") from None

    def fields(self) -> Iterable[tuple[str, str]]:
        """All names with their values, in one go: they are most of a head."""
        data, at, texts = self._data, self._at + _U32.size, []
        size_at = _U32.unpack_from
        try:
            # A false count ends at the end of the data, as every size takes bytes of it.
            for _ in range(2 * self.number(_U32)):
                begin = at + 4
                at = begin + size_at(data, at)[0]
                texts.append(data[begin:at].decode("latin-1"))
        except struct.error:
            raise CorruptRecord("cut short") from None
        if at > len(data):
            raise CorruptRecord("cut short")
        self._at = at
        _line("".join(texts))
        return zip(texts[::2], texts[1::2], strict=True)

    def items(self, one: Callable[[], T]) -> list[T]:
        # Every item takes bytes, so a false count ends at the end of the data.
        return [one() for _ in range(self.number(_U32))]

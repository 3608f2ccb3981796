"""The record format: read back exactly, kept for ever, and never trusted."""

import struct
from dataclasses import fields
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rfc9111.messages import Headers
from proxy.rfc9111.stored import ByteRange, Freshness, LifetimeSource, StoredResponse, packed
from proxy.stores import CacheKey, Entry
from proxy.stores.codec import CorruptRecord, Record, decode, encode, variant_name
from proxy.stores.sharing import shared_entry
from tests.stores.conftest import NOW, make_entry

KEY = CacheKey("http://api.example/a?b=1", "x-tenant=a")

FULL = Entry(
    StoredResponse(
        status=206,
        reason="Partial Content",
        **packed(
            Headers([("ETag", '"1"'), ("set-thing", "a"), ("Set-Thing", "b"), ("x", "v\xe9")])
        ),
        request_time=NOW,
        freshness=Freshness(
            lifetime=60.0,
            source=LifetimeSource.S_MAXAGE,
            initial_age=1.5,
            response_time=NOW + 0.25,
            public=True,
            no_cache=False,
            must_revalidate=False,
            s_maxage=True,
            stale_while_revalidate=30.0,
            stale_if_error=86400.0,
            grace=5.0,
        ),
        variant=(("accept", None), ("accept-language", "de")),
        date=NOW - 1,
        part=ByteRange(0, 3, 10),
        tags=("products", "product:42"),
        groups=("g",),
        born=812,
    ),
    b"\x00\xffab",
)

GOLDEN = bytes.fromhex(
    "574601000000012f00000000000000044086b16300000000000000000000032c41dad2748000000041dad2c8"
    "eeb00000f9829b4600000018687474703a2f2f6170692e6578616d706c652f613f623d310000000a782d7465"
    "6e616e743d6100ce0000000f5061727469616c20436f6e74656e7441dad2747fc00000404e0000000000003f"
    "f800000000000041dad27480100000403e00000000000040f518000000000040140000000000000000000873"
    "2d6d61786167650c0100000000000000000000000000000003000000000000000a0000000400000004455461"
    "6700000003223122000000097365742d7468696e670000000161000000095365742d5468696e670000000162"
    "00000001780000000276e90000000200000006616363657074000000000f6163636570742d6c616e67756167"
    "6501000000026465000000020000000870726f64756374730000000a70726f647563743a3432000000010000"
    "00016700ff6162"
)
"""FULL as version 1 writes it. It stays readable: a change here orphans all that is in Redis."""


def sealed(record: bytes) -> bytes:
    """The record with its head CRC made right again, as somebody with bad intentions would."""
    head_size = struct.unpack_from(">I", record, 4)[0]
    seal = crc32(record[52 : 52 + head_size], crc32(record[:48]))
    return record[:48] + struct.pack(">I", seal) + record[52:]


def written(key: CacheKey, entry: Entry) -> bytes:
    return encode(key, entry).front + entry.body


def read(record: bytes) -> Entry:
    found = decode(record)
    return found.with_body(found.inline)


def test_the_golden_record_is_written_and_read() -> None:
    assert written(KEY, FULL).hex() == GOLDEN.hex()
    found = decode(GOLDEN)
    assert found.key == KEY
    assert found.with_body(found.inline) == FULL
    assert list(found.response.headers.items()) == list(FULL.response.headers.items())
    assert found.useless_after == FULL.useless_after


def test_every_fact_has_a_place_in_the_format() -> None:
    """A new attribute needs one, and a new version; it must not get lost on the way to Redis."""
    assert [f.name for f in fields(StoredResponse)] == [
        *("status", "reason", "names", "values", "request_time", "freshness", "variant", "date"),
        *("part", "tags", "groups", "born"),
    ]
    assert {f.name for f in fields(Freshness)} == {
        *("lifetime", "source", "initial_age", "response_time", "public", "no_cache"),
        *("must_revalidate", "s_maxage", "stale_while_revalidate", "stale_if_error", "grace"),
    }


SECONDS = st.floats(0, 4e9)
LINE = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=20)
TEXT = st.text(st.characters(codec=None), max_size=20)
PARTS = st.integers(0, 9).flatmap(
    lambda first: st.builds(ByteRange, st.just(first), st.integers(first, 19), st.just(20))
)
RESPONSES = st.builds(
    lambda headers, **facts: StoredResponse(**packed(headers), **facts),
    status=st.integers(100, 599),
    reason=LINE,
    headers=st.lists(st.tuples(LINE, LINE), max_size=8).map(Headers),
    request_time=SECONDS,
    freshness=st.builds(
        Freshness,
        lifetime=SECONDS,
        source=st.sampled_from(LifetimeSource),
        initial_age=SECONDS,
        response_time=SECONDS,
        public=st.booleans(),
        no_cache=st.booleans(),
        must_revalidate=st.booleans(),
        s_maxage=st.booleans(),
        stale_while_revalidate=SECONDS,
        stale_if_error=SECONDS,
        grace=SECONDS,
    ),
    variant=st.lists(st.tuples(TEXT, st.none() | TEXT), max_size=4).map(tuple),
    date=SECONDS,
    part=st.none() | PARTS,
    tags=st.lists(TEXT, max_size=4).map(tuple),
    groups=st.lists(TEXT, max_size=4).map(tuple),
    born=st.integers(0, 2**63),
)


@given(st.builds(CacheKey, TEXT, TEXT), st.builds(Entry, RESPONSES, st.binary(max_size=200)))
def test_any_entry_is_read_back_exactly(key: CacheKey, entry: Entry) -> None:
    found = decode(written(key, entry))
    assert found.key == key
    assert found.with_body(found.inline) == entry
    assert list(found.response.headers.items()) == list(entry.response.headers.items())
    assert found.stamp == encode(key, entry, chunk_size=7).stamp


@given(st.data())
def test_any_damage_is_noticed(data: st.DataObject) -> None:
    record = bytearray(GOLDEN)
    for at in data.draw(st.lists(st.integers(0, len(record) - 1), min_size=1, max_size=4)):
        record[at] = data.draw(st.integers(0, 255))
    if bytes(record) == GOLDEN:
        return
    with pytest.raises(CorruptRecord):
        read(bytes(record))


@given(st.data())
def test_bad_intentions_end_in_an_entry_or_in_corrupt_record(data: st.DataObject) -> None:
    record = bytearray(GOLDEN)
    for at in data.draw(st.lists(st.integers(0, len(record) - 1), max_size=4)):
        record[at] = data.draw(st.integers(0, 255))
    try:
        found = decode(sealed(bytes(record)) if len(record) > 52 else bytes(record))
    except CorruptRecord:
        return
    assert isinstance(found, Record)
    for name, value in found.response.headers.items():
        assert not set("\r\n\0") & set(name + value)


@given(st.binary(max_size=200))
def test_anything_else_is_no_record(junk: bytes) -> None:
    with pytest.raises(CorruptRecord):
        decode(junk)


@pytest.mark.parametrize("size", range(len(GOLDEN)))
def test_what_is_cut_short_is_no_record(size: int) -> None:
    with pytest.raises(CorruptRecord):
        decode(GOLDEN[:size])


@pytest.mark.parametrize(
    ("at", "value"),
    [
        pytest.param(0, b"X", id="magic"),
        pytest.param(2, b"\x02", id="version to come"),
        pytest.param(3, b"\x01", id="compressed"),
        pytest.param(3, b"\x80", id="flag to come"),
        pytest.param(4, b"\xff\xff\xff\xff", id="head size"),
        pytest.param(32, b"\x7f\xf8\0\0\0\0\0\0", id="time is not a number"),
        pytest.param(32, b"\x7f\xf0\0\0\0\0\0\0", id="time without end"),
    ],
)
def test_what_this_version_does_not_know_is_no_record(at: int, value: bytes) -> None:
    record = GOLDEN[:at] + value + GOLDEN[at + len(value) :]
    with pytest.raises(CorruptRecord):
        decode(sealed(record))


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(make_entry(headers={"X": "a\r\nSet-Cookie: b"}), id="a second line"),
        pytest.param(make_entry(headers={"X\n": "a"}), id="in the name"),
        pytest.param(Entry(make_entry().response.with_changes(reason="a\nb"), b""), id="reason"),
        pytest.param(Entry(make_entry().response.with_changes(status=7), b""), id="status"),
        pytest.param(
            Entry(make_entry().response.with_changes(part=ByteRange(3, 2, 9)), b""), id="part"
        ),
    ],
)
def test_what_could_not_have_come_from_an_origin_is_not_served(entry: Entry) -> None:
    with pytest.raises(CorruptRecord):
        decode(written(KEY, entry))


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(make_entry(headers={"X": "\u20ac"}), id="no single byte"),
        pytest.param(Entry(make_entry().response.with_changes(status=70_000), b""), id="status"),
        pytest.param(make_entry(born=-1), id="born"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(entry: Entry) -> None:
    with pytest.raises(ValueError, match=r"latin-1|beyond"):
        encode(KEY, entry)


def test_bytes_after_the_head_are_no_record() -> None:
    size = struct.unpack_from(">I", GOLDEN, 4)[0]
    longer = GOLDEN[:4] + struct.pack(">I", size + 1) + GOLDEN[8 : 52 + size] + b"x" + FULL.body
    with pytest.raises(CorruptRecord, match="after"):
        decode(sealed(longer))


def test_a_flag_is_yes_or_no() -> None:
    record = bytearray(GOLDEN)
    at = GOLDEN.index(b"s-maxage") + len(b"s-maxage") + 1
    assert record[at] == 1
    record[at] = 2
    with pytest.raises(CorruptRecord, match="neither"):
        decode(sealed(bytes(record)))


def test_a_body_in_chunks_is_elsewhere_and_checked_when_it_comes() -> None:
    entry = make_entry(b"0123456789")
    found = decode(encode(KEY, entry, chunk_size=4).front)
    assert (found.chunks, found.inline) == (3, b"")
    assert found.with_body(b"0123456789") == entry
    with pytest.raises(CorruptRecord):
        found.with_body(b"0123456798")


def test_the_stamp_tells_records_apart() -> None:
    entry = make_entry(b"a")
    stamps = {
        encode(KEY, entry).stamp,
        encode(KEY, make_entry(b"b")).stamp,
        encode(KEY, make_entry(b"a", asked=NOW + 1)).stamp,
        encode(KEY, make_entry(b"a", born=1)).stamp,
        encode(CacheKey(KEY.url), entry).stamp,
    }
    assert len(stamps) == 5


def test_variants_have_names_of_their_own() -> None:
    variants = [(), (("a", None),), (("a", ""),), (("a", "b"),), (("a", "b"), ("c", "d"))]
    assert len({variant_name(variant) for variant in variants}) == len(variants)


def test_what_is_read_shares_its_texts_with_others() -> None:
    one, other = decode(GOLDEN).response, decode(GOLDEN).response
    assert one.names is other.names
    assert one.date is other.date
    assert one.variant is other.variant
    assert all(ours is theirs for ours, theirs in zip(one.tags, other.tags, strict=True))
    kept = shared_entry(make_entry(headers={"ETag": '"1"'})).response
    assert kept.names[0] is one.names[0]

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rfc9111.messages import Headers
from proxy.rfc9111.stored import ByteRange, Freshness, LifetimeSource, StoredResponse, packed
from tests.rfc9111.responses import stored_response

FRESHNESS = Freshness(lifetime=60, source=LifetimeSource.MAX_AGE, initial_age=5, response_time=1000)


@pytest.mark.parametrize(
    ("now", "age"),
    [
        pytest.param(1000, 5, id="4.2.3-on arrival"),
        pytest.param(1010.5, 15.5, id="4.2.3-resident time"),
        pytest.param(0, 5, id="4.2.3-the clock stepped back"),
    ],
)
def test_current_age(now: float, age: float) -> None:
    assert FRESHNESS.current_age(now) == age
    assert FRESHNESS.ttl(now) == 60 - age


@given(st.floats(0, 1e10), st.floats(0, 1e12), st.floats(-1e12, 1e12))
def test_4_2_3_age_is_never_negative_and_never_falls(
    initial_age: float, response_time: float, now: float
) -> None:
    freshness = Freshness(
        lifetime=60,
        source=LifetimeSource.MAX_AGE,
        initial_age=initial_age,
        response_time=response_time,
    )
    assert 0 <= freshness.current_age(now) <= freshness.current_age(now + 1)


@pytest.mark.parametrize("source", LifetimeSource)
def test_4_2_2_what_is_assumed(source: LifetimeSource) -> None:
    assert source.assumed == (source.value in {"heuristic", "route-default", "none"})


def test_a_changed_copy_leaves_the_original() -> None:
    stored = StoredResponse(
        status=206,
        reason="",
        **packed(Headers()),
        request_time=999,
        freshness=FRESHNESS,
        variant=(),
        date=1000,
        part=ByteRange(0, 4, 10),
    )
    whole = stored.with_changes(status=200, part=None)
    assert (whole.status, whole.part, whole.freshness) == (200, None, FRESHNESS)
    assert (stored.status, stored.part) == (206, ByteRange(0, 4, 10))


LINES = st.lists(
    st.tuples(
        st.sampled_from(["ETag", "etag", "Date", "X"]),
        st.text(st.characters(max_codepoint=255, exclude_characters="\n")),
    )
)


@given(LINES)
def test_packed_headers_are_the_same_in_every_letter(lines: list[tuple[str, str]]) -> None:
    stored = stored_response().with_changes(headers=Headers(lines))
    assert stored.fields == list(stored.headers.items()) == lines
    assert stored.has("etag") == any(name in {"ETag", "etag"} for name, _ in lines)
    assert stored == stored_response().with_changes(**packed(stored.headers))


def test_unpacked_headers_are_the_callers() -> None:
    stored = stored_response({"Date": "now"})
    stored.headers["Age"] = "5"
    assert stored.fields == [("Date", "now")]


def test_9110_5_5_a_line_break_ends_no_value() -> None:
    stored = stored_response({"A": "1\nSet-Cookie: a", "B": "\n"})
    assert stored.fields == [("A", "1 Set-Cookie: a"), ("B", " ")]

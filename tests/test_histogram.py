import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.histogram import SECONDS, Histogram


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(-1.0, 0), (0.0, 0), (1.0, 0), (1.1, 1), (2.0, 1), (2.1, 2)]
)
def test_bounds_are_inclusive(seconds: float, bucket: int) -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe(seconds)
    assert histogram.counts.index(1) == bucket
    assert histogram.sum == max(seconds, 0.0)


@given(st.lists(st.floats(-1.0, 40.0) | st.sampled_from(SECONDS)))
def test_many_are_counted_like_each(seconds: list[float]) -> None:
    one, other = Histogram(), Histogram()
    for each in seconds:
        one.observe(each)
    other.observe(0.2)
    other.observe_all(seconds)
    one.observe(0.2)
    assert other.counts == one.counts
    assert other.sum == pytest.approx(one.sum)


def test_two_are_one() -> None:
    one, other = Histogram(), Histogram()
    one.observe(0.1)
    other.observe(0.1)
    other.observe(100.0)
    one.add(other)
    assert sum(one.counts) == 3
    assert one.counts[-1] == 1
    assert one.sum == pytest.approx(100.2)


def test_the_usual_bounds_rise() -> None:
    assert list(SECONDS) == sorted(set(SECONDS))

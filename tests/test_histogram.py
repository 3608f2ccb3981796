import pytest

from proxy.histogram import SECONDS, Histogram


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(-1.0, 0), (0.0, 0), (1.0, 0), (1.1, 1), (2.0, 1), (2.1, 2)]
)
def test_bounds_are_inclusive(seconds: float, bucket: int) -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe(seconds)
    assert histogram.counts.index(1) == bucket
    assert histogram.sum == max(seconds, 0.0)


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

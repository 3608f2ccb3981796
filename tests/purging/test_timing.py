import pytest

from proxy.purging import Timing
from proxy.purging.timing import steady


@pytest.mark.parametrize("timing", [Timing(), Timing(max_lag=0.6)], ids=repr)
def test_the_timeouts_are_in_order(timing: Timing) -> None:
    assert 2 * timing.heartbeat <= timing.patience < timing.max_lag < timing.expiry


def test_time_goes_on() -> None:
    assert steady() <= steady()

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.origin.budget import RetryBudget


@given(
    st.sampled_from([0.0, 0.01, 0.1, 0.2, 0.5, 1.0]),
    st.lists(st.integers(0, 50), max_size=200),
)
def test_it_is_never_exceeded_over_any_stretch(share: float, wishes: list[int]) -> None:
    """Each wish: so many retries are asked for after one request."""
    budget = RetryBudget(share)
    spent = []
    for wish in wishes:
        budget.earn()
        spent.append(sum(budget.spend() for _ in range(wish)))
    for start in range(0, len(spent), 7):
        stretch = spent[start:]
        assert sum(stretch) <= share * len(stretch) + 10 + 1e-6


def test_in_an_outage_one_in_five_is_tried_again() -> None:
    budget = RetryBudget(0.2)
    retried = 0
    for _ in range(1000):
        budget.earn()
        retried += budget.spend()
    assert retried == pytest.approx(200 + 10, abs=1)


def test_a_few_retries_need_no_saving() -> None:
    budget = RetryBudget(0.2)
    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]


def test_no_share_is_no_retry() -> None:
    budget = RetryBudget(0.0)
    budget.earn()
    assert not budget.spend()

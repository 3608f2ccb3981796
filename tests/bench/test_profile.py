import pytest

from tests.bench.profile import shares


def test_own_time_and_time_with_callees() -> None:
    stacks = [
        "run (loop.py:1);read (a.py:5);parse (b.py:7) 6",
        "run (loop.py:2);read (a.py:9) 3",
        "run (loop.py:1) 1",
    ]
    found = shares(stacks)
    assert [name for name, _, _ in found] == ["parse (b.py)", "read (a.py)", "run (loop.py)"]
    assert found[1][1:] == pytest.approx((0.3, 0.9))


def test_a_function_that_calls_itself_counts_once() -> None:
    (found,) = shares(["f (a.py:1);f (a.py:2) 4"])
    assert found == ("f (a.py)", 1.0, 1.0)

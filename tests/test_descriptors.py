import resource

import pytest

from proxy.descriptors import for_clients


class Limit:
    """RLIMIT_NOFILE as it might be."""

    def __init__(self, soft: int, hard: int, *, fixed: bool = False) -> None:
        self.soft, self.hard, self.fixed = soft, hard, fixed

    def get(self, _which: int) -> tuple[int, int]:
        return self.soft, self.hard

    def set(self, _which: int, to: tuple[int, int]) -> None:
        if self.fixed:
            raise ValueError("current limit exceeds maximum limit")
        assert to[0] <= self.hard or self.hard == resource.RLIM_INFINITY
        self.soft = to[0]


INF = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limit", "clients", "others", "expected"),
    [
        pytest.param(Limit(20000, 20000), 10000, 300, (10000, 20000), id="enough"),
        pytest.param(Limit(1024, 20000), 10000, 300, (10000, 10396), id="raised"),
        pytest.param(Limit(1024, INF), 10000, 300, (10000, 10396), id="raised without bound"),
        pytest.param(Limit(INF, INF), 10000, 300, (10000, INF), id="no limit"),
        pytest.param(Limit(1024, 4096), 10000, 300, (3700, 4096), id="raised, and still too few"),
        pytest.param(Limit(1024, INF, fixed=True), 10000, 300, (628, 1024), id="cannot be raised"),
        pytest.param(Limit(296, 296), 10000, 300, (100, 296), id="half at least"),
        pytest.param(Limit(20, 20), 10000, 300, (1, 20), id="hardly any"),
    ],
)
def test_who_gets_them(
    monkeypatch: pytest.MonkeyPatch,
    limit: Limit,
    clients: int,
    others: int,
    expected: tuple[int, int],
) -> None:
    monkeypatch.setattr(resource, "getrlimit", limit.get)
    monkeypatch.setattr(resource, "setrlimit", limit.set)
    """`expected`: connections of clients, and the soft limit after that."""
    assert (for_clients(clients, others), limit.soft) == expected

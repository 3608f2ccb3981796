"""When to stop trying and when to try again."""

from proxy.redis_link.breaker import Breaker


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(3, pause=1.0, limit=3.0)
    assert [breaker.failed(now) for _ in range(3)] == [False, False, True]
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = Breaker(3, pause=1.0, limit=3.0)
    for outcome in ("fail", "fail", "ok", "fail", "fail"):
        assert not (breaker.failed(0.0) if outcome == "fail" else breaker.succeeded())
        assert breaker.permits(0.0)
    assert breaker.failed(0.0)
    assert not breaker.permits(0.5)


def test_it_permits_one_trial_per_pause() -> None:
    breaker = opened()
    assert not breaker.permits(0.9)
    assert breaker.permits(1.0)
    assert not breaker.permits(1.5)
    assert breaker.permits(2.0), "the trial before never reported back"


def test_the_pause_doubles_up_to_the_limit_and_starts_over() -> None:
    breaker = opened()
    pauses = []
    now = 0.0
    for _ in range(4):
        now = breaker.retry_at
        assert breaker.permits(now)
        assert not breaker.failed(now)
        pauses.append(breaker.retry_at - now)
    assert pauses == [2.0, 3.0, 3.0, 3.0]
    assert breaker.succeeded()
    assert breaker.permits(now)
    breaker.trip(now)
    assert breaker.retry_at == now + 1.0

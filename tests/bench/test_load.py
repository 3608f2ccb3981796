import pytest

from tests.bench.load import Figures, parse


def test_the_figures_are_in_the_last_line() -> None:
    output = (
        "Running 2s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n"
        '{"answers": 100, "microseconds": 2000000, "p50": 500, "p99": 9000, "errors": 1}\n'
    )
    assert parse(output) == Figures(answers=100, seconds=2.0, p50=0.0005, p99=0.009, errors=1)


@pytest.mark.parametrize("output", ["", "unable to connect to 127.0.0.1:1 Connection refused\n"])
def test_load_that_did_not_run_shows_what_it_said(output: str) -> None:
    with pytest.raises(ValueError, match="without figures") as raised:
        parse(output)
    assert output in str(raised.value)

from rich.console import Console

from tests.bench.page import page
from tests.bench.report import table
from tests.bench.results import Run
from tests.bench.test_results import outcome, sample

LOST = outcome([sample(90), sample(110)], [sample(100), sample(100)])


def test_the_page_shows_losses_spread_and_configurations() -> None:
    shown = page(Run("2026-01-01", {"processor": "one"}, 2, 3, [LOST], ["Two workers: skipped."]))
    assert "| **Hit**: A hit. | **1.00** (0.90 to 1.10) |" in shown
    assert "≥ 1.25 x nginx: **missed**" in shown
    assert "| Hit | Warmfront | 100 | 1.00 ms | 2.00 ms | 100% | 50% | 1 MiB |  |  |" in shown
    assert "- Two workers: skipped." in shown
    assert "proxy_cache_path @{folder}/nginx-cache" in shown


def test_the_table_shows_the_same() -> None:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table(LOST))
    row = next(line for line in capture.get().splitlines() if "nginx" in line)
    assert row.split() == [
        *("nginx", "100", "1.00", "2.00", "100%", "50%"),
        *("1.00", "(0.90-1.10)", "1.00", "1.25", "missed"),
    ]


def test_a_cost_is_shown_beside_its_bound() -> None:
    seen = outcome([sample(80)], [sample(100)], "cost", goal=1.1)
    shown = page(Run("2026-01-01", {"processor": "one"}, 1, 2, [seen]))
    assert "| **1.25** (1.25 to 1.25)" in shown
    assert "≤ 1.1 x nginx: **missed**" in shown

from pathlib import Path

from proxy.metrics import SPECS
from proxy.metrics.reference import page
from proxy.rfc9111.cache_status import Outcome

FILE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_is_current() -> None:
    assert FILE.read_text() == "\n".join(page()) + "\n", "run make schema"


def test_every_metric_and_every_outcome_is_on_it() -> None:
    text = "\n".join(page())
    assert all(f"`{name}`" in text for name in SPECS)
    assert all(f"`{outcome.value}`" in text for outcome in Outcome)

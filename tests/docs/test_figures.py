"""Figures and names that pages repeat from the code are those of the code."""

import re

import pytest

from proxy.origin.errors import OriginError
from proxy.rfc9111.reasons import Reason
from proxy.settings import defaults
from proxy.stores import entry
from tests.docs.pages import ROOT, Page

SIZING = Page(ROOT / "docs" / "sizing.md")
TROUBLES = Page(ROOT / "docs" / "troubleshooting.md")
ALERTS = (ROOT / "config" / "prometheus" / "alerts.yml").read_text()

HITS = {
    Reason.FRESH,
    Reason.STALE_WHILE_REVALIDATE,
    Reason.STALE_IF_ERROR,
    Reason.GRACE,
    Reason.REQUEST_MAX_STALE,
}
PLAIN = {
    Reason.STORED,
    Reason.EXPIRED,
    Reason.REQUEST_NO_CACHE,
    Reason.REQUEST_MAX_AGE,
    Reason.REQUEST_MIN_FRESH,
    Reason.REQUEST_INCOMPLETE,
}
"""What the client asked for or did itself, or what is no trouble."""


def test_what_an_answer_takes() -> None:
    (row,) = [cells for cells in SIZING.tables if cells[0] == "a stored answer"]
    assert [int(n.replace(",", "")) for n in re.findall(r"([\d,]+) bytes", row[1])] == [
        entry._ENTRY_OVERHEAD,
        entry._LINE_OVERHEAD + 1,  # and what stands between two values
    ]
    told = {cells[0]: cells[1] for cells in SIZING.tables if len(cells) > 1}
    assert told["each tag"].startswith(f"{entry._TAG_OVERHEAD} bytes")
    by_vary = told["each request field that Vary names"]
    assert by_vary.startswith(f"{entry._SELECTOR_OVERHEAD} bytes")


BODIES = {"500 B": 500, "2 KiB": 2048, "10 KiB": 10240, "100 KiB": 102400}


@pytest.mark.parametrize("body", BODIES)
def test_how_many_answers_fit(body: str) -> None:
    """8 field lines with values of 28 bytes, a key of 60."""
    head = 8 * (entry._LINE_OVERHEAD + 28) + 7
    one = entry._ENTRY_OVERHEAD + BODIES[body] + 60 + head
    (row,) = [cells for cells in SIZING.tables if cells[0] == body]
    takes, small, large = (int(cell.replace(",", "").removesuffix(" B")) for cell in row[1:])
    assert takes == one
    assert small == pytest.approx((1 << 28) // one, rel=0.03)
    assert large == pytest.approx((1 << 30) // one, rel=0.03)


def test_how_many_descriptors_are_needed() -> None:
    settings = defaults()
    needed = settings.limits.connections + settings.origin.pool.connections + 32 + 96
    assert f"The defaults need {needed:,} " in SIZING.text


def test_every_reason_for_no_hit_is_told() -> None:
    missing = [
        reason.value
        for reason in set(Reason) - HITS - PLAIN
        if f"`{reason.value}`" not in TROUBLES.text
    ]
    assert missing == []


def test_statuses_of_failures_are_those_of_the_code() -> None:
    told = {
        cells[1].strip("`"): cells[0]
        for cells in TROUBLES.tables
        if cells[0] in {"502", "503", "504"} and cells[1].startswith("`origin-")
    }
    failures = [reason for reason in Reason if reason.value.startswith("origin-")]
    assert told | {"origin-idle-timeout": "502"} == {
        reason.value: str(OriginError(reason).status) for reason in failures
    }


def test_every_alert_is_told() -> None:
    named = set(re.findall(r"alert: (\w+)", ALERTS))
    page = Page(ROOT / "docs" / "monitoring.md")
    assert set(re.findall(r"`(Warmfront[A-Z]\w+)`", page.text)) == named

"""Every reason is explained, with its clause, and says what would help."""

import re
from pathlib import Path

import pytest

from proxy.explain import reference
from proxy.explain.advice import advice_on, clause_of, explanation_of, why
from proxy.rfc9111.reasons import Reason

DOCS = Path(__file__).parents[2] / "docs"
NEEDS_NOTHING = {
    Reason.FRESH,
    Reason.STALE_WHILE_REVALIDATE,
    Reason.REQUEST_MAX_STALE,
    Reason.STORED,
}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_what_would_help(reason: Reason) -> None:
    advice = advice_on(reason)
    assert (advice == "") == (reason in NEEDS_NOTHING)
    assert not advice or advice.endswith(".")
    assert "§" not in advice


@pytest.mark.parametrize(
    ("reason", "clause"),
    [
        pytest.param(Reason.FRESH, "RFC 9111 §4.2", id="of the RFC that all is about"),
        pytest.param(Reason.STALE_IF_ERROR, "RFC 5861 §4", id="of another"),
        pytest.param(Reason.NO_FRESHNESS, "RFC 9111 §3, §4.2.2", id="of two sections"),
        pytest.param(Reason.STATUS_NEVER_STORED, "RFC 6585, RFC 9110 §15.5", id="of two RFCs"),
        pytest.param(Reason.SET_COOKIE, "", id="of our own"),
    ],
)
def test_clauses(reason: Reason, clause: str) -> None:
    assert clause_of(reason) == clause
    assert clause in explanation_of(reason)


def test_a_reason_as_it_is_told() -> None:
    told = why(Reason.EXPIRED)
    assert told.reason == "expired"
    assert told.explanation.endswith("(RFC 9111 §4.2).")
    assert "stale_while_revalidate" in told.advice


def test_settings_that_are_recommended_exist() -> None:
    """What looks like a key of the YAML is one."""
    known = (DOCS / "configuration.md").read_text()
    words = {
        word for reason in Reason for word in re.findall(r"\b[a-z]+_[a-z_]+\b", advice_on(reason))
    }
    assert words
    assert [word for word in sorted(words) if f"`{word}`" not in known] == []


def test_the_page_is_current() -> None:
    """`make schema` writes it."""
    assert (DOCS / "reasons.md").read_text() == reference.text()


def test_the_page_has_a_heading_for_every_reason() -> None:
    headings = re.findall(r"^### `(.+)`$", reference.text(), re.MULTILINE)
    assert headings == [reason.value for reason in Reason]

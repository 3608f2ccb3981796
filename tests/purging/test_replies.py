"""What Redis answers is either understood, or makes the log unusable: there is no third."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.purging import Invalid, LogUnreachable, Mode, Purge, Softened, Valid, replies

FIELDS = {"scopes": '["tag:a", "*"]', "mode": "soft", "at": "1.5", "pattern": ""}

_WORDS = st.none() | st.integers() | st.binary(max_size=9) | st.text(max_size=9)
_ANYTHING = st.recursive(_WORDS, lambda inner: st.lists(inner, max_size=5))


def record(**fields: str) -> list[Any]:
    """As XRANGE has it."""
    words = [word.encode() for pair in (FIELDS | fields).items() for word in pair]
    return [b"7-0", words]


def test_a_record() -> None:
    assert replies.purge(record()) == Purge(7, ("tag:a", "*"), Mode.SOFT, 1.5)
    assert replies.purge(record(mode="hard", pattern="a+")).pattern == "a+"


def test_a_pattern_that_still_counts() -> None:
    held = [b"9", b"hard a b", b"2.5"]
    assert replies.pattern(held) == Purge(9, (), Mode.HARD, 2.5, "a b")


def test_how_far_a_process_is() -> None:
    assert replies.position("812 44") == 812


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ([b"id", 5, b"valid", b"0"], Valid(5)),
        ([b"id", 5, b"softened", b"1.5"], Softened(1.5, 5)),
        ([b"id", 5, b"invalid", b"0"], Invalid()),
        ([b"id", 5, b"something", b"0"], Invalid()),
        ([b"", 0, b"", b"0"], None),
    ],
)
def test_a_verdict(reply: list[Any], verdict: object) -> None:
    assert replies.verdict(reply) == verdict


@given(_ANYTHING)
def test_anything_else_is_no_answer(reply: Any) -> None:
    for read in (replies.purge, replies.pattern, replies.verdict):
        try:
            with replies.reading():
                read(reply)
        except LogUnreachable as error:
            assert "not a purge log's answer" in str(error)  # noqa: PT017 - or none at all

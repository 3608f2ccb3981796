"""What one value may look like: whatever comes, it is taken or refused in words."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.settings.scalars import FIELD_VALUE, KINDS, Kind


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
@given(text=st.text())
def test_any_text_is_taken_or_refused(kind: Kind, text: str) -> None:
    with suppress(ValueError):
        assert kind.take(text) is not None


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("value", [None, [], {}, b"x", object()], ids=lambda v: type(v).__name__)
def test_what_is_not_one_value_is_refused(kind: Kind, value: object) -> None:
    with pytest.raises(ValueError, match=r"has no value|must be a single value, not "):
        kind.take(value)


@given(st.text(st.characters(max_codepoint=0xFF)))
def test_field_values_cannot_break_out_of_their_line(text: str) -> None:
    try:
        value = FIELD_VALUE.take(text)
    except ValueError:
        return
    assert not set("\r\n\0") & set(value)
    assert value.encode("latin-1").strip() == value.encode("latin-1")

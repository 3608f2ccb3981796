import re

import pytest

from proxy.rfc9111.reasons import Reason


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_a_token_with_a_sentence(reason: Reason) -> None:
    """RFC 9211 §2.8: `detail` takes it as it is."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason.value)
    assert f"detail={reason}" == f"detail={reason.value}"
    assert re.fullmatch(r"[A-Za-z][^\n]*[.)]", reason.explanation)


def test_no_two_reasons_say_the_same() -> None:
    assert len({reason.explanation for reason in Reason}) == len(Reason)

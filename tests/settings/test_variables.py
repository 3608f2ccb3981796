"""Environment variables inside one value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.problems import Refused
from proxy.settings.variables import substitute

ENV = {"HOST": "api", "PORT": "8000", "NOTHING": "", "NESTED": "${HOST}"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("${HOST}", "api"),
        ("http://${HOST}:${PORT}", "http://api:8000"),
        ("${GONE:-localhost}", "localhost"),
        ("${NOTHING:-localhost}", "localhost"),
        ("${HOST:-localhost}", "api"),
        ("${GONE:-}", ""),
        ("${NOTHING}", ""),
        ("${GONE:-a:-b}", "a:-b"),
        pytest.param("${NESTED}", "${HOST}", id="a value is not read again"),
        pytest.param("$${HOST}", "${HOST}", id="escaped"),
        pytest.param("$$${HOST}", "$${HOST}", id="only the last dollar escapes"),
        ("$HOST and $5", "$HOST and $5"),
        ("product:{id}", "product:{id}"),
    ],
)
def test_variables_are_replaced(text: str, result: str) -> None:
    assert substitute(text, ENV) == result


@pytest.mark.parametrize(
    ("text", "message", "suggestion"),
    [
        (
            "${GONE}",
            "the environment variable GONE is not set",
            "set it, or write ${GONE:-default}",
        ),
        ("a${HOST", "${ is never closed", "write ${NAME}, or $${ for the two characters"),
        (
            "${HO-ST}",
            "'HO-ST' is not the name of a variable",
            "write ${NAME} or ${NAME:-default}, or $${ for the two characters",
        ),
        (
            "${}",
            "'' is not the name of a variable",
            "write ${NAME} or ${NAME:-default}, or $${ for the two characters",
        ),
    ],
)
def test_bad_references_are_refused(text: str, message: str, suggestion: str) -> None:
    with pytest.raises(Refused) as caught:
        substitute(text, ENV)
    assert (caught.value.message, caught.value.suggestion) == (message, suggestion)


@given(st.text())
def test_any_value_passes_through_a_variable(value: str) -> None:
    assert substitute("<${X}>", {"X": value}) == f"<{value}>"


@given(st.text())
def test_escaping_every_reference_gives_the_text_back(text: str) -> None:
    assert substitute(text.replace("${", "$${"), {}) == text

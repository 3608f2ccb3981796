import pytest
from multidict import CIMultiDict

from proxy.rfc9111.validators import strong_last_modified, strong_validator
from tests.rfc9111.responses import DATE, NOW, STRONG_DATE, TEN_SECONDS_EARLIER, TWO_MINUTES_EARLIER

TAG, WEAK = {"ETag": '"a"'}, {"ETag": 'W/"a"'}


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        pytest.param(TAG, '"a"', id="8.8.3-a strong tag"),
        pytest.param(TAG | STRONG_DATE, '"a"', id="8.8.3-rather than a date"),
        pytest.param(STRONG_DATE, TWO_MINUTES_EARLIER, id="8.8.2.2-a strong date"),
        pytest.param(WEAK, None, id="8.8.1-a weak tag"),
        pytest.param(WEAK | STRONG_DATE, None, id="8.8.1-a weak tag disowns the date"),
        pytest.param(
            {"Date": DATE, "Last-Modified": TEN_SECONDS_EARLIER}, None, id="8.8.2.2-too close"
        ),
        pytest.param({}, None, id="8.8-none"),
    ],
)
def test_strong_validator(headers: dict[str, str], validator: str | None) -> None:
    assert strong_validator(CIMultiDict(headers), now=NOW) == validator


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Last-Modified": TWO_MINUTES_EARLIER}, id="8.8.2.2-no Date"),
        pytest.param({"Date": DATE}, id="8.8.2-no Last-Modified"),
        pytest.param(STRONG_DATE | {"Date": "today"}, id="5.6.7-a Date that is none"),
        pytest.param(STRONG_DATE | {"Last-Modified": "lately"}, id="5.6.7-neither is this"),
    ],
)
def test_no_strong_date(headers: dict[str, str]) -> None:
    assert strong_last_modified(CIMultiDict(headers), now=NOW) is None


def test_a_strong_date_in_seconds() -> None:
    assert strong_last_modified(CIMultiDict(STRONG_DATE), now=NOW) == 784_111_777.0

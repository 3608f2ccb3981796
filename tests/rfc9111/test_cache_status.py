from typing import cast

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rfc9111.cache_status import CacheStatus, Forward, Outcome, forward_of
from proxy.rfc9111.reasons import Reason


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(CacheStatus(), "warmfront", id="2-nothing to tell"),
        pytest.param(CacheStatus(hit=True, ttl=30), "warmfront; hit; ttl=30", id="2.1-hit"),
        pytest.param(
            CacheStatus(hit=True, ttl=-5, detail=Reason.STALE_WHILE_REVALIDATE),
            "warmfront; hit; ttl=-5; detail=stale-while-revalidate",
            id="2.4-stale hit",
        ),
        pytest.param(
            CacheStatus(
                forward=Forward.URI_MISS,
                forward_status=200,
                stored=True,
                collapsed=True,
                ttl=60,
                detail=Reason.STORED,
            ),
            "warmfront; fwd=uri-miss; fwd-status=200; stored; collapsed; ttl=60; detail=stored",
            id="2.2-forwarded",
        ),
        pytest.param(
            CacheStatus(hit=True, forward=Forward.STALE),
            "warmfront; fwd=stale",
            id="2.2-forwarded is no hit",
        ),
        pytest.param(
            CacheStatus(ttl=0, forward_status=0), "warmfront; fwd-status=0; ttl=0", id="2.4-zero"
        ),
    ],
)
def test_render(status: CacheStatus, expected: str) -> None:
    assert status.render() == expected


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (CacheStatus(hit=True, detail=Reason.FRESH), Outcome.HIT),
        (CacheStatus(hit=True, detail=Reason.STALE_WHILE_REVALIDATE), Outcome.STALE),
        (CacheStatus(hit=True, detail=Reason.REQUEST_MAX_STALE), Outcome.STALE),
        (CacheStatus(forward=Forward.STALE, detail=Reason.GRACE), Outcome.STALE),
        (
            CacheStatus(forward=Forward.STALE, forward_status=503, detail=Reason.STALE_IF_ERROR),
            Outcome.STALE,
        ),
        (
            CacheStatus(forward=Forward.STALE, forward_status=304, detail=Reason.VALIDATED),
            Outcome.REVALIDATED,
        ),
        (
            CacheStatus(forward=Forward.URI_MISS, collapsed=True, detail=Reason.URI_MISS),
            Outcome.COLLAPSED,
        ),
        (
            CacheStatus(forward=Forward.URI_MISS, forward_status=200, detail=Reason.NO_STORE),
            Outcome.MISS,
        ),
        (
            CacheStatus(forward=Forward.STALE, forward_status=200, detail=Reason.EXPIRED),
            Outcome.MISS,
        ),
        (
            CacheStatus(forward=Forward.BYPASS, forward_status=200, detail=Reason.CACHE_OFF),
            Outcome.BYPASS,
        ),
        (
            CacheStatus(forward=Forward.METHOD, forward_status=201, detail=Reason.NO_FRESHNESS),
            Outcome.BYPASS,
        ),
        (CacheStatus(detail=Reason.MAX_FORWARDS), Outcome.BYPASS),
        (CacheStatus(detail=Reason.ONLY_IF_CACHED), Outcome.ERROR),
        (CacheStatus(forward=Forward.METHOD, detail=Reason.ORIGIN_REFUSED), Outcome.ERROR),
    ],
    ids=lambda value: value.render() if isinstance(value, CacheStatus) else value.value,
)
def test_the_outcome_is_one_word(status: CacheStatus, outcome: Outcome) -> None:
    assert status.outcome is outcome


STATUSES = st.builds(
    CacheStatus,
    hit=st.booleans(),
    forward=st.none() | st.sampled_from(Forward),
    forward_status=st.none() | st.integers(100, 999),
    stored=st.booleans(),
    collapsed=st.booleans(),
    ttl=st.none() | st.integers(-(10**12), 10**12),
    detail=st.none() | st.sampled_from(Reason),
)


@given(STATUSES)
def test_every_status_is_a_structured_list_with_hit_or_fwd(status: CacheStatus) -> None:
    parsed = http_sf.parse(status.render().encode(), tltype="list")
    ((name, parameters),) = cast("list[tuple[object, dict[str, object]]]", parsed)
    assert str(name) == "warmfront"
    assert not {"hit", "fwd"} <= parameters.keys()


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        pytest.param(Reason.CACHE_OFF, Forward.BYPASS, id="2.2-cache off"),
        pytest.param(Reason.REQUEST_BODY, Forward.BYPASS, id="2.2-body"),
        pytest.param(Reason.REQUEST_PRECONDITION, Forward.BYPASS, id="2.2-precondition"),
        pytest.param(Reason.REQUEST_UPGRADE, Forward.BYPASS, id="2.2-upgrade"),
        pytest.param(Reason.METHOD, Forward.METHOD, id="2.2-method"),
        pytest.param(Reason.URI_MISS, Forward.URI_MISS, id="2.2-uri-miss"),
        pytest.param(Reason.VARY_MISS, Forward.VARY_MISS, id="2.2-vary-miss"),
        pytest.param(Reason.REQUEST_NO_CACHE, Forward.REQUEST, id="2.2-request no-cache"),
        pytest.param(Reason.REQUEST_MAX_AGE, Forward.REQUEST, id="2.2-request max-age"),
        pytest.param(Reason.REQUEST_MIN_FRESH, Forward.REQUEST, id="2.2-request min-fresh"),
        pytest.param(Reason.EXPIRED, Forward.STALE, id="2.2-stale"),
        pytest.param(Reason.NO_CACHE, Forward.STALE, id="2.2-no-cache"),
        pytest.param(Reason.RANGE_NOT_HELD, Forward.PARTIAL, id="2.2-partial"),
        pytest.param(Reason.ORIGIN_REFUSED, Forward.MISS, id="2.2-anything else"),
    ],
)
def test_forward_of(reason: Reason, expected: Forward) -> None:
    assert forward_of(reason) is expected

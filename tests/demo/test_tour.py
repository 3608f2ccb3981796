"""The tour: its curl lines, and how it reads Cache-Status."""

import shlex

import pytest

from proxy.demo.tour import TOUR, Outcome, Step, judge

BASE = "http://127.0.0.1:8080"


@pytest.mark.parametrize("step", TOUR, ids=lambda step: f"{step.method} {step.path}")
def test_every_step_is_a_curl_line_that_a_shell_reads_as_meant(step: Step) -> None:
    words = shlex.split(step.curl(BASE))
    assert words[:2] == ["curl", "-i"]
    assert words[-1] == BASE + step.path
    given = [words[at + 1] for at, word in enumerate(words) if word == "-H"]
    assert given == [f"{name}: {value}" for name, value in step.headers.items()]
    assert ("-X" in words) == (step.method != "GET")
    assert ("-d" in words) == (step.body is not None)


def test_the_tour_shows_every_outcome() -> None:
    assert {step.announced for step in TOUR} == set(Outcome)


@pytest.mark.parametrize(
    ("status", "cache_status", "outcome"),
    [
        (200, "warmfront; hit; ttl=57; detail=fresh", Outcome.HIT),
        (200, "warmfront; hit; ttl=57", Outcome.HIT),
        (304, "warmfront; hit; ttl=57; detail=fresh", Outcome.NOT_MODIFIED),
        (200, "warmfront; hit; ttl=-3; detail=stale-while-revalidate", Outcome.STALE),
        (200, "warmfront; fwd=stale; fwd-status=503; detail=stale-if-error", Outcome.STALE),
        (200, "warmfront; fwd=stale; ttl=-3; detail=grace", Outcome.STALE),
        (200, "warmfront; fwd=stale; fwd-status=304; detail=validated", Outcome.NOT_MODIFIED),
        (200, "warmfront; fwd=uri-miss; fwd-status=200; stored; detail=stored", Outcome.MISS),
        (200, "warmfront; fwd=vary-miss; fwd-status=200; stored; ttl=60", Outcome.MISS),
        (200, "warmfront; fwd=uri-miss; fwd-status=200; detail=private", Outcome.PRIVATE),
        (200, "warmfront; fwd=method; fwd-status=200; detail=method", Outcome.PASSED),
        (200, "warmfront; fwd=method; detail=method-not-storable", Outcome.PASSED),
        (200, "warmfront; fwd=bypass; fwd-status=200; detail=cache-off", Outcome.PASSED),
        (200, "elsewhere; hit, warmfront; fwd=uri-miss; stored; detail=stored", Outcome.MISS),
        (200, "warmfront; fwd=uri-miss; fwd-status=200; detail=no-freshness", None),
        (200, "warmfront; fwd=new-word", None),
        (200, "warmfront", None),
        (200, "", None),
        (200, "not; a; list=", None),
    ],
)
def test_cache_status_in_the_operators_words(
    status: int, cache_status: str, outcome: Outcome | None
) -> None:
    assert judge(status, cache_status)[0] is outcome


def test_why_names_the_cause_rather_than_the_consequence() -> None:
    _, why = judge(200, "warmfront; fwd=vary-miss; fwd-status=200; stored; detail=stored")
    assert why.startswith("What is stored for this URL answers other request fields")

"""How a problem reads."""

import pytest

from proxy.problems import (
    Location,
    ManyRefused,
    Problem,
    Refused,
    SettingsError,
    did_you_mean,
    path_text,
    quoted,
)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (
            Problem(
                file="config.yaml",
                line=12,
                column=5,
                path="routes[0].tll",
                message="unknown key",
                suggestion="did you mean ttl?",
            ),
            "config.yaml:12:5: routes[0].tll: unknown key; did you mean ttl?",
        ),
        (Problem(file="c.yaml", message="cannot be read"), "c.yaml: cannot be read"),
        (Problem(path="--origin", message="bad"), "--origin: bad"),
        (Problem(message="bad"), "bad"),
        pytest.param(
            Problem(path="a\x1b[31m\ud800", message="unknown key"),
            r"a\x1b[31m\ud800: unknown key",
            id="nothing reaches the terminal raw",
        ),
    ],
)
def test_a_problem_reads(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_problems_come_in_the_order_of_the_file() -> None:
    error = SettingsError(
        [
            Problem(message="c", line=3, column=1),
            Problem(message="b", line=2, column=9),
            Problem(message="a"),
        ]
    )
    assert str(error) == "a\n2:9: b\n3:1: c"


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ((), ""),
        (("listen",), "listen"),
        (("routes", 2, "ttl"), "routes[2].ttl"),
        (("routes", 2, "negative_ttl", "404"), "routes[2].negative_ttl.404"),
    ],
)
def test_paths(location: Location, text: str) -> None:
    assert path_text(location) == text


def test_suggestions_need_some_likeness() -> None:
    assert did_you_mean("TLL", ["ttl", "tags"]) == "did you mean ttl?"
    assert did_you_mean("xyz", ["ttl", "tags"]) is None


def test_quoted_text_is_cut() -> None:
    assert quoted("a\n") == r"'a\n'"
    assert quoted("x" * 61) == f"'{'x' * 60}…'"


def test_several_refusals_read_as_one() -> None:
    assert str(ManyRefused([Refused("a"), Refused("b", "write c", ("d",))])) == "a; b"

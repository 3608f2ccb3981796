"""YAML text as a tree with places: values stay text, and what is wrong is told with its line."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.problems import SettingsError
from proxy.settings.document import BROKEN, DEEPEST, MOST_VALUES, Document, Mark, parse


def read(text: str, **env: str) -> Document:
    return parse(text, file="c.yaml", env=env)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("a: off", "off", id="no booleans"),
        pytest.param("a: 1.10", "1.10", id="no numbers"),
        pytest.param("a: 12:30", "12:30", id="no base 60"),
        pytest.param("a: 2024-01-01", "2024-01-01", id="no dates"),
        pytest.param("a:", None, id="empty is null"),
        pytest.param("a: ~", None, id="tilde is null"),
        pytest.param("a: null", None, id="null"),
        pytest.param("a: 'null'", "null", id="quoted null is text"),
        pytest.param("a: ''", "", id="quoted empty is text"),
        pytest.param("a: ${X:-}", None, id="an empty variable is null"),
        pytest.param("a: '${X:-}'", "", id="a quoted empty variable is text"),
        pytest.param("a: ${SET}", "1: [b, c]", id="a variable adds no structure"),
        pytest.param("a: [b, 1, ]", ["b", "1"], id="list"),
        pytest.param("a: {b: {c: d}}", {"b": {"c": "d"}}, id="mapping"),
        pytest.param("a: !  b", "b", id="the tag ! means nothing"),
        pytest.param("x: &x [1]\na: [*x, *x]", [["1"], ["1"]], id="aliases"),
        pytest.param("x: &x 1\ny: &x 2\na: *x", "2", id="the last anchor of a name counts"),
    ],
)
def test_values_stay_text(text: str, value: object) -> None:
    document = read(text, SET="1: [b, c]")
    assert document.plain()["a"] == value
    assert document.problems == ()


def test_places_are_of_keys_and_items() -> None:
    document = read("a:\n  b: 1\n  c:\n    - x\n    - y: 2\n")
    assert document.locate(()) == ((), Mark(1, 1))
    assert document.locate(("a",)) == (("a",), Mark(1, 1))
    assert document.locate(("a", "b")) == (("a", "b"), Mark(2, 3))
    assert document.locate(("a", "c", 0)) == (("a", "c", 0), Mark(4, 7))
    assert document.locate(("a", "c", 1, "y")) == (("a", "c", 1, "y"), Mark(5, 7))


@pytest.mark.parametrize("beyond", [("a", "b", 0), ("a", "b", "c"), ("a", 0), ("a", "z"), ("z",)])
def test_places_end_where_the_file_ends(beyond: tuple[str | int, ...]) -> None:
    found, _ = read("a:\n  b: 1\n").locate(beyond)
    assert found == beyond[: len(found)]
    assert len(found) < len(beyond)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        pytest.param(
            "a: 1\nb: 2\na: 3\n",
            ["c.yaml:3:1: a: duplicate key, first on line 1"],
            id="duplicate key",
        ),
        pytest.param(
            "a:\n  - {b: 1, b: 2}\n",
            ["c.yaml:2:12: a[0].b: duplicate key, first on line 2"],
            id="duplicate key in flow style",
        ),
        pytest.param(
            "a: !!python/name:os.system x",
            ["c.yaml:1:4: a: YAML tags have no meaning here; remove the part after !"],
            id="tag",
        ),
        pytest.param(
            "x: &x {b: 1}\na:\n  <<: *x\n",
            ["c.yaml:3:3: a.<<: YAML 1.2 merges no mappings; write its keys"],
            id="merge key",
        ),
        pytest.param(
            "a: ${GONE}\nb: [x, '${']\n",
            [
                (
                    "c.yaml:1:4: a: the environment variable GONE is not set; "
                    "set it, or write ${GONE:-default}"
                ),
                (
                    "c.yaml:2:8: b[1]: ${ is never closed; write ${NAME}, or $${ for the two "
                    "characters"
                ),
            ],
            id="variables",
        ),
    ],
)
def test_problems_that_leave_the_rest_readable(text: str, problems: list[str]) -> None:
    assert [str(problem) for problem in read(text).problems] == problems


def test_a_value_with_a_problem_is_broken() -> None:
    assert read("a: ${GONE}\nb: 1").plain() == {"a": BROKEN, "b": "1"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "1:1: the file is empty; write at least origin: {url: ...}", id="empty"),
        pytest.param(
            "# only words\n",
            "1:1: the file is empty; write at least origin: {url: ...}",
            id="only comments",
        ),
        pytest.param(
            "a: 1\n---\nb: 2\n", "2:1: a second document starts here; keep one per file", id="two"
        ),
        pytest.param(
            "a:\n\tb: 1\n",
            "2:1: not YAML: found character '\\t' that cannot start any token; "
            "indent with spaces, not tabs",
            id="tab",
        ),
        pytest.param(
            "match: {path: /products/{id}}",
            "1:25: not YAML: expected ',' or '}', but got '{'; "
            'put quotes around a value with braces inside { }: "/products/{id}"',
            id="braces in flow style",
        ),
        pytest.param(
            "listen: [::1]:8080",
            "1:14: not YAML: expected <block end>, but found '<scalar>'; "
            'put quotes around a value that starts with [ or {: "[::1]:8080"',
            id="brackets",
        ),
        pytest.param(
            "hosts: [*.example.com]",
            "1:9: there is no anchor &.example.com above; "
            'put quotes around a value that starts with *: "*.example.com"',
            id="star",
        ),
        pytest.param(
            "a: b: c",
            "1:5: not YAML: mapping values are not allowed here; "
            "check the indentation, and quote a value with ': ' in it",
            id="two colons",
        ),
        pytest.param(
            "a:\n  b: 1\n c: 1\n",
            "3:2: not YAML: expected <block end>, but found '<block mapping start>'; "
            "indent the keys of one mapping alike",
            id="indentation",
        ),
        pytest.param(
            "a: 'b",
            "1:6: not YAML: found unexpected end of stream; close the quotes",
            id="open quotes",
        ),
        pytest.param(
            "a: @b",
            "1:4: not YAML: found character '@' that cannot start any token; "
            "put quotes around the value",
            id="reserved character",
        ),
        pytest.param(
            "a: 1\nb\n",
            "3:1: not YAML: could not find expected ':'; write key: value",
            id="no colon",
        ),
        pytest.param(
            "? [a]\n: b\n", "1:3: a key must be plain text; put quotes around the key", id="key"
        ),
        pytest.param(
            "a: &a [*a]",
            '1:8: there is no anchor &a above; put quotes around a value that starts with *: "*a"',
            id="alias of itself",
        ),
        pytest.param("a: 1\nb: \x01\n", "2:4: the character U+0001 is not allowed", id="control"),
    ],
)
def test_text_that_cannot_be_read(text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert str(caught.value) == f"c.yaml:{problem}"


def test_an_escape_beyond_unicode_is_a_problem() -> None:
    with pytest.raises(SettingsError, match=r"^c\.yaml:1:1: not YAML: "):
        read('a: "\\UFFFFFFFF"')


def test_problems_before_the_unreadable_part_are_told_too() -> None:
    with pytest.raises(SettingsError) as caught:
        read("a: 1\na: 2\nb: [\n")
    assert [problem.line for problem in caught.value.problems] == [2, 4]


def _aliases_of_aliases(levels: int, width: int) -> str:
    above = (f"[{', '.join([f'*a{level}'] * width)}]" for level in range(levels - 1))
    return "\n".join(f"a{n}: &a{n} {items}" for n, items in enumerate(["[x]", *above]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "a: " + "[" * 2000, f"more than {DEEPEST} levels of nesting", id="nested lists"
        ),
        pytest.param(
            _aliases_of_aliases(100, 1), f"more than {DEEPEST} levels of nesting", id="deep aliases"
        ),
        pytest.param(
            _aliases_of_aliases(12, 9),
            f"more than {MOST_VALUES} values, aliases included",
            id="an alias bomb",
        ),
        pytest.param(
            f"a: [{'x,' * MOST_VALUES}]",
            f"more than {MOST_VALUES} values, aliases included",
            id="many values",
        ),
    ],
)
def test_limits(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert caught.value.problems[-1].message == message


_YAML_PIECES = st.sampled_from(
    [
        *"{}[]:,-?&*!|>'\"%@#\t\n \\~ab1",
        "\\U",
        "%YAML 1.1\n",
        "---",
        "<<: ",
        "&a ",
        "*a",
        "${",
        "\r",
    ]
)


@given(st.text() | st.lists(_YAML_PIECES).map("".join))
def test_any_text_is_read_or_told_about(text: str) -> None:
    with suppress(SettingsError):
        assert read(text).root.size <= MOST_VALUES

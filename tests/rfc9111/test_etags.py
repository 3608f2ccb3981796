import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rfc9111.etags import (
    ANY,
    entity_tag,
    is_strong,
    parse_entity_tags,
    strong_match,
    weak_match,
)
from proxy.rfc9111.messages import Headers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("*", (ANY,), id="13.1.2-any"),
        pytest.param(" *\t", (ANY,), id="13.1.2-any with space"),
        pytest.param('"a"', ('"a"',), id="13.1.2-one"),
        pytest.param('W/"a"', ('W/"a"',), id="13.1.2-weak"),
        pytest.param('"a", W/"b" ,"c"', ('"a"', 'W/"b"', '"c"'), id="13.1.2-list"),
        pytest.param('"a,b", "c"', ('"a,b"', '"c"'), id="8.8.3-comma inside"),
        pytest.param('"a\\"', ('"a\\"',), id="8.8.3-backslash escapes nothing"),
        pytest.param('""', ('""',), id="8.8.3-empty tag"),
        pytest.param('"\xe9"', ('"\xe9"',), id="8.8.3-obs-text"),
        pytest.param(', ,"a",,"b",', ('"a"', '"b"'), id="5.6.1-empty members"),
        pytest.param("", (), id="5.6.1-nothing"),
        pytest.param("a", None, id="8.8.3-no quotes"),
        pytest.param("'a'", None, id="8.8.3-wrong quotes"),
        pytest.param('w/"a"', None, id="8.8.3-case of the weakness mark"),
        pytest.param('W\\"a"', None, id="8.8.3-backslash for slash"),
        pytest.param('"a b"', None, id="8.8.3-space inside"),
        pytest.param('"a', None, id="8.8.3-no end"),
        pytest.param('"a" "b"', None, id="5.6.1-no comma"),
        pytest.param('"a", *', None, id="13.1.2-any in a list"),
        pytest.param('"a", b', None, id="13.1.2-one bad member spoils all"),
    ],
)
def test_parse_entity_tags(value: str, expected: tuple[str, ...] | None) -> None:
    assert parse_entity_tags(value) == expected


@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [
        pytest.param('W/"1"', 'W/"1"', False, True, id="8.8.3.2-both weak"),
        pytest.param('W/"1"', 'W/"2"', False, False, id="8.8.3.2-weak and different"),
        pytest.param('W/"1"', '"1"', False, True, id="8.8.3.2-one weak"),
        pytest.param('"1"', '"1"', True, True, id="8.8.3.2-both strong"),
        pytest.param('"1"', '"2"', False, False, id="8.8.3.2-strong and different"),
        pytest.param("1", "1", False, False, id="8.8.3-neither is an entity tag"),
        pytest.param('"a"', '"A"', False, False, id="8.8.3-case counts"),
    ],
)
def test_comparison(one: str, other: str, *, strong: bool, weak: bool) -> None:
    assert strong_match(one, other) == strong_match(other, one) == strong
    assert weak_match(one, other) == weak_match(other, one) == weak


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], None, id="8.8.3-none"),
        pytest.param([' "a" '], '"a"', id="8.8.3-space around"),
        pytest.param(['W/"a"'], 'W/"a"', id="8.8.3-weak"),
        pytest.param(["a"], None, id="8.8.3-invalid"),
        pytest.param(['"a"', '"b"'], None, id="8.8.3-two are none"),
    ],
)
def test_entity_tag(lines: list[str], expected: str | None) -> None:
    assert entity_tag(Headers([("ETag", line) for line in lines])) == expected


TAGS = st.from_regex(r'\A(W/)?"[\x21\x23-\x7e\x80-\xff]*"\Z')


@given(st.lists(TAGS), st.sampled_from([",", ", ", " , , "]))
def test_lists_survive(tags: list[str], separator: str) -> None:
    assert parse_entity_tags(separator.join(tags)) == tuple(tags)


@given(st.text(st.sampled_from('"W/a,* \t\\\xe9')), st.text(st.sampled_from('"W/a')))
def test_anything_is_read_without_error(value: str, other: str) -> None:
    tags = parse_entity_tags(value)
    assert tags is None or tags == (ANY,) or all(weak_match(tag, tag) for tag in tags)
    assert not strong_match(value, other) or (weak_match(value, other) and is_strong(value))

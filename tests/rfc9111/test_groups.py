import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rfc9111.groups import invalidated_groups, parse_groups
from proxy.rfc9111.messages import Headers, Request, Response


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], (), id="2-none"),
        pytest.param([""], (), id="2-empty"),
        pytest.param(['"a"'], ("a",), id="2-one"),
        pytest.param(['"a", "B","a b"'], ("a", "B", "a b"), id="2-list"),
        pytest.param(['"a"', '"b"'], ("a", "b"), id="2-lines"),
        pytest.param(['"a", "a"'], ("a",), id="2-repeats"),
        pytest.param(['"a";x=1'], ("a",), id="2-parameters are ignored"),
        pytest.param(['"a\\"b"'], ('a"b',), id="2-escapes"),
        pytest.param(['"a", b'], (), id="2-tokens are no strings"),
        pytest.param(['"a", 1'], (), id="2-integers are no strings"),
        pytest.param(['("a" "b")'], (), id="2-inner lists are no strings"),
        pytest.param(['"a",'], (), id="2-invalid list"),
        pytest.param(['"\xe9"'], (), id="2-not ASCII"),
        pytest.param(
            [", ".join(f'"{n:032}"' for n in range(200))],
            tuple(f"{n:032}" for n in range(200)),
            id="2-many and long",
        ),
    ],
)
def test_parse_groups(lines: list[str], expected: tuple[str, ...]) -> None:
    assert parse_groups(Headers([("Cache-Groups", line) for line in lines])) == expected


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        pytest.param("POST", 200, ("a",), id="3-unsafe method"),
        pytest.param("UNKNOWN", 200, ("a",), id="3-unknown method"),
        pytest.param("POST", 500, ("a",), id="3-the origin says so itself"),
        pytest.param("GET", 200, (), id="3-ignored after a safe method"),
        pytest.param("PROPFIND", 200, (), id="3-ignored after a method registered as safe"),
    ],
)
def test_invalidated_groups(method: str, status: int, expected: tuple[str, ...]) -> None:
    request = Request(method, "http", "example.com", "/", Headers())
    headers = Headers({"Cache-Group-Invalidation": '"a"', "Cache-Groups": '"b"'})
    assert invalidated_groups(request, Response(status, "", headers)) == expected


@given(st.text(st.characters(codec="latin-1")))
def test_anything_is_read_without_error(value: str) -> None:
    groups = parse_groups(Headers({"Cache-Groups": value}))
    assert all(group.isascii() for group in groups)

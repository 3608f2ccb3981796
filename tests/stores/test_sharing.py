"""What is shared is equal to what came, byte for byte, and held once."""

from proxy.rfc9111.messages import Headers
from proxy.rfc9111.stored import StoredResponse
from proxy.stores.sharing import shared
from tests.stores.conftest import make_entry


def fresh(text: str) -> str:
    """Equal, and not the same."""
    return text.encode().decode()


def parsed(*values: str) -> StoredResponse:
    """As an origin's answer comes in: every string is its own."""
    return make_entry().response.with_changes(
        reason=fresh("Fine"),
        headers=Headers((fresh("X-Name"), fresh(value)) for value in values),
        variant=((fresh("accept"), fresh("text/html")), ("dnt", None)),
        tags=(fresh("product:42"),),
    )


def test_a_shared_response_is_equal_in_every_letter() -> None:
    came = parsed("one", "TWO", "v" * 1000)
    kept = shared(came)
    assert kept == came
    assert list(kept.headers.items()) == list(came.headers.items())
    assert kept.headers.getall("x-NAME") == ["one", "TWO", "v" * 1000]


def test_equal_texts_are_held_once() -> None:
    one, other = shared(parsed("value")), shared(parsed("value"))
    assert next(iter(one.headers.keys())) is next(iter(other.headers.keys()))
    assert one.headers["x-name"] is other.headers["x-name"]
    assert one.variant is other.variant
    assert one.tags[0] is other.tags[0]
    assert one.reason is other.reason


def test_what_differs_in_case_only_stays_as_it_is() -> None:
    upper = shared(make_entry(headers={"ETAG": "A"}).response)
    lower = shared(make_entry(headers={"etag": "a"}).response)
    assert list(upper.headers.items()) == [("ETAG", "A")]
    assert list(lower.headers.items()) == [("etag", "a")]


def test_what_is_long_is_not_held_beyond_its_entry() -> None:
    one, other = shared(parsed("v" * 200)), shared(parsed("v" * 200))
    assert one.headers["x-name"] is not other.headers["x-name"]

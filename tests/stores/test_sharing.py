"""What is shared is equal to what came, byte for byte, and held once."""

from proxy.rfc9111.messages import Headers
from proxy.rfc9111.stored import ByteRange, StoredResponse
from proxy.stores.sharing import shared, shared_text
from tests.stores.conftest import make_entry


def fresh(text: str) -> str:
    """Equal, and not the same."""
    return text.encode().decode()


def parsed(*values: str) -> StoredResponse:
    """As an origin's answer comes in: every string is its own."""
    return make_entry().response.with_changes(
        reason=fresh("Fine"),
        date=float("1800000000"),
        headers=Headers((fresh("X-Name"), fresh(value)) for value in values),
        variant=((fresh("accept"), fresh("text/html")), ("dnt", None)),
        part=ByteRange(0, 3, 10),
        tags=(fresh("product:42"),),
        groups=("group",),
        born=7,
    )


def test_a_shared_response_is_equal_in_every_letter() -> None:
    came = parsed("one", "TWO", "v" * 1000)
    kept = shared(came)
    assert kept == came
    assert list(kept.headers.items()) == list(came.headers.items())
    assert kept.headers.getall("x-NAME") == ["one", "TWO", "v" * 1000]


def test_what_is_equal_is_held_once() -> None:
    one, other = shared(parsed("value")), shared(parsed("another"))
    assert one.names is other.names
    assert one.date is other.date
    assert one.variant is other.variant
    assert one.tags[0] is other.tags[0]
    assert one.reason is other.reason


def test_what_differs_in_case_only_stays_as_it_is() -> None:
    upper = shared(make_entry(headers={"ETAG": "A"}).response)
    lower = shared(make_entry(headers={"etag": "a"}).response)
    assert list(upper.headers.items()) == [("ETAG", "A")]
    assert list(lower.headers.items()) == [("etag", "a")]


def test_names_are_held_once_whatever_head_they_are_in() -> None:
    one, other, third = (shared(parsed(*values)) for values in (["a"], ["a", "b"], ["a"] * 100))
    assert one.names[0] is other.names[0] is other.names[1] is third.names[99]


def test_what_is_long_or_much_is_not_held_beyond_its_entry() -> None:
    long = {"x" * 200: "a"}
    one, other = (shared(make_entry(headers=long).response) for _ in range(2))
    assert one.names[0] == other.names[0]
    many = ["a"] * 100
    assert shared(parsed(*many)).names is not shared(parsed(*many)).names
    assert shared_text(fresh("t" * 200)) is not shared_text(fresh("t" * 200))

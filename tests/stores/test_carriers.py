"""Which thing carries which tag: exact, and nothing kept for tags that nobody carries."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.carriers import Carriers


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.integers(0, 3))))
def test_it_says_who_carries_what(steps: list[tuple[bool, str, int]]) -> None:
    carriers: Carriers[int] = Carriers()
    model: set[tuple[str, int]] = set()
    for adds, tag, carrier in steps:
        if adds:
            carriers.add(tag, carrier)
            model.add((tag, carrier))
        else:
            carriers.discard(tag, carrier)
            model.discard((tag, carrier))
        found = {tag: {of for name, of in model if name == tag} for tag in {t for t, _ in model}}
        assert {tag: set(carriers.of(tag)) for tag in found} == found
        assert carriers.counts() == {tag: len(many) for tag, many in found.items()}
    assert list(carriers.of("nobody")) == []
    for tag, carrier in model:
        carriers.discard(tag, carrier)
    assert not carriers._lone
    assert not carriers._many

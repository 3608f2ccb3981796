"""What several workers say of the same request."""

from dataclasses import replace

from proxy.explain import Explanation, jointly
from proxy.explain.facts import Outcome
from tests.explain.apparatus import explained, lines_of


async def of_a_miss() -> Explanation:
    async with explained() as one:
        return await one.simulate()


def as_outcome(one: Explanation, outcome: Outcome) -> Explanation:
    return replace(one, reuse=replace(one.reuse, outcome=outcome))


async def test_where_all_agree_nobody_is_counted_in_words() -> None:
    miss = await of_a_miss()
    joint = jointly([miss, miss])
    assert joint.workers == {"miss": 2}
    assert (joint.summary, joint.words, joint.advice) == (miss.summary, miss.words, miss.advice)


async def test_what_is_stored_somewhere_is_what_is_explained() -> None:
    miss = await of_a_miss()
    hit, stale = as_outcome(miss, Outcome.HIT), as_outcome(miss, Outcome.STALE)
    joint = jointly([miss, hit, stale, hit])
    assert joint.reuse == hit.reuse
    assert joint.workers == {"miss": 1, "hit": 2, "stale": 1}
    assert joint.summary.startswith("Would be a hit in 2 of 4 workers. ")
    assert lines_of(joint, "Reuse")[1:] == [
        "each worker keeps what it has fetched itself:",
        "  in 1 it would be a miss",
        "  in 2 it would be a hit",
        "  in 1 it would be a stale hit",
    ]

"""What is kept of requests for those who ask afterwards, and what clients are told of it."""

from weakref import ref

import pytest

from proxy.events import Answered, Passed
from proxy.gateway.decisions import Decision, Decisions
from proxy.gateway.steps import Bypass
from proxy.journal import packed_names, packed_times
from proxy.rfc9111 import reuse
from proxy.rfc9111.cache_status import CacheStatus, Forward, Outcome
from proxy.rfc9111.reasons import Reason
from tests.apparatus import Answer, Proxied, Reply, proxied

MINUTE = ("Cache-Control", "max-age=60")
NAME = "Warmfront-Request-Id"
SECRET = "sesame"  # noqa: S105 - that is the point


def decision(verdict: object = reuse.Fresh(1.0), **more: object) -> Decision:
    about: dict[str, object] = {
        "method": "GET",
        "uri": "http://api.example/",
        "status": 200,
        "route": "default",
        "key": "k",
        "verdict": verdict,
        "cache_status": CacheStatus(hit=True),
        "freshness": None,
        "vary": (),
        "tags": (),
        "born": 0,
        "fate": None,
        "refused": None,
    }
    return Decision(**about | more)  # type: ignore[arg-type]


MISS = decision(reuse.Miss(Reason.URI_MISS))


class TestRing:
    def test_so_many_are_kept_and_hits_do_not_push_out_others(self) -> None:
        ring = Decisions(3, 1.0)
        ring.note(b"miss", 1.0, MISS)
        for number in range(100):
            ring.note(b"hit%d" % number, 2.0, decision())
        assert len(ring) == 4
        assert ring.find("miss") == (1.0, MISS)
        assert ring.find("hit96") is None
        assert ring.find("hit97") == (2.0, decision())

    def test_the_last_of_one_name_is_found(self) -> None:
        ring = Decisions(3, 1.0)
        ring.note(b"a", 1.0, MISS)
        ring.note(b"a", 2.0, MISS)
        assert ring.find("a") == (2.0, MISS)
        assert ring.find("b") is None

    def test_names_that_no_request_has_are_looked_for_in_vain(self) -> None:
        assert Decisions(3, 1.0).find("\u20ac \r\n") is None

    def test_a_share_is_kept(self) -> None:
        lots = iter([0.0, 0.24, 0.25, 0.9])
        ring = Decisions(9, 0.25, draw=lambda: next(lots))
        for number in range(4):
            ring.note(str(number).encode(), 0.0, MISS)
        assert [ring.find(str(number)) is not None for number in range(4)] == [True, True] + 2 * [
            False
        ]

    def test_what_came_together_has_its_place_among_the_others(self) -> None:
        kind = Passed(Answered("GET", "", 200, "", 0.0, "", Outcome.BYPASS, None), "", sized=True)
        kind.decision = decision(Bypass(Reason.CACHE_OFF), key="other")
        ring = Decisions(4, 1.0)
        ring.note(b"a", 1.0, MISS)
        ring.note(b"b", 1.0, MISS)
        ring.note_passed(([kind] * 3, packed_times([2.0, 3.0, 4.0]), packed_names([b"c"] * 3)))
        assert len(ring) == 4
        assert ring.find("a") is None
        assert ring.find("b") == (1.0, MISS)
        assert ring.find("c") == (4.0, kind.decision)
        ring.note(b"c", 5.0, MISS)
        assert ring.find("c") == (5.0, MISS)
        ring.note_passed(([], b"", b""))
        ring.adjust(1, 0.5)
        assert len(ring) == 1

    def test_of_what_does_not_recur_only_the_decision_is_kept(self) -> None:
        """It knows its request, with all that this says."""

        class Once(Passed):
            __slots__ = ("__weakref__",)
            recurs = False

        one = Once(Answered("GET", "", 200, "", 0.0, "", Outcome.MISS, None), "", sized=True)
        one.decision = MISS
        ring = Decisions(4, 1.0)
        ring.note_passed(([one], packed_times([1.0]), packed_names([b"a"])))
        gone = ref(one)
        del one
        assert gone() is None
        assert ring.find("a") == (1.0, MISS)

    def test_a_share_is_kept_of_what_came_together(self) -> None:
        kind = Passed(Answered("GET", "", 200, "", 0.0, "", Outcome.BYPASS, None), "", sized=True)
        lots = iter([0.3, 0.2])
        ring = Decisions(4, 0.25, draw=lambda: next(lots))
        ring.note_passed(([kind] * 2, packed_times([2.0, 3.0]), packed_names([b"a", b"b"])))
        assert [ring.find(name) is not None for name in ("a", "b")] == [False, True]

    def test_it_is_adjusted(self) -> None:
        ring = Decisions(3, 1.0)
        for number in range(3):
            ring.note(str(number).encode(), 0.0, MISS)
        ring.adjust(1, 1.0)
        assert len(ring) == 1
        assert ring.find("2") is not None

    def test_the_last_answer_of_the_origin_for_a_key(self) -> None:
        ring = Decisions(9, 1.0)
        asked = decision(
            reuse.Miss(Reason.URI_MISS),
            cache_status=CacheStatus(forward=Forward.URI_MISS, forward_status=200),
        )
        ring.note(b"a", 1.0, asked)
        ring.note(b"b", 2.0, MISS)
        assert ring.last_fetched("k") == (1.0, asked)
        assert ring.last_fetched("other") is None


def named(answer: Answer) -> str:
    (name,) = answer.headers.getall(NAME)
    return name


async def ask_for_hits(proxy: Proxied, *lines: tuple[str, str], count: int = 3) -> list[Answer]:
    """Fill the cache, then ask for hits: the later ones come by the hot path."""
    proxy.origin.will(Reply(headers=[MINUTE], body=b"x"))
    return [await proxy.get("/p", *lines) for _ in range(count + 1)]


async def test_each_request_has_a_name_of_its_own_by_which_it_is_found() -> None:
    ring = Decisions(100, 1.0)
    async with proxied(decisions=ring) as proxy:
        answers = await ask_for_hits(proxy, count=4)
        names = [named(answer) for answer in answers]
        assert len(set(names)) == 5
        found = [ring.find(name) for name in names]
        verdicts = [kept[1].verdict for kept in found if kept is not None]
        assert verdicts == [reuse.Miss(Reason.URI_MISS)] + 4 * [reuse.Fresh(0.0)]
        assert [answer.hit for answer in answers] == [False] + 4 * [True]


async def test_a_client_s_own_name_stays_on_both_paths() -> None:
    async with proxied(decisions=Decisions(100, 1.0)) as proxy:
        answers = await ask_for_hits(proxy, ("X-Request-Id", "abc-1"), count=4)
        assert [named(answer) for answer in answers] == 5 * ["abc-1"]
        odd = await proxy.get("/p", ("X-Request-Id", "a b"))
        assert named(odd) not in {"a b", "abc-1"}
        assert named(await proxy.get("/p")) != "abc-1"
        assert len(proxy.origin.seen) == 1


async def test_without_a_ring_nobody_is_told_a_name() -> None:
    async with proxied() as proxy:
        answers = await ask_for_hits(proxy, ("X-Request-Id", "abc-1"))
        assert not any(NAME in answer.headers for answer in answers)


async def test_a_name_that_the_origin_sends_is_replaced_by_ours() -> None:
    async with proxied(decisions=Decisions(9, 1.0)) as proxy:
        proxy.origin.will(Reply(headers=[MINUTE, (NAME, "theirs"), (NAME, "too")]))
        assert all([named(await proxy.get("/")) != "theirs" for _ in range(4)])


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_value_is_kept(method: str) -> None:
    ring = Decisions(9, 1.0)
    async with proxied(decisions=ring) as proxy:
        proxy.origin.will(Reply(headers=[MINUTE, ("Set-Cookie", SECRET), ("Vary", "X-Key")]))
        lines = [("Cookie", SECRET), ("Authorization", SECRET), ("X-Key", SECRET)]
        answer = await proxy.ask(method, f"/p?token={SECRET}&{SECRET}&a=", *lines)
        kept = ring.find(named(answer))
    assert kept is not None
    assert SECRET not in repr(kept)
    assert kept[1].uri == "http://api.example/p?token=...&...&a=..."


async def test_what_is_kept_of_one_is_bounded() -> None:
    ring = Decisions(9, 1.0)
    async with proxied(decisions=ring) as proxy:
        tags = [f"{number:03d}{'t' * 97}" for number in range(50)]
        lines = [MINUTE, ("Cache-Tag", ",".join(tags)), ("Vary", ", ".join(tags))]
        proxy.origin.will(Reply(headers=lines))
        kept = ring.find(named(await proxy.get(f"/{'u' * 4000}?{'q' * 1000}")))
    assert kept is not None
    assert (len(kept[1].uri), kept[1].tags, kept[1].vary) == (1024, (*tags[:10],), (*tags[:10],))


async def test_what_was_decided_is_kept() -> None:
    ring = Decisions(9, 1.0)
    async with proxied(decisions=ring) as proxy:
        proxy.origin.will(Reply(headers=[MINUTE, ("Vary", "X-Key"), ("Cache-Tag", "a,b")]))
        proxy.origin.will(Reply(headers=[("Cache-Control", "no-store")]))
        proxy.origin.will(Reply(body=b"written"))
        stored = ring.find(named(await proxy.get("/a")))
        refused = ring.find(named(await proxy.get("/b")))
        written = ring.find(named(await proxy.ask("PUT", "/a", body=b"x")))
    assert stored is not None
    assert stored[1].freshness is not None
    assert (stored[1].vary, stored[1].tags, stored[1].not_stored) == (("x-key",), ("a", "b"), None)
    assert stored[1].freshness.lifetime == 60
    assert refused is not None
    assert (refused[1].not_stored, refused[1].freshness) == (Reason.NO_STORE, None)
    assert written is not None
    assert written[1].verdict == Bypass(Reason.METHOD)

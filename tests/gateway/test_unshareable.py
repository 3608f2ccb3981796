"""Notes of keys whose answers are of no use to others."""

import pytest

from proxy.gateway import unshareable
from proxy.gateway.unshareable import Unshareable, note_name
from proxy.rfc9111.messages import Headers, Request
from proxy.stores import CacheKey
from tests.apparatus import Clock

KEY = CacheKey.of("http://a/")


def request(*lines: tuple[str, str]) -> Request:
    return Request("GET", "http", "a", "/", Headers(lines))


PLAIN = request()
NAMED = request(("Cookie", "id=1"))


def test_a_note_ends() -> None:
    clock = Clock()
    notes = Unshareable(clock)
    found = [notes.any]
    notes.note(KEY, PLAIN, shareable=False)
    assert [*found, notes.any] == [False, True]
    clock.now += 59.9
    assert notes.covers(KEY, PLAIN)
    clock.now += 0.1
    assert not notes.covers(KEY, PLAIN)


def test_those_for_requests_with_credentials_are_others() -> None:
    notes = Unshareable(Clock())
    notes.note(KEY, NAMED, shareable=False)
    assert notes.covers(KEY, request(("Authorization", "x")))
    assert not notes.covers(KEY, PLAIN)
    notes.note(KEY, PLAIN, shareable=True)
    assert notes.covers(KEY, NAMED)
    notes.note(KEY, NAMED, shareable=True)
    assert not notes.covers(KEY, NAMED)


def test_an_answer_may_have_said_so_itself() -> None:
    clock = Clock()
    notes, name = Unshareable(clock), note_name(KEY, PLAIN)
    notes.note(KEY, PLAIN, shareable=False)
    assert not notes.covers_plainly(name)
    notes.note(KEY, PLAIN, shareable=False, plain=True)
    assert notes.covers_plainly(name)
    clock.now += 59.0
    notes.note_plainly(name)
    clock.now += 59.0
    assert notes.covers(KEY, PLAIN)
    assert notes.covers_plainly(name)
    notes.note(KEY, PLAIN, shareable=False)
    assert not notes.covers_plainly(name)


def test_what_was_asked_for_itself_says_nothing_of_others() -> None:
    notes = Unshareable(Clock())
    notes.note(KEY, request(("Range", "bytes=0-1")), shareable=False, plain=True)
    assert not notes.covers(KEY, PLAIN)


def test_there_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unshareable, "_REMEMBERED", 2)
    notes = Unshareable(Clock())
    for number in (1, 2):
        notes.note_plainly(number)
    notes.note_plainly(1)
    notes.note_plainly(3)
    assert [notes.covers_plainly(number) for number in (1, 2, 3)] == [True, False, True]

"""An explanation in words: one sentence, then a heading for each part, then what would help."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from proxy.explain.facts import (
    Explanation,
    FreshnessPart,
    KeyPart,
    Mode,
    Outcome,
    RoutePart,
    Section,
    StoredPart,
    VariantPart,
    Why,
)
from proxy.rfc9111.reasons import Reason

_DONE: Final = {
    Outcome.HIT: "a hit",
    Outcome.STALE: "a stale hit",
    Outcome.REVALIDATE: "sent to the origin, to ask whether what is stored still holds",
    Outcome.MISS: "a miss",
    Outcome.BYPASS: "passed to the origin, past the cache",
    Outcome.GATEWAY_TIMEOUT: "answered 504, as the origin must not be asked",
}
_ASKED: Final = {
    Mode.SIMULATE: "as it would be answered now; nothing was sent",
    Mode.SEND: "as it has just been answered",
    Mode.PROBE: "as it has just been answered the second time",
    Mode.PAST: "as it was answered then",
}
_STATUSES: Final = {
    206: "the part that the request wants (RFC 9110 §14)",
    304: "the client has it already (RFC 9110 §13)",
    416: "it has no such part (RFC 9110 §14)",
}
"""What a stored response is made to, by what the request says."""

_HARD: Final = "hard"
_STORED_NOW: Final = "Nothing: it is stored now. Ask again, or probe."
_TELLS_NOTHING: Final = frozenset({Reason.URI_MISS.value, Reason.STORED.value})


def told(explanation: Explanation) -> Explanation:
    """The same with its summary, its advice and its words."""
    advice = tuple(dict.fromkeys(filter(None, _advice(explanation))))
    whole = replace(explanation, summary=_summary(explanation), advice=advice)
    return replace(whole, words=tuple(_sections(whole)))


def _summary(explanation: Explanation) -> str:
    reuse = explanation.reuse
    if not explanation.served:
        return "Would be answered 421: the host is not one of allowed_hosts."
    verb = "Would be" if explanation.mode is Mode.SIMULATE else "Was"
    summary = f"{verb} {_DONE[reuse.outcome]}{_where(explanation)}. {_reason(reuse.why)}"
    storing, answer = explanation.storing, explanation.answer
    if reuse.outcome is Outcome.MISS and storing.stored is False and storing.why is not None:
        summary += f" The answer is not stored: {_reason(storing.why)}"
    elif answer is not None and answer.detail is not None and answer.detail != reuse.why:
        summary += f" Then answered {answer.status}: {_reason(answer.detail)}"
    elif _was_purged(explanation):
        summary += " It was stored, and purged since."
    return summary


def _where(explanation: Explanation) -> str:
    """In how many workers it is so, where it is not so in all."""
    outcome, workers = explanation.reuse.outcome.value, explanation.workers
    if not workers.keys() - {outcome}:
        return ""
    return f" in {workers[outcome]} of {sum(workers.values())} workers"


def _was_purged(explanation: Explanation) -> bool:
    """What was stored is not there, and has been purged since."""
    gone = explanation.mode is Mode.SIMULATE and explanation.storing.stored
    return bool(
        gone
        and explanation.reuse.why.reason == Reason.URI_MISS.value
        and any(purge.mode == _HARD for purge in explanation.purges)
    )


def _advice(explanation: Explanation) -> Iterator[str]:
    if not explanation.served:
        yield "Ask by a host that is served, or name this one in allowed_hosts, and restart."
        return
    outcome, storing = explanation.reuse.outcome, explanation.storing
    detail = None if explanation.answer is None else explanation.answer.detail
    if detail is not None and detail != explanation.reuse.why:
        yield detail.advice
    if outcome in {Outcome.HIT, Outcome.STALE}:
        return
    if storing.stored is False and storing.why is not None:
        yield storing.why.advice
    if explanation.stored is not None and explanation.stored.other_scheme:
        yield (
            "Ask by the scheme under which it is stored: http and https are two URLs. Where TLS "
            "ends in front of the proxy, all requests come by http."
        )
    if explanation.ambiguous_path:
        yield (
            "Write the path plainly (no //, ;, /../, no needless %): what readers may take for "
            "another path gets no lifetime from the route."
        )
    if outcome is Outcome.MISS and storing.stored and explanation.mode is not Mode.SIMULATE:
        past = explanation.mode is Mode.PAST
        yield "Nothing: it was stored, for whoever asked next." if past else _STORED_NOW
    elif _was_purged(explanation):
        yield "Nothing: the next request fetches and stores it anew."
    elif not (storing.stored is False and explanation.reuse.why.reason in _TELLS_NOTHING):
        yield explanation.reuse.why.advice


def _sections(explanation: Explanation) -> Iterator[Section]:
    refused = explanation.storing.stored is False
    freshness = "Freshness, if it were stored" if refused else "Freshness"
    parts = {
        "Request": _request(explanation),
        "Route": _route(explanation.route),
        "Key": _key(explanation.key, explanation.vary),
        "Stored now": () if explanation.stored is None else _stored(explanation.stored),
        "Reuse": _reuse(explanation),
        "Answer": _answer(explanation),
        "Storing": _storing(explanation),
        freshness: () if explanation.freshness is None else _freshness(explanation.freshness),
        "Tags and purges": _purging(explanation),
        "For a hit": explanation.advice,
    }
    for title, lines in parts.items():
        if told_lines := tuple(lines):
            yield Section(title, told_lines)


def _request(explanation: Explanation) -> Iterator[str]:
    yield f"{explanation.method} {explanation.uri}"
    yield _ASKED[explanation.mode]
    if explanation.request_id:
        yield f"called {explanation.request_id}"
    if not explanation.trusted:
        yield "the purge log cannot be read: nothing stored is used without asking the origin"


def _route(route: RoutePart) -> Iterator[str]:
    conditions = f" ({', '.join(route.conditions)})" if route.conditions else ""
    yield f"{route.name}{conditions}"
    for name, value in route.captured.items():
        yield f"{name} is {value}"
    if route.policy:
        yield f"sets {'; '.join(route.policy)}"
    for passed in route.passed_over:
        yield f"not {passed.route}: {passed.why}"


def _key(key: KeyPart, vary: Sequence[str]) -> Iterator[str]:
    if key.url:
        yield key.url
    for name, value in key.others:
        yield f"and {name}: {value}"
    if key.left_out:
        yield f"without {', '.join(key.left_out)}"
    if key.sorted:
        yield "with the query's parameters in order of their names"
    if vary:
        yield f"and, by Vary: {', '.join(vary)}"
    yield f"hash {key.hash}, as in the log"


def _stored(stored: StoredPart) -> Iterator[str]:
    if not stored.variants:
        yield "nothing under this key"
    for variant in stored.variants:
        yield from _variant(variant)
    for other in stored.other_keys:
        yield f"another key of this URL adds: {other or 'nothing'}"
    if stored.other_scheme:
        yield "something under the same URL by the other scheme"


def _variant(variant: VariantPart) -> Iterator[str]:
    freshness = variant.freshness
    state = "fresh" if freshness.ttl > 0 else "stale"
    used = "" if variant.hits is None else f", {variant.hits} hit{'s' * (variant.hits != 1)}"
    part = f", bytes {variant.held}" if variant.held else ""
    yield (
        f"{'this one' if variant.chosen else 'not this one'}: {variant.status}, "
        f"{_seconds(freshness.age)} old, {state} for {_seconds(abs(freshness.ttl))}, "
        f"{variant.size} bytes in {variant.tier.value}{used}{part}"
    )
    for name, value in variant.vary:
        asked = f"without {name}" if value is None else f"with {name}: {value}"
        differs = " (this request differs)" if name in variant.differs else ""
        yield f"  for requests {asked}{differs}"


def _reuse(explanation: Explanation) -> Iterator[str]:
    yield _reason(explanation.reuse.why)
    if told_status := _STATUSES.get(explanation.status or 0):
        yield f"answered {explanation.status}: {told_status}"
    if _where(explanation):
        yield "each worker keeps what it has fetched itself:"
        for outcome, number in explanation.workers.items():
            yield f"  in {number} it would be {_DONE[Outcome(outcome)]}"


def _answer(explanation: Explanation) -> Iterator[str]:
    answer = explanation.answer
    if answer is None:
        return
    seconds = "" if answer.seconds is None else f" after {answer.seconds * 1000:.0f} ms"
    yield f"{answer.status}{seconds}"
    yield f"Cache-Status: {answer.cache_status}"
    if answer.collapsed:
        yield "another request had asked the origin for the same: this one read along"
    if answer.origin_status is not None:
        yield f"the origin answered {answer.origin_status}"
    if answer.detail is not None and answer.detail.reason != explanation.reuse.why.reason:
        yield _reason(answer.detail)
    for name, value in answer.origin_headers:
        yield f"  {name}: {value}"


def _storing(explanation: Explanation) -> Iterator[str]:
    storing = explanation.storing
    if storing.stored is None:
        how = "" if explanation.reuse.outcome is Outcome.BYPASS else "; send the request, or probe"
        yield f"not known: the origin's answer decides{how}"
        return
    if storing.why is None:
        yield "to be stored, and not there in the end: the log says why (`not stored`)"
        return
    ago = 0.0 if storing.at is None else explanation.at - storing.at
    when = f" when the origin last answered, {_seconds(ago)} ago" if round(ago, 1) > 0 else ""
    if storing.stored:
        yield f"stored{when}: nothing forbids it (RFC 9111 §3)"
    else:
        yield f"not stored{when}. {_reason(storing.why)}"


def _freshness(freshness: FreshnessPart) -> Iterator[str]:
    yield f"lifetime {_seconds(freshness.lifetime)}: {freshness.source_told}"
    yield (
        f"age {_seconds(freshness.age)}: {_seconds(freshness.initial_age)} when it came, "
        f"{_seconds(freshness.held)} since"
    )
    if freshness.ttl > 0:
        yield f"fresh for {_seconds(freshness.ttl)}: the lifetime less the age"
    else:
        yield f"stale for {_seconds(-freshness.ttl)}: the age less the lifetime"
    if freshness.no_cache:
        yield "no-cache: validated before each use"
    if freshness.must_revalidate:
        yield "must-revalidate: never used stale"
        return
    windows = {
        "while a refresh runs (stale-while-revalidate)": freshness.stale_while_revalidate,
        "when the origin fails (stale-if-error)": freshness.stale_if_error,
        "when the origin cannot be reached (grace)": freshness.grace,
    }
    for when, window in windows.items():
        if window:
            yield f"usable stale for {_seconds(window)} {when}"


def _purging(explanation: Explanation) -> Iterator[str]:
    if explanation.tags:
        yield f"tags {' '.join(explanation.tags)}"
    for purge in explanation.purges:
        yield f"{purge.scope} was purged ({purge.mode}), number {purge.seq}"
    if explanation.purges_on_success:
        yield f"a successful one purges {' '.join(explanation.purges_on_success)}"


def _reason(why: Why) -> str:
    return f"{why.explanation} [{why.reason}]"


def _seconds(value: float) -> str:
    return f"{round(value, 1):g}s" if value < 1_000_000 else f"{value:.0f}s"  # noqa: PLR2004 - g

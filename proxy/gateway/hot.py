"""Plain requests that are answered as soon as they are read.

Requests that agree in all that an answer may depend on but their targets have a lot in common: what
their routes make of them, whether the store may answer them at all, what they tell caches. That is
found out once, see `HotAnswers.alike`. For each of them the way of `Gateway.respond` is gone then,
by the same functions, as far as it leads to a fresh hit in memory, or at once to the origin:

    route -- cache: off --> Passing.start_like
      |
    lookup -- stored --> select, decide -- fresh --> Repeating
      |                                    else ---> the longer way
      +------ nothing at all --> Way.fetch
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from proxy.exchange import Asked, Given, Passage, Recurring, Reply, Watched, WriteHead
from proxy.gateway.forms import Forms, has_forms
from proxy.gateway.missing import Missings, Way
from proxy.gateway.passing import Passing, Passings
from proxy.gateway.repeating import Means, Repeating
from proxy.gateway.steps import Wanted
from proxy.gateway.unshared import Unshareds
from proxy.request_ids import FIELD
from proxy.rfc9111 import keys, poisoning, preconditions, reuse
from proxy.rfc9111.messages import Request
from proxy.rfc9111.policy import ClientDirectives, KeyPolicy, Policy
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import StoredResponse
from proxy.routes import RouteTable
from proxy.stores import CacheKey, Entry

_CREDENTIALS: Final = frozenset({"authorization", "cookie"})
_DIRECTIVES: Final = frozenset({"cache-control", "pragma"})
_CONDITIONS: Final = frozenset({"if-modified-since", "if-none-match"})
_CLAIMS: Final = frozenset(map(str.lower, poisoning.CLAIMS))
"""What every key may have, see keys.primary_key."""

_NAMED_BY: Final = FIELD.lower()

_DATED: Final = "if-modified-since"

_UNWATCHABLE: Final = frozenset({"connection"})
"""Fields that are about the connection: what depends on them is not repeated."""

_NEVER_REPEATED: Final = _UNWATCHABLE | {_NAMED_BY}
"""Nor is what depends on the name of a request, which is another one each time."""

_MOST_WATCHED: Final = 40
"""Fields; each is looked for in every request."""

_MOST_VARIANTS: Final = 8
"""Under one key: all are compared with what they were."""

_MOST_LEARNT: Final = 2048
"""Routes of kinds of requests; one takes about 3 KiB."""

_MOST_SETS: Final = 1024
"""Of names of fields; one takes about 2 KiB."""

_IMF_FIXDATE: Final = 29
"""Characters of a date that means the same for ever (RFC 9110 §5.6.7)."""


class HotAnswers:
    """Knows how plain requests are answered. See exchange.Answers.

    Args:
        means: What hits that are given again have in common.
        forms: Of their heads.
        left_out: Fields, in lower case; requests with one of them are not for this.
        name_watched: Whether anybody wants to know names.
        passings: Knows what is passed on at once.
        missings: Knows what is fetched at once.
        unshareds: Knows what is passed on at once though nobody has said so beforehand.

    Attributes:
        watched: Fields of requests that some answer may depend on; replaced when it grows.
        means: As given, like all else.
    """

    def __init__(
        self,
        *,
        routes: RouteTable,
        means: Means,
        forms: Forms,
        left_out: frozenset[str],
        name_watched: bool,
        passings: Passings,
        missings: Missings,
        unshareds: Unshareds,
    ) -> None:
        self.routes = routes
        self.means = means
        self.forms = forms
        self.missings = missings
        self._left_out = left_out
        self._always = routes.condition_fields | _CONDITIONS | _CLAIMS
        fields = self._always.union(*map(_key_fields, routes.key_policies))
        self._possible = not fields & _UNWATCHABLE
        name = _NAMED_BY if name_watched else None
        values = fields if name is None else fields | {name}
        present = _CREDENTIALS | _DIRECTIVES | left_out
        self.watched = Watched(values, present, name, _CONDITIONS)
        self.passings = passings
        self._unshareds = unshareds
        self._asks_more = _DIRECTIVES | _CONDITIONS | left_out
        # What a request is called must not decide anything, nor its conditions which route it has.
        self._all_alike = (
            self._possible and _NAMED_BY not in fields and not routes.condition_fields & _CONDITIONS
        )
        self._learnt: list[Alike] = []
        self._sets: dict[frozenset[str], frozenset[str]] = {}

    def alike(self, request: Request, largest: int, write: WriteHead) -> "Alike | None":
        """See Answers."""
        if not self._all_alike or any(name in request.headers for name in self._left_out):
            return None
        return Alike(self, request, largest, write)

    def passing(self, request: Request) -> Passing | None:
        """See Answers."""
        if not self._possible or any(name in request.headers for name in self._left_out):
            return None
        policy = self.routes.find(request).route.policy
        names = self.routes.condition_fields | _CLAIMS | _key_fields(policy.key) | self._left_out
        passing = self.passings.of(request, names)
        if passing is not None or any(name in request.headers for name in self._asks_more):
            return passing
        return self._unshareds.of(request, names | _CREDENTIALS | self._asks_more)

    def note_learnt(self, alike: "Alike") -> None:
        """There is one more route that these know; where there are too many they start over."""
        if len(self._learnt) >= _MOST_LEARNT:
            for each in self._learnt:
                each.forget()
            self._learnt.clear()
        self._learnt.append(alike)

    def depends_on(self, always: frozenset[str], entries: Sequence[Entry]) -> frozenset[str] | None:
        """Fields that decide which of these entries is the answer, beside those that always do.

        None where they are not all watched; they are from then on, if they can be.
        """
        varying = _varying(entries)
        if not varying:
            return always
        if varying & _NEVER_REPEATED or not self._watch(varying):
            return None
        names = always | varying
        if len(self._sets) >= _MOST_SETS:
            self._sets.clear()
        return self._sets.setdefault(names, names)

    def always(self, policy: Policy, *, assumed: bool) -> frozenset[str]:
        """Fields that answers on a route always depend on.

        Args:
            policy: The route's.
            assumed: How long they are fresh is only assumed.
        """
        names = self._always | _key_fields(policy.key) | self._left_out
        if policy.client_directives is ClientDirectives.HONOR:
            names |= _DIRECTIVES
        return names | _CREDENTIALS if assumed else names

    def _watch(self, names: frozenset[str]) -> bool:
        """Whether the values of all of these are watched; if not, they are from now on."""
        values = self.watched.values | names
        if values == self.watched.values:
            return True
        if len(values) <= _MOST_WATCHED:
            self.watched = replace(self.watched, values=values)
        return False


class Alike:
    """Requests that agree in all that is watched but targets, names and conditions.

    See exchange.Alike, and Answers.alike for the arguments.
    """

    __slots__ = (
        *("_answers", "_authority", "_headers", "_largest", "_method", "_on", "_scheme"),
        *("_ways", "_write"),
    )

    def __init__(
        self, answers: HotAnswers, request: Request, largest: int, write: WriteHead
    ) -> None:
        self._answers = answers
        self._method = request.method
        self._scheme = request.scheme
        self._authority = request.authority
        self._headers = request.headers
        self._largest = largest
        self._write = write
        self._on: dict[int, _OnRoute] = {}
        self._ways: dict[int, Way | None] = {}

    def take(self, asked: Asked, reply: Reply) -> Passage | tuple[Recurring, Given] | None:
        """See exchange.Alike."""
        answers, means = self._answers, self._answers.means
        request = self._request(asked)
        matched = answers.routes.find(request)
        route = matched.route
        key = CacheKey.of(keys.primary_key(request, route.policy.key))
        wanted = Wanted(request, matched, key)
        # The table keeps its routes, and does not change.
        on = self._on.get(id(route)) or self._learn(wanted)
        if on.passing is not None:
            return on.passing.start_like(asked, wanted, reply)
        if not means.log.trusted:
            return None
        held = means.store.lookup_now(key, counts=False) if on.repeats else ()
        if held:
            return self._find(asked, wanted, [one.entry for one in held], on)
        if asked.conditions or not on.misses:
            return None
        way = self._ways[id(route)] if id(route) in self._ways else self._learn_way(wanted)
        return None if way is None else way.fetch(asked, wanted, reply)

    def forget(self) -> None:
        """Find out anew, from now on, what is the same on each route."""
        self._on.clear()
        self._ways.clear()

    def _request(self, asked: Asked) -> Request:
        headers = self._headers
        if asked.conditions:
            headers = headers.copy()
            headers.extend(asked.conditions)
        return Request(self._method, self._scheme, self._authority, asked.target, headers)

    def _learn(self, wanted: Wanted) -> "_OnRoute":
        """What is the same for all of these on one route."""
        answers, route = self._answers, wanted.matched.route
        policy, headers = route.policy, self._headers
        request = replace(wanted.request, headers=headers)
        asks_more = any(name in headers for name in _DIRECTIVES)
        honors = policy.client_directives is ClientDirectives.HONOR
        bypass = reuse.bypass_reason(request, policy, has_body=False, upgrade=False)
        passes = bypass is Reason.CACHE_OFF
        answers.note_learnt(self)
        on = self._on[id(route)] = _OnRoute(
            passing=answers.passings.of(request, frozenset()) if passes else None,
            repeats=bypass is None and not (honors and asks_more) and has_forms(route),
            misses=bypass is None and not asks_more,
            always=answers.always(policy, assumed=False),
            always_assumed=answers.always(policy, assumed=True),
        )
        return on

    def _learn_way(self, wanted: Wanted) -> Way | None:
        """How they are fetched on one route; None where they are not, or not so simply.

        It is found out when one is: most kinds that anybody makes up never are.

        Args:
            wanted: Any of them that has no conditions.
        """
        way = self._ways[id(wanted.matched.route)] = self._answers.missings.way(wanted)
        return way

    def _find(
        self, asked: Asked, wanted: Wanted, entries: Sequence[Entry], on: "_OnRoute"
    ) -> tuple[Recurring, Given] | None:
        """Give one of these, if it is fresh and may be given again."""
        answers, request, policy = self._answers, wanted.request, wanted.matched.route.policy
        chosen = _chosen(entries, request)
        if chosen is None or not all(map(_lasts, asked.conditions)):
            return None
        entry = entries[chosen]
        stored = entry.response
        now, window = answers.means.clock(), reuse.refresh_window(stored, policy)
        decision = reuse.decide(request, stored, policy, now=now, any_variant=True)
        if (
            not isinstance(decision, reuse.Fresh)
            or stored.freshness.ttl(now) <= window
            or len(entry.body) > self._largest
        ):
            return None
        always = on.always_assumed if stored.freshness.source.assumed else on.always
        depends_on = answers.depends_on(always, entries)
        modified = not asked.conditions or _is_modified(request, stored, now)
        form = answers.forms.of(wanted, entry, modified=modified, write=self._write)
        if depends_on is None or form is None:
            return None
        try:
            repeating = Repeating(
                *(answers.means, wanted, entries, chosen),
                modified=modified,
                form=form,
                depends_on=depends_on,
                window=window,
                now=now,
            )
        except ValueError:  # a field cannot be written
            return None
        given = repeating.again(asked.name)
        return None if given is None else (repeating, given)


class _OnRoute(NamedTuple):
    """The same for all requests on one route that are alike.

    Attributes:
        passing: How they are passed on, past the store; None where they are not, or not so simply.
        repeats: The store may answer them, and they may be given again.
        misses: They may be fetched; see `Alike._learn_way` for how.
        always: See HotAnswers.always.
        always_assumed: See HotAnswers.always.
    """

    passing: Passing | None
    repeats: bool
    misses: bool
    always: frozenset[str]
    always_assumed: frozenset[str]


def _lasts(condition: tuple[str, str]) -> bool:
    """Whether what it says is the same for ever."""
    name, value = condition
    return name != _DATED or len(value) in {0, _IMF_FIXDATE}


def _is_modified(request: Request, stored: StoredResponse, now: float) -> bool:
    verdict = preconditions.evaluate(request.headers, stored, now=now)
    return not isinstance(verdict, preconditions.NotModified)


def _chosen(entries: Sequence[Entry], request: Request) -> int | None:
    """Which of these answers, if it does so as a whole."""
    if len(entries) > _MOST_VARIANTS:
        return None
    responses = [entry.response for entry in entries]
    stored = keys.select_variant(responses, request.headers)
    if stored is None or stored.part is not None:
        return None
    return next(i for i, response in enumerate(responses) if response is stored)


def _varying(entries: Sequence[Entry]) -> frozenset[str]:
    """Lower-case names of the request fields by which these are chosen."""
    return frozenset(name for entry in entries for name, _ in entry.response.variant)


def _key_fields(policy: KeyPolicy) -> frozenset[str]:
    """Lower-case names of the request fields of which keys are made."""
    return frozenset({*map(str.lower, policy.headers), *(("cookie",) if policy.cookies else ())})

"""Primary key (§2) and Vary (§4.1): which requests a stored response may answer.

Two requests share a variant if the fields that Vary names are equal after changes that cannot
alter their meaning:

    every field         absent and empty differ; white space at both ends goes
    lists (most fields) lines are joined; white space around commas goes, except in quoted strings
    single values       (Cookie, User-Agent, ...) lines stay apart, inner commas are plain text
    Accept, -Encoding,  also the order of different members, the case of their names, repeats of
    -Language           a member with the same weight, and the spelling of a weight

Whatever does not parse as its grammar says is compared as an ordinary list, never guessed at.

Where nothing matches so, a response in the one language that the client likes best is taken too:
that is what any negotiation by Accept-Language would have arrived at (RFC 9110 §12.5.4).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

from proxy.rfc9111 import poisoning
from proxy.rfc9111.messages import Headers, Request
from proxy.rfc9111.policy import KeyPolicy
from proxy.rfc9111.stored import StoredResponse, VariantKey

_OWS = " \t"
_SEPARATOR = re.compile(r";|%3B|%26", re.IGNORECASE)
"""What some origins read as `&`, at once or after decoding."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_~-]*")
"""No encoding, no brackets, and no dot, which PHP takes for an underscore."""
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}

_LANGUAGE = "accept-language"

_NEWLINE = "\n"
"""Parts one piece of a key from the next: it can occur in neither a target nor a field value."""

_OF_THE_WAY = frozenset({"forwarded", "via", "x-forwarded-for"})
"""What every intermediary adds to: the origin has seen other values than those that came in."""

_REMEMBERED_LENGTH = 256
"""Longer values are normalised anew each time, so that nobody fills memory with odd ones."""

_SINGLE_VALUES = frozenset({"authorization", "cookie", "referer", "user-agent"})
"""Fields that are no lists though commas are common in them."""

_WEIGHTED_MEMBERS = {
    # A member less its weight; case does not count in group 1, it may in group 2 (RFC 9110 §12.5).
    "accept": re.compile(
        rf"({_WORD}/{_WORD})((?:;(?![qQ]=){_WORD}=(?:{_WORD}|{_QUOTED}))*)", re.DOTALL
    ),
    "accept-encoding": re.compile(rf"({_WORD})()"),
    "accept-language": re.compile(r"(\*|[A-Za-z]{1,8}(?:-[0-9A-Za-z]{1,8})*)()"),
}
_WEIGHT = re.compile(r"(?:;[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")
_NAME = re.compile(_WORD)
_FOUND_BY = re.compile(r"[0-9A-Za-z\-]")
"""What everybody reads in the name of a cookie as it is."""
_QUOTED_STRING = re.compile(_QUOTED, re.DOTALL)
# Not as one possessive group with a choice: Python before 3.11.5 gets that wrong (cpython#106052).
_QUOTES_IN_PAIRS = re.compile(rf'[^"]*+(?:{_QUOTED}[^"]*+)*', re.DOTALL)


def primary_key(request: Request, policy: KeyPolicy) -> str:
    """The target URI, then lines for the route's conditions and each chosen header and cookie.

    Chosen are those of the policy, and the claims of proxies in front (see poisoning); all cookies
    where another one could be taken for one that is.

    The method is left out: GET, HEAD and a stored POST share what is stored (§4, RFC 9110 §9.3.3).
    """
    url = uri_key(request.uri, policy)
    claimed = poisoning.claims(request.headers)
    if not (claimed or policy.conditions or policy.headers or policy.cookies):
        return url
    lines = [url]
    if policy.conditions:
        lines.append(f"route {policy.conditions}")
    unnamed = [name for name in claimed if name not in policy.headers]
    for name in (*policy.headers, *unnamed):
        value = _normalised(name.lower(), request.headers)
        if value is not None:
            lines.extend(f"header {name.lower()}: {line}" for line in value.split(_NEWLINE))
    for name in policy.cookies:
        values = _cookie(name, request.headers)
        lines.extend(f"cookie {name}={value}" for value in values)
        if _readings(name, request.headers) != len(values):
            lines.extend(f"cookies {line}" for line in request.headers.getall("Cookie"))
    return _NEWLINE.join(lines)


def uri_key(uri: str, policy: KeyPolicy) -> str:
    """A target URI less ignored query parameters: the first line of every primary key for it.

    Names are compared as they are spelled: decoding them could join what the origin tells apart.
    For the same reason a parameter stays that an origin could take for several, and the order
    stays where two names could be one for it.
    """
    if not (policy.ignore_query or policy.sort_query):
        return uri
    path, mark, query = uri.partition("?")
    if not mark:
        return uri
    parameters = query.split("&")
    if policy.ignore_query:
        ignored = _globs(policy.ignore_query)
        parameters = [
            item
            for item in parameters
            if not ignored.fullmatch(_parameter_name(item)) or _SEPARATOR.search(item)
        ]
    if policy.sort_query and all(map(_PLAIN_NAME.fullmatch, map(_parameter_name, parameters))):
        parameters.sort(key=_parameter_name)
    return f"{path}?{'&'.join(parameters)}" if parameters else path


@lru_cache(maxsize=128)  # few, since anybody may make up long ones
def normalise_authority(host: str, scheme: str) -> str:
    """Lower-case `host[:port]` without an empty or default port (RFC 9110 §4.2.3).

    A final dot stays: the origin may tell `example.com.` from `example.com`.
    """
    host = host.translate(_ASCII_LOWER)
    name, colon, port = host.rpartition(":")
    is_port = bool(colon) and (":" not in name or name.endswith("]"))
    return name if is_port and port in {"", _DEFAULT_PORTS.get(scheme)} else host


def vary_names(headers: Headers) -> tuple[str, ...] | None:
    """Lower-case field names in Vary, sorted and unique; () without Vary.

    None when it matches no request: a member is `*`, is no field name and so means nobody knows
    what (RFC 9110 §12.5.5), or names the way that the request has taken, and so its client.
    """
    lines = headers.getall("Vary", ())
    if not lines:
        return ()
    names: set[str] = set()
    for line in lines:
        for member in line.split(","):
            name = member.strip(_OWS).lower()
            if name == "*" or name in _OF_THE_WAY or (name and not _NAME.fullmatch(name)):
                return None
            if name:
                names.add(name)
    return tuple(sorted(names))


def variant_key(names: tuple[str, ...], request_headers: Headers) -> VariantKey:
    """The values by which a later request will be compared with this one (§4.1)."""
    return tuple((name, _normalised(name, request_headers)) for name in names)


def select_variant(
    candidates: Sequence[StoredResponse], request_headers: Headers
) -> StoredResponse | None:
    """The stored response to use: the most recent match, those with Vary first (§4.1)."""
    if not candidates:
        return None
    if len(candidates) == 1 and not candidates[0].variant:
        return candidates[0]  # as nearly always
    asked = _Asked(request_headers)
    matching = [stored for stored in candidates if asked.equals(stored.variant)]
    if not matching:
        language = _preferred_language(request_headers)
        if language is not None:
            matching = [stored for stored in candidates if _matches_in(language, stored, asked)]
    return max(matching, key=_preference, default=None)


class _Asked:
    """A request's fields as they are compared, each normalised once however many variants ask."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers
        self._values: dict[str, str | None] = {}

    def equals(self, variant: VariantKey) -> bool:
        return all(self._value(name) == value for name, value in variant)

    def _value(self, name: str) -> str | None:
        if name not in self._values:
            self._values[name] = _normalised(name, self._headers)
        return self._values[name]


def _matches_in(language: str, stored: StoredResponse, asked: _Asked) -> bool:
    """Whether `stored` is in `language`, varies by language, and matches in all other fields.

    It was negotiated, not made for who says what is no language.
    """
    if stored.headers.get("Content-Language", "").strip(_OWS).lower() != language:
        return False
    if len(stored.headers.getall("Content-Language")) > 1:
        return False
    others = tuple((name, value) for name, value in stored.variant if name != _LANGUAGE)
    if len(others) == len(stored.variant) or not asked.equals(others):
        return False
    accepted = dict(stored.variant)[_LANGUAGE]
    return accepted is None or _languages(accepted) is not None


def _preferred_language(headers: Headers) -> str | None:
    """The language tag, in lower case, that outweighs all others in Accept-Language."""
    languages = _languages(", ".join(headers.getall(_LANGUAGE, ())))
    ranked = sorted(((float(weight), name) for name, weight in languages or ()), reverse=True)
    if not ranked or ranked[0][0] == 0 or ranked[0][1] == "*":
        return None
    return ranked[0][1] if len(ranked) == 1 or ranked[1][0] < ranked[0][0] else None


def _languages(accepted: str) -> list[tuple[str, str]] | None:
    """The members of an Accept-Language with their weights; None where it is malformed."""
    members = _split(accepted, ",")
    return None if members is None else _parse_weighted(members, _WEIGHTED_MEMBERS[_LANGUAGE])


def _preference(stored: StoredResponse) -> tuple[bool, float, float]:
    return bool(stored.variant), stored.date, stored.freshness.response_time


def _parameter_name(parameter: str) -> str:
    return parameter.partition("=")[0]


@lru_cache(maxsize=256)
def _globs(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for several patterns in which only `*` is special."""
    alternatives = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    return re.compile("|".join(alternatives), re.DOTALL)


def _cookie(name: str, headers: Headers) -> list[str]:
    """Every value of one cookie, in order; a client may send it for several paths."""
    values = []
    for line in headers.getall("Cookie", ()):
        for pair in line.split(";"):
            key, equals, value = pair.strip(_OWS).partition("=")
            if equals and key == name:
                values.append(value)
    return values


def _readings(name: str, headers: Headers) -> int:
    """How often some reader may find a cookie, by whatever it takes for its name or a separator.

    Django, Werkzeug and others trim names, to ASP.NET case does not matter, in PHP an underscore
    may be a dot, and RFC 2109 had commas between cookies, Python's http.cookies has blanks.
    """
    text = ";".join(headers.getall("Cookie", ())).lower()
    if not _FOUND_BY.search(name):  # it could begin at every character, and any may be it
        return text.count("=")
    return len(_loosely(name.lower()).findall(text))


@lru_cache(maxsize=256)
def _loosely(name: str) -> re.Pattern[str]:
    spelled = "".join(c if c.isalnum() or c == "-" else "[^0-9a-z;,=-]" for c in name)
    return re.compile(rf'(?:^|[;,"\s\x80-\xff]){spelled}[\s\x80-\xff]*=')


def _normalised(name: str, headers: Headers) -> str | None:
    """A field's value in the form that is compared; None where the field is absent."""
    lines = headers.getall(name, None)
    if lines is None:
        return None
    if name in _SINGLE_VALUES:
        return _NEWLINE.join(line.strip(_OWS) for line in lines)
    value = ", ".join(lines).strip(_OWS)
    short = len(value) <= _REMEMBERED_LENGTH
    return _normalised_list(name, value) if short else _normalised_list.__wrapped__(name, value)


@lru_cache(maxsize=4096)
def _normalised_list(name: str, value: str) -> str:
    """Remembered, since clients send few different ones and every hit compares them."""
    members = _split(value, ",")
    if members is None:
        return value
    grammar = _WEIGHTED_MEMBERS.get(name)
    weighted = None if grammar is None else _weighted(members, grammar)
    return ",".join(members) if weighted is None else weighted


def _split(text: str, separator: str) -> list[str] | None:
    """Cut at separators outside quoted strings; None when a quoted string does not end."""
    if not _QUOTES_IN_PAIRS.fullmatch(text):
        return None
    shielded = _QUOTED_STRING.sub(lambda quoted: quoted[0].replace(separator, _NEWLINE), text)
    return [part.strip(_OWS).replace(_NEWLINE, separator) for part in shielded.split(separator)]


def _weighted(members: list[str], grammar: re.Pattern[str]) -> str | None:
    """A list of weighted members in one order and one spelling; None where one is no such member.

    A member that comes twice with different weights keeps both, in their order: which one counts
    is for the origin to say.
    """
    parsed = _parse_weighted(members, grammar)
    if parsed is None:
        return None
    parsed.sort(key=itemgetter(0))
    return ",".join(f"{name};q={weight}" for (name, weight), _ in groupby(parsed))


def _parse_weighted(members: list[str], grammar: re.Pattern[str]) -> list[tuple[str, str]] | None:
    """Each member with its weight in one spelling; None where one does not fit the grammar."""
    parsed = []
    for member in filter(None, members):
        text = ";".join(_split(member, ";") or ())
        match = grammar.match(text)
        weight = match and _WEIGHT.fullmatch(text, match.end())
        if not match or not weight:
            return None
        parsed.append((match[1].lower() + match[2], _canonical_weight(weight[1])))
    return parsed


def _canonical_weight(weight: str | None) -> str:
    """`0.500` and `0.5` are one weight, and none is 1 (RFC 9110 §12.4.2)."""
    if weight is None:
        return "1"
    return weight.rstrip("0").rstrip(".") if "." in weight else weight

r"""Regular expressions from outside: what is accepted, and how foreign ones are anchored.

Python's engine backtracks, holds the interpreter while it does, and cannot be timed out. A
pattern is matched against every URL that is looked up from then on, and anybody can send a long
one. So what could take long is refused by its form:

    length             at most 512 characters
    repeats of groups  a group that is repeated holds neither a repeat nor an alternative
    back-references    none, nor conditions on groups, comments or the flag x
    cost               at most 2^24 steps on a URL of 2048 characters, at worst: each repeat without
                       an upper bound may try every length, each `?`, `{m,n}` and `|` every choice,
                       and what has no `^` every place to begin

The cost of what is accepted grows with the square of a URL's length, never faster, and longer URLs
are not searched (see purging.is_found). Patterns that match the empty string would match every URL;
who wants that says `all`.
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from proxy.purging import LONGEST_SEARCHED

MAX_LENGTH: Final = 512
MAX_BOUND: Final = 100
MAX_STEPS: Final = 1 << 24
URL_LENGTH: Final = LONGEST_SEARCHED

_TOKEN: Final = re.compile(
    r"""
      (?P<escape>\\.)
    | (?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])
    | (?P<open>\((?:\?(?:P<[A-Za-z_]\w*>|[:=!>]|<[=!]|[aiLmsux-]*[:)]|\#|P=|\())?)
    | (?P<close>\))
    | (?P<repeat>[*+?]|\{[0-9]*,?[0-9]*\})
    | (?P<bar>\|)
    | (?P<start>\^)
    | (?P<end>\$)
    | (?P<plain>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_BOUNDS: Final = re.compile(r"\{([0-9]*)(,?)([0-9]*)\}")
_VERBOSE: Final = re.compile(r"\(\?[a-zA-Z-]*x")
_BACK_REFERENCE: Final = re.compile(r"\\[1-9]")
_META: Final = frozenset(".*+?[](){}^$|\\")


class InvalidPattern(ValueError):  # noqa: N818 - it is a verdict on the pattern
    """A pattern that is not accepted.

    Attributes:
        what: What is wrong with it.
        how: What to write instead.
    """

    def __init__(self, what: str, how: str) -> None:
        super().__init__(f"{what}: {how}")
        self.what = what
        self.how = how


def check(pattern: str, *, matches_all: bool = False, followed: bool = False) -> str:
    """`pattern`, if it is accepted; raises InvalidPattern.

    With `matches_all` it may match the empty string, and so everything. `followed` by more, as in
    `by_segments`, its end may be tried again.
    """
    if len(pattern) > MAX_LENGTH:
        raise InvalidPattern(f"longer than {MAX_LENGTH} characters", "split it, or use prefixes")
    if not pattern.isprintable():
        raise InvalidPattern("a control character", "URLs hold none: remove it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what will mean something else one day is ambiguous
            compiled = re.compile(pattern)
    except (re.error, Warning, OverflowError, RecursionError) as error:
        raise InvalidPattern(
            f"no regular expression ({error})", "escape what is meant as is"
        ) from None
    _check_cost(pattern, followed=followed)
    if not matches_all and compiled.search("") is not None:
        raise InvalidPattern(
            "matches the empty string, and so every URL", 'make it narrower, or say "all": true'
        )
    return pattern


def by_segments(pattern: str) -> str:
    """`pattern` to match whole path segments only, where it has no anchors of its own.

    `products/1` then matches /products/1, /products/1/reviews and /products/1?a=b, but not
    /products/10.
    """
    inner, start, end = _unanchored(pattern)
    before = "^" if start else "(?:(?<![^/])|(?=/))"
    after = "$" if end else "(?:(?=[/?])|(?<=/)|$)"
    return f"{before}(?:{inner}){after}"


def of_host_and_path(host: str, path: str) -> str:
    """One pattern over the URL for two that are searched for in the host and in path and query."""
    inner, start, end = _unanchored(host)
    left, right = "" if start else "[^/]*", "" if end else "[^/]*"
    # Looked at ahead, so that the host is not matched anew for each way to match the path.
    before = "" if host == ".*" else f"(?=[a-z]{{4,5}}://{left}(?:{inner}){right}/)"
    before = f"^{before}[a-z]{{4,5}}://[^/]*+(?=/)"
    if path == ".*":
        return before
    inner, start, end = _unanchored(path)
    return f"{before}{'' if start else '.*'}(?:{inner}){'$' if end else ''}"


def literals(alternatives: str) -> tuple[str, ...]:
    r"""The texts of `a|b\.c`, where each is a literal; raises InvalidPattern for anything else."""
    texts = [""]
    for kind, text in _tokens(alternatives):
        if kind == "bar":
            texts.append("")
        elif kind == "escape" and not text[1].isalnum():
            texts[-1] += text[1]
        elif kind == "plain" and text != ".":
            texts[-1] += text
        else:
            raise InvalidPattern(
                f"{text} in the name of a tag",
                "list tags as (a|b), each quoted for use in a pattern",
            )
    return tuple(texts)


def is_literal_url(text: str) -> bool:
    """Whether `text` is a URL rather than a pattern: `.` and `?` belong to both."""
    return re.match(r"https?://", text) is not None and not (set(text) & (_META - set(".?")))


def _tokens(pattern: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(pattern):
        assert found.lastgroup is not None  # noqa: S101 - every alternative has a name
        yield found.lastgroup, found[0]


def _check_cost(pattern: str, *, followed: bool) -> None:
    """Refuse what could take exponential time, or just too long."""
    tokens = list(_tokens(pattern))
    cost = _Cost()
    for kind, text in tokens:
        cost.add(kind, text)
    anchored = tokens[:1] == [("start", "^")] and cost.open[0].alternatives == 1
    # A final `.*` reaches the end at once, whatever is asked for there.
    tries_again = followed and tokens[-2:-1] != [("plain", ".")]
    powers = cost.unbounded + (cost.last if tries_again else 0) + (not anchored)
    if cost.choices * cost.open[0].alternatives * URL_LENGTH**powers > MAX_STEPS:
        raise InvalidPattern(
            "too many repeats and alternatives", "begin with ^, or use prefixes or tags"
        )


@dataclass(slots=True)
class _Group:
    """A group that is being read.

    Attributes:
        branching: It holds a repeat or an alternative: repeated, it could match in exponentially
            many ways.
        alternatives: How many.
    """

    branching: bool = False
    alternatives: int = 1


@dataclass(slots=True)
class _Cost:
    """What is known of a pattern after some of its tokens.

    Attributes:
        choices: Ways through its bounded repeats and closed groups.
        unbounded: Repeats without an upper bound, less one that nothing follows yet.
        last: 1 if the pattern ends with such a repeat so far: nothing makes it try again.
        open: Open groups, the pattern itself first.
        closed: The group which ended with the last token.
    """

    choices: int = 1
    unbounded: int = 0
    last: int = 0
    open: list[_Group] = field(default_factory=lambda: [_Group()])
    closed: _Group | None = None

    def add(self, kind: str, text: str) -> None:
        """One more token."""
        closed, self.closed = self.closed, None
        self.unbounded += self.last
        self.last = 0
        match kind:
            case "escape":
                if _BACK_REFERENCE.fullmatch(text):
                    raise InvalidPattern("a back-reference", "write the text twice")
            case "open":
                self._open(text)
            case "close":
                self._close()
            case "bar":
                self.open[-1].branching = True
                self.open[-1].alternatives += 1
            case "repeat":
                self._repeat(text, closed)

    def _open(self, text: str) -> None:
        if text in {"(?P=", "(?("}:
            raise InvalidPattern("a reference to a group", "write the text twice")
        if text == "(?#" or _VERBOSE.match(text):
            raise InvalidPattern("a comment, or the flag x", "leave it out")
        if not text.endswith(")"):  # else flags only: no group
            self.open.append(_Group())

    def _close(self) -> None:
        self.closed = self.open.pop()
        self.choices *= self.closed.alternatives
        self.open[-1].branching |= self.closed.branching

    def _repeat(self, text: str, group: _Group | None) -> None:
        if group is not None and group.branching and text != "?":
            raise InvalidPattern(
                "a repeat of a group with a repeat or an alternative in it",
                "repeat a set such as [a-z] instead",
            )
        choices = _choices(text)
        if choices is None:
            self.last = 1
        else:
            self.choices *= choices
        self.open[-1].branching = True


def _choices(repeat: str) -> int | None:
    """In how many ways a repeat can match; None for any number."""
    bounds = _BOUNDS.fullmatch(repeat)
    if bounds is None:
        return 2 if repeat == "?" else None
    low, comma, high = bounds.groups()
    if any(number and int(number) > MAX_BOUND for number in (low, high)):
        raise InvalidPattern(f"a repeat of more than {MAX_BOUND}", "use * or +")
    if not comma:
        return 1
    return int(high) - int(low or 0) + 1 if high else None


def _unanchored(pattern: str) -> tuple[str, bool, bool]:
    """`pattern` without `^` at its start and `$` at its end, and which of them it had.

    Raises InvalidPattern for anchors elsewhere, or that belong to one alternative only.
    """
    tokens = list(_tokens(pattern))
    start = bool(tokens) and tokens[0][0] == "start"
    end = len(tokens) > start and tokens[-1][0] == "end"
    inner = tokens[start : len(tokens) - end]
    depth = 0
    for kind, text in inner:
        depth += (kind == "open" and not text.endswith(")")) - (kind == "close")
        if kind in {"start", "end"}:
            raise InvalidPattern(f"{text} in the middle", "anchor the whole, or nothing")
        if kind == "bar" and depth == 0 and (start or end):
            raise InvalidPattern("an anchor on one alternative", "put the alternatives in (...)")
    return "".join(text for _, text in inner), start, end

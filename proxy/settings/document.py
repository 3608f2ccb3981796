"""YAML text as a tree of texts that know where they stand.

Built from the parser's events rather than by its constructors, because those would type values
(`off`, `1.10`, `12:30`), stop at the first duplicate key, and follow aliases without bound.
Null and empty values are None. Variables are replaced here, value by value.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from proxy.problems import Location, Problem, Refused, SettingsError, path_text, quoted
from proxy.settings.variables import substitute

DEEPEST = 32
"""Levels of nesting; the settings need seven."""
MOST_VALUES = 100_000
"""Values in all, each alias counted as what it stands for: no small file becomes a huge one."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})

_HINTS = (
    ("but got '{'", 'put quotes around a value with braces inside { }: "/products/{id}"'),
    ("character '\\t'", "indent with spaces, not tabs"),
    ("mapping values are not allowed", "check the indentation, and quote a value with ': ' in it"),
    ("that cannot start any token", "put quotes around the value"),
    ("unexpected end of stream", "close the quotes"),
    ("but found '<scalar>'", 'put quotes around a value that starts with [ or {: "[::1]:8080"'),
    ("but found '<block mapping start>'", "indent the keys of one mapping alike"),
    ("could not find expected ':'", "write key: value"),
    ("but found '*'", 'put quotes around a value that starts with *: "*.example.com"'),
)
"""What usually lies behind a parser's message."""


class Broken:
    """Stands for a value whose problem is already told."""


BROKEN: Final = Broken()


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the text; both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value; None for null."""

    mark: Mark
    text: str | Broken | None
    size: int = 1
    height: int = 1


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list; `size` counts the values in it, itself included, `height` the levels."""

    mark: Mark
    items: tuple["Node", ...]
    size: int
    height: int


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping; each value with the place of its key."""

    mark: Mark
    entries: dict[str, tuple[Mark, "Node"]]
    size: int
    height: int


Node: TypeAlias = Scalar | Sequence | Table


@dataclass(frozen=True, slots=True)
class Document:
    """The tree of one file, with the problems that did not stop it from being read."""

    file: str
    root: Node
    problems: tuple[Problem, ...]

    def plain(self) -> Any:
        """The tree as dict, list, str, None and BROKEN."""
        return _plain(self.root)

    def locate(self, location: Location) -> tuple[Location, Mark]:
        """As much of `location` as the file has, and its place: of the key, or of the item."""
        node, mark = self.root, self.root.mark
        for depth, step in enumerate(location):
            if isinstance(node, Table) and step in node.entries:
                mark, node = node.entries[str(step)]
            elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
                mark = node.mark
            else:
                return location[:depth], mark
        return location, mark


def _plain(node: Node) -> Any:
    match node:
        case Scalar():
            return node.text
        case Sequence():
            return [_plain(item) for item in node.items]
        case Table():
            return {key: _plain(value) for key, (_, value) in node.entries.items()}


def parse(text: str, *, file: str, env: Mapping[str, str]) -> Document:
    """The tree of `text`.

    Raises:
        SettingsError: It is not YAML, is empty, or goes beyond the limits.
    """
    builder = _Builder(_events(text), env, file)
    try:
        root = builder.document()
    except _Unreadable as error:
        problem = Problem(
            message=error.message,
            suggestion=error.suggestion,
            file=file,
            line=error.mark.line,
            column=error.mark.column,
        )
        raise SettingsError([*builder.problems, problem]) from None
    return Document(file, root, tuple(builder.problems))


class _Unreadable(Exception):  # noqa: N818 - it tells what the text is
    """The rest of the text cannot be made sense of."""

    def __init__(self, message: str, mark: Mark, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.mark = mark
        self.suggestion = suggestion


class _Builder:
    """Makes the tree from events, and notes the problems that leave the rest readable."""

    def __init__(self, events: Iterator[Event], env: Mapping[str, str], file: str) -> None:
        self.problems: list[Problem] = []
        self._events = events
        self._env = env
        self._file = file
        self._anchors: dict[str, Node] = {}
        self._values = 0

    def document(self) -> Node:
        """The root of the one document in the text."""
        next(self._events)  # the start of the stream
        start = next(self._events)
        if not isinstance(start, DocumentStartEvent):
            raise _Unreadable("the file is empty", Mark(1, 1), "write at least origin: {url: ...}")
        root = self._node(next(self._events), ())
        next(self._events)  # the end of the document
        after = next(self._events)
        if isinstance(after, DocumentStartEvent):
            raise _Unreadable("a second document starts here", _mark(after), "keep one per file")
        return root

    def _node(self, event: Event, at: Location) -> Node:
        if len(at) > DEEPEST:
            raise _Unreadable(f"more than {DEEPEST} levels of nesting", _mark(event))
        if isinstance(event, AliasEvent):
            return self._aliased(event, at)
        assert isinstance(event, NodeEvent)  # noqa: S101 - the parser's grammar
        self._count(1, event)
        node = self._fresh_node(event, at)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _fresh_node(self, event: NodeEvent, at: Location) -> Node:
        mark = _mark(event)
        if getattr(event, "tag", None) not in {None, "!"}:
            self._note(mark, at, "YAML tags have no meaning here", "remove the part after !")
        match event:
            case MappingStartEvent():
                return self._table(mark, at)
            case SequenceStartEvent():
                return self._sequence(mark, at)
            case _:
                assert isinstance(event, ScalarEvent)  # noqa: S101 - the last of the node events
                return Scalar(mark, self._text(event, at))

    def _text(self, event: ScalarEvent, at: Location) -> str | Broken | None:
        try:
            text = substitute(event.value, self._env)
        except Refused as refused:
            self._note(_mark(event), at, refused.message, refused.suggestion)
            return BROKEN
        return None if event.style is None and text in _NULLS else text

    def _sequence(self, mark: Mark, at: Location) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._node(event, (*at, len(items))))
        return Sequence(mark, tuple(items), *_measure(items))

    def _table(self, mark: Mark, at: Location) -> Table:
        entries: dict[str, tuple[Mark, Node]] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key, key_mark = self._key(event), _mark(event)
            value = self._node(next(self._events), (*at, key))
            if key == "<<":
                self._note(key_mark, (*at, key), "YAML 1.2 merges no mappings", "write its keys")
            elif key in entries:
                first = entries[key][0].line
                self._note(key_mark, (*at, key), f"duplicate key, first on line {first}")
            else:
                entries[key] = (key_mark, value)
        return Table(mark, entries, *_measure([value for _, value in entries.values()]))

    def _key(self, event: Event) -> str:
        if isinstance(event, ScalarEvent):
            return str(event.value)
        raise _Unreadable("a key must be plain text", _mark(event), "put quotes around the key")

    def _aliased(self, event: AliasEvent, at: Location) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise _Unreadable(
                f"there is no anchor &{event.anchor} above",
                _mark(event),
                f'put quotes around a value that starts with *: "*{event.anchor}"',
            )
        self._count(node.size, event)
        if len(at) + node.height > DEEPEST:
            raise _Unreadable(f"more than {DEEPEST} levels of nesting", _mark(event))
        return node

    def _count(self, values: int, event: Event) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            raise _Unreadable(f"more than {MOST_VALUES} values, aliases included", _mark(event))

    def _note(self, mark: Mark, at: Location, message: str, suggestion: str | None = None) -> None:
        problem = Problem(
            message=message,
            path=path_text(at),
            suggestion=suggestion,
            file=self._file,
            line=mark.line,
            column=mark.column,
        )
        self.problems.append(problem)


def _measure(children: list[Node]) -> tuple[int, int]:
    """Size and height of a node with these children."""
    size = 1 + sum(child.size for child in children)
    return size, 1 + max((child.height for child in children), default=0)


def _mark(event: Event) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _events(text: str) -> Iterator[Event]:
    """The parser's events; what it refuses as _Unreadable."""
    last = Mark(1, 1)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            last = _mark(event)
            yield event
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        character = f"U+{ord(text[error.position]):04X}"
        raise _Unreadable(f"the character {character} is not allowed", Mark(line, column)) from None
    except MarkedYAMLError as error:
        raise _syntax_error(error, last) from None
    except (YAMLError, ValueError, OverflowError) as error:  # such as "\UFFFFFFFF"
        raise _Unreadable(f"not YAML: {quoted(str(error))}", last) from None


def _syntax_error(error: MarkedYAMLError, last: Mark) -> _Unreadable:
    place = error.problem_mark
    mark = last if place is None else Mark(place.line + 1, place.column + 1)
    message = error.problem or error.context or "the parser gives no reason"
    hint = next((hint for part, hint in _HINTS if part in message), None)
    return _Unreadable(f"not YAML: {message}", mark, hint)

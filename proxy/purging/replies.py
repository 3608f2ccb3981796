"""What Redis answers to the scripts of the log, read as input: it may be anything."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from proxy.purging.log import LogUnreachable
from proxy.purging.state import Invalid, Mode, Purge, Softened, Valid


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Whatever does not read as a reply makes the log unusable.

    Raises:
        LogUnreachable: What is done within meets something else.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError) as error:
        raise LogUnreachable(f"not a purge log's answer: {error}") from error


def text(word: Any) -> str:
    """A word, which Redis sends as bytes."""
    return word.decode() if isinstance(word, bytes) else str(word)


def position(record: str) -> int:
    """How far a process has applied the log, of what it publishes."""
    return int(record.partition(" ")[0])


def pattern(held: Sequence[Any]) -> Purge:
    """One that still counts, of those that SYNC tells a process that begins."""
    mode, _, expression = text(held[1]).partition(" ")
    return Purge(int(held[0]), (), Mode(mode), float(held[2]), expression)


def purge(record: Sequence[Any]) -> Purge:
    """A record of the stream: id, then names and values in turn."""
    seq = int(text(record[0]).removesuffix("-0"))
    words = [text(word) for word in record[1]]
    fields = dict(zip(words[::2], words[1::2], strict=True))
    scopes = tuple(str(scope) for scope in json.loads(fields["scopes"]))
    return Purge(seq, scopes, Mode(fields["mode"]), float(fields["at"]), fields["pattern"] or None)


def verdict(reply: Sequence[Any]) -> Valid | Softened | Invalid | None:
    """What JUDGE says; None where Redis has lost track."""
    if not text(reply[0]):
        return None
    through, word, at = int(reply[1]), text(reply[2]), float(reply[3])
    match word:
        case "valid":
            return Valid(through)
        case "softened":
            return Softened(at, through)
        case _:
            return Invalid()

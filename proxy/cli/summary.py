"""What `check` prints of a valid file: where it listens, what for, and what each route changes."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from proxy.problems import path_text
from proxy.settings import Match, Route, Settings
from proxy.settings.section import Section
from proxy.settings.showing import given

_NOT_CACHING = {"match", "tags", "purge"}


def summary(settings: Settings) -> RenderableType:
    """The settings at a glance; keys that the file leaves alone are not shown."""
    origin = settings.origin.named or "no origin yet: give --origin"
    listen = ", ".join(map(str, settings.listen))
    parts: list[RenderableType] = [Text.assemble(("ok", "bold green"), f": {listen} -> {origin}")]
    parts += [Text(f"{name}: {address}") for name, address in _beside(settings)]
    if settings.routes:
        parts.append(_routes(settings))
    return Group(*parts)


def _beside(settings: Settings) -> Iterator[tuple[str, str]]:
    """Where the admin API answers, and what is behind the memory; no passwords."""
    admin, redis = settings.admin, settings.store.redis
    yield "admin", "off" if admin is None else ", ".join(map(str, admin.listen))
    if redis is not None:
        yield "redis", redis.options().address


def _routes(settings: Settings) -> Table:
    table = Table("#", "requests", "what differs from the origin's word", box=None, pad_edge=False)
    for number, route in enumerate(settings.routes):
        table.add_row(str(number), _requests(route.match), "\n".join(_changes(route)))
    table.add_row("", "all others", "\n".join(_lines(settings.defaults, set())))
    return table


def _requests(match: Match) -> str:
    headers = (f"{name}: {value}" for name, value in match.headers.items())
    words = [*match.methods, *match.hosts, match.path or "", *headers]
    return " ".join(word for word in words if word) or "all"


def _changes(route: Route) -> Iterator[str]:
    yield from _lines(route, _NOT_CACHING)
    if route.tags:
        yield f"tags {', '.join(route.tags)}"
    if route.purge:
        yield f"purge {', '.join(route.purge)}"


def _lines(section: Section, without: set[str]) -> Iterator[str]:
    """`key value` for each key that the file gave, keys of inner sections with a dot."""
    for at, value in given(section):
        if at[0] not in without:
            yield f"{path_text(at)} {value}"

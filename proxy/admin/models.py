"""The documents that the admin API takes and gives, from which /openapi.json is made."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, RootModel

from proxy.admin.control import EntryView, Preview, PurgeReceipt, Reloaded, Stats, TagCount
from proxy.admin.problems import Fault
from proxy.explain import shown

MAX_ITEMS: Final = 1000
"""Things of one kind that one purge may name."""
MAX_WAIT: Final = 60.0
MAX_LIMIT: Final = 1000
MAX_WARM: Final = 50_000
MAX_CONCURRENCY: Final = 64


class Document(BaseModel):
    """Closed and exact: what is not understood is refused, and nothing is converted."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )


_Names = Annotated[list[str], Field(max_length=MAX_ITEMS)]
_Wait = Annotated[float, Field(ge=0, le=MAX_WAIT, allow_inf_nan=False)]
_Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]

_KINDS: Final = ("tags", "urls", "prefixes", "hosts")


def _names_something(schema: dict[str, Any]) -> None:
    """Say in the schema what the handler checks: a purge of nothing is a mistake."""
    schema["anyOf"] = [
        *({"required": [kind], "properties": {kind: {"minItems": 1}}} for kind in _KINDS),
        {"required": ["pattern"], "properties": {"pattern": {"type": "string"}}},
        {"required": ["all"], "properties": {"all": {"const": True}}},
    ]


class PurgeRequest(Document):
    """What to forget: everything that any of these names."""

    model_config = ConfigDict(json_schema_extra=_names_something)

    tags: _Names = []
    """Tags, case-sensitive."""
    urls: _Names = []
    """Absolute URLs: all variants, by http and https alike."""
    prefixes: _Names = []
    """Paths by whole segments: `/a/b`, or `//host/a/b`; `/a/b` covers itself, not `/a/bc`."""
    hosts: _Names = []
    """`host` or `host:port`."""
    pattern: str | None = None
    """Regular expression that is searched for in the whole URL; matches everything it fits."""
    all: bool = False
    """Everything."""
    soft: bool = False
    """Make stale instead of gone: stale-while-revalidate and stale-if-error still apply."""
    wait: _Wait | None = None
    """Seconds to wait until every process has applied it."""
    dry_run: bool = False
    """Tell what would be forgotten, and forget nothing."""


class PurgeOptions(Document):
    """How to purge what the path names."""

    soft: bool = False
    """Make stale instead of gone."""
    wait: _Wait | None = None
    """Seconds to wait until every process has applied it."""


class PurgeAnswer(Document):
    """How far a purge has come."""

    seq: int
    """Its number in the purge log."""
    acked: int
    """Live processes that have applied it."""
    nodes: int
    """Live processes."""
    pending: tuple[str, ...]
    """Those that have not applied it yet."""
    entries: int | None
    """How many entries it touched, where that is known."""
    soft: bool
    refused: tuple[Fault, ...]
    """What could not be purged, and why."""

    @classmethod
    def of(
        cls, receipt: PurgeReceipt, *, soft: bool, refused: tuple[Fault, ...] = ()
    ) -> "PurgeAnswer":
        """From a receipt."""
        return cls(
            seq=receipt.seq,
            acked=receipt.acked,
            nodes=receipt.nodes,
            pending=receipt.pending,
            entries=receipt.entries,
            soft=soft,
            refused=refused,
        )


class PreviewAnswer(Document):
    """What a purge would forget."""

    dry_run: bool = True
    entries: int | None
    """How many entries; null where that is not known."""
    urls: tuple[str, ...]
    complete: bool
    """All URLs are listed."""
    refused: tuple[Fault, ...]
    """What could not be purged, and why."""

    @classmethod
    def of(cls, preview: Preview, refused: tuple[Fault, ...]) -> "PreviewAnswer":
        """From a preview."""
        return cls(
            entries=preview.entries, urls=preview.urls, complete=preview.complete, refused=refused
        )


class TagsQuery(Document):
    """Which tags to list."""

    prefix: str = ""
    """Only tags that start so."""
    limit: _Limit = 100


class TagsAnswer(Document):
    """Tags in order of their names."""

    tags: tuple[TagCount, ...]
    complete: bool
    """There are no more."""


class LimitQuery(Document):
    """How much to list."""

    limit: _Limit = 100


class TagAnswer(Document):
    """What carries a tag."""

    tag: str
    entries: int | None
    """How many entries; null where that is not known."""
    urls: tuple[str, ...]
    complete: bool
    """All URLs are listed."""


class UrlQuery(Document):
    """Which URL."""

    url: str
    """Absolute; looked up by http and https alike."""


class DeleteQuery(PurgeOptions):
    """Which URL, and how."""

    url: str
    """Absolute; all variants, by http and https alike."""


class EntriesAnswer(Document):
    """All stored variants of a URL."""

    url: str
    entries: tuple[EntryView, ...]


class WarmRequest(Document):
    """What to fetch into the cache."""

    urls: Annotated[list[str], Field(min_length=1, max_length=MAX_WARM)]
    """Absolute URLs of this proxy's sites."""
    concurrency: Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)] = 4
    """Fetches at a time."""


class WarmState(StrEnum):
    """How a warming job stands."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class WarmFailure(Document):
    """A URL that is not in the cache after all."""

    url: str
    status: int | None
    what: str


class WarmAnswer(Document):
    """The progress of a warming job."""

    id: str
    state: WarmState
    total: int
    done: int
    """URLs that have been fetched, whatever came of it."""
    hit: int
    """Were there already."""
    stored: int
    """Are there now."""
    not_stored: int
    """May not be stored."""
    failed: int
    """Could not be fetched."""
    seconds: float
    """That it has taken so far."""
    failures: tuple[WarmFailure, ...]
    """The first of those that are not stored or failed."""
    refused: tuple[Fault, ...]
    """What is no URL."""


class ChangedKey(Document):
    """A key of the settings that means something else now."""

    key: str
    """Such as `routes[2].ttl`."""
    old: str | None
    """As YAML has it, secrets hidden; null where it was not there."""
    new: str | None
    """Likewise; null where it is not there any more."""


class ReloadAnswer(Document):
    """What came of reading the settings anew."""

    changes: tuple[ChangedKey, ...]
    restart: tuple[str, ...]
    """Keys whose change takes effect when the process is started anew."""
    renewing: tuple[str, ...]
    """Keys for whose sake each worker is given a successor now."""

    @classmethod
    def of(cls, reloaded: Reloaded) -> "ReloadAnswer":
        """From what the proxy tells."""
        changed = (ChangedKey(key=one.key, old=one.old, new=one.new) for one in reloaded.changes)
        return cls(changes=tuple(changed), restart=reloaded.restart, renewing=reloaded.renewing)


class HealthAnswer(Document):
    """The process answers."""

    status: str = "ok"


class ReadyAnswer(Document):
    """Whether requests should be sent here."""

    ready: bool
    checks: Mapping[str, bool]


class StatsAnswer(RootModel[Stats]):
    """Figures of the process that answers."""


class OpenApiAnswer(BaseModel):
    """An OpenAPI 3.1 document."""

    model_config = ConfigDict(extra="allow")

    openapi: str


def without_secrets(entry: EntryView) -> EntryView:
    """`entry` less what could be used to be somebody else."""
    return replace(
        entry,
        headers=tuple((name, shown(name, value)) for name, value in entry.headers),
        vary=tuple(
            (name, None if value is None else shown(name, value)) for name, value in entry.vary
        ),
    )

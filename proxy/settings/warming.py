"""What is fetched into the cache at the start, before clients ask for it."""

from pydantic import model_validator

from proxy.problems import ManyRefused, Refused
from proxy.settings.scalars import (
    Count,
    PositiveDuration,
    Site,
    WarmReady,
    WarmReadyChoice,
    WarmSource,
)
from proxy.settings.section import Section


class Warm(Section):
    """What is fetched into the cache at the start; each worker does it for its own memory."""

    on_start: tuple[WarmSource, ...] = ()
    """URLs as clients ask for them, and paths below `site`; sitemaps (.xml, .xml.gz) stand for
    what they list, and so does file:urls.txt."""
    site: Site | None = None
    """What paths are of: https://shop.example.com."""
    concurrency: Count = 4
    """At most so many at a time."""
    timeout: PositiveDuration = 60.0
    """After so long /readyz says yes all the same; what is left is fetched yet."""
    ready: WarmReadyChoice = WarmReady.WHEN_WARM
    """When /readyz says yes: when_warm or at_once."""

    @model_validator(mode="after")
    def _paths_have_a_site(self) -> "Warm":
        refused = [
            Refused("no host is known", "write warm.site too", at=("on_start", number))
            for number, source in enumerate(self.on_start)
            if source.startswith("/") and self.site is None
        ]
        if refused:
            raise ManyRefused(refused)
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """`on_start`, with paths made URLs."""
        return tuple(
            f"{self.site}{source}" if source.startswith("/") else source for source in self.on_start
        )

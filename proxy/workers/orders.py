"""What a worker is told when it starts, as the supervisor sends it through the channel."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

from proxy.settings import Recipe, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """How to be one of several.

    Attributes:
        recipe: What the settings of all are made from.
        workers: How many there are.
        listen: Addresses to answer on, all of which are among the sockets.
        admin: The same of the admin API; None where another worker is in charge of it.
        own: Descriptors of listening sockets, for each worker those that it accepts from.
        index: Which of them is this one.
        shared: The same of sockets that it shares with others.
    """

    recipe: Recipe
    workers: int
    listen: tuple[str, ...]
    admin: tuple[str, ...] | None
    own: tuple[tuple[int, ...], ...]
    index: int
    shared: tuple[int, ...]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All that the process must be given."""
        return (*chain(*self.own), *self.shared)

    def settings(self, env: Mapping[str, str]) -> Settings:
        """Those of this worker: its share of the memory, its part of the addresses."""
        return self.tailored(self.recipe.settings(env))

    def tailored(self, settings: Settings) -> Settings:
        """The settings of all, for this one."""
        return settings.for_worker(workers=self.workers, listen=self.listen, admin=self.admin)

    def with_recipe(self, recipe: Recipe) -> "Orders":
        """The same after the settings have been read anew."""
        return replace(self, recipe=recipe)

    def as_told(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def told(cls, value: dict[str, Any]) -> "Orders":
        """From what the supervisor sends."""
        admin = value["admin"]
        return cls(
            recipe=Recipe(**value["recipe"]),
            workers=value["workers"],
            listen=tuple(value["listen"]),
            admin=None if admin is None else tuple(admin),
            own=tuple(map(tuple, value["own"])),
            index=value["index"],
            shared=tuple(value["shared"]),
        )

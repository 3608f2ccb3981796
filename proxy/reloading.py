"""Settings read anew while requests go on: all or nothing, one at a time, and told in the log.

Whether a signal or the admin API asks makes no difference. Where several processes are one, the
supervisor reads and compares, and what came of it goes to the worker that was asked as data.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import structlog
from pydantic import TypeAdapter

from proxy import logs
from proxy.admin import NothingToReload, Reloaded
from proxy.settings import Problem, Recipe, Settings, SettingsError, changes
from proxy.token_file import TokenFileError


@dataclass(frozen=True, slots=True)
class Applied:
    """What of new settings does not hold yet.

    Attributes:
        restart: Keys whose change takes effect when the command is started anew.
        renewing: Keys for whose sake each worker is given a successor now.
    """

    restart: tuple[str, ...] = ()
    renewing: tuple[str, ...] = ()


Apply = Callable[[Recipe, Settings], Awaitable[Applied]]
"""Puts settings to use; raises SettingsError, TokenFileError or OSError where it cannot."""


class Reloading:
    """Reads settings anew each time it is called.

    Args:
        settings: Those in use.
        read: Their file as it is by now; raises SettingsError.
        apply: See above.
    """

    def __init__(self, settings: Settings, read: Callable[[], Recipe], apply: Apply) -> None:
        self._settings = settings
        self._read = read
        self._apply = apply
        self._one_at_a_time = asyncio.Lock()
        self._log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("warmfront")

    async def __call__(self) -> Reloaded:
        """Read, apply, and tell what has changed.

        Raises:
            SettingsError: All that is wrong; the old settings stay.
        """
        async with self._one_at_a_time:
            try:
                recipe = self._read()
                settings = recipe.settings(os.environ)
                applied = await self._applied(recipe, settings)
            except SettingsError as error:
                self._log.error("reload failed, the old settings stay", problem=str(error))
                raise
            old, self._settings = self._settings, settings
            logs.configure(settings.log.level.value, settings.log.format.value)
            changed = changes(old, settings)
            self._log.info("reloaded", changes=list(map(str, changed)))
            if applied.restart:
                self._log.warning("some changes need a restart", keys=list(applied.restart))
            if applied.renewing:
                self._log.info("some changes need new workers", keys=list(applied.renewing))
            return Reloaded(changed, applied.restart, applied.renewing)

    async def quietly(self) -> None:
        """The same for a signal: who sent it reads the log."""
        try:
            await self()
        except SettingsError:
            return

    async def _applied(self, recipe: Recipe, settings: Settings) -> Applied:
        try:
            return await self._apply(recipe, settings)
        except (TokenFileError, OSError) as error:
            raise SettingsError([Problem(message=str(error))]) from error


def needing_restart(old: Settings, new: Settings) -> list[str]:
    """Keys that differ and take effect at start only."""
    fixed = {
        "listen": (old.listen, new.listen),
        "reuse_port": (old.reuse_port, new.reuse_port),
        "limits": (old.limits, new.limits),
        "allowed_hosts": (old.allowed_hosts, new.allowed_hosts),
        "workers": (old.workers, new.workers),
        "tracing": (old.tracing, new.tracing),
        "tls": (old.tls is None, new.tls is None),
        "store.redis": (old.store.redis, new.store.redis),
        "purge.max_lag": (old.purge.max_lag, new.purge.max_lag),
        "purge.refresh": (old.purge.refresh, new.purge.refresh),
        "purge.serve_blind": (old.purge.serve_blind, new.purge.serve_blind),
        "admin.listen": (old.admin and old.admin.listen, new.admin and new.admin.listen),
    }
    return [key for key, (before, after) in fixed.items() if before != after]


_RELOADED = TypeAdapter(Reloaded)
_PROBLEMS = TypeAdapter(tuple[Problem, ...])


async def told(reload: Reloading | None) -> Mapping[str, Any]:
    """What comes of a reload, as JSON has it, for another process."""
    if reload is None:
        return {}
    try:
        return {"reloaded": _RELOADED.dump_python(await reload(), mode="json")}
    except SettingsError as error:
        return {"problems": list(map(asdict, error.problems))}


def heard(answer: Mapping[str, Any]) -> Reloaded:
    """What `told` has told.

    Raises:
        SettingsError: The settings were refused.
        NothingToReload: There is no file.
    """
    if "reloaded" in answer:
        return _RELOADED.validate_python(answer["reloaded"])
    if "problems" in answer:
        raise SettingsError(_PROBLEMS.validate_python(answer["problems"]))
    raise NothingToReload

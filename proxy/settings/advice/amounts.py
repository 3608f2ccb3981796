"""Sizes, times and counts that contradict each other, or the machine."""

from collections.abc import Iterator
from typing import Final

from proxy.problems import Location
from proxy.settings.advice.hints import Hint, chosen, default_of
from proxy.settings.models import Settings
from proxy.settings.origins import Origin
from proxy.settings.scalars import BalanceKind
from proxy.units import format_duration, format_size

_OWN_FILES: Final = 64
"""As in `descriptors`: what a process has open besides connections."""


def hints(settings: Settings, cores: int, descriptors: int | None) -> Iterator[Hint]:
    """What of the amounts is likely to be a mistake.

    Args:
        settings: To look at.
        cores: That the process may use.
        descriptors: Files and connections that it may have open; None for any number.
    """
    yield from _machine(settings, cores, descriptors)
    yield from _store(settings)
    yield from _waits(settings)
    yield from _of_origin(settings.origin, ("origin",), settings.drain_timeout)
    for name, origin in settings.origins.items():
        yield from _of_origin(origin, ("origins", name), settings.drain_timeout)


def _machine(settings: Settings, cores: int, descriptors: int | None) -> Iterator[Hint]:
    if settings.workers > cores:
        yield Hint(
            ("workers",),
            f"more than the {cores} cores of this machine: they take turns",
            f"write at most {cores}",
        )
    wanted = settings.limits.connections + settings.connections_out + _OWN_FILES
    if descriptors is not None and wanted > descriptors and chosen(settings.limits, "connections"):
        yield Hint(
            ("limits", "connections"),
            f"{wanted} files may be open with these connections and those to origins and Redis, "
            f"and this user may open {descriptors}",
            "raise the hard limit (ulimit -Hn, LimitNOFILE), or write less",
        )


def _store(settings: Settings) -> Iterator[Hint]:
    memory = settings.store.memory
    if settings.store.redis is None and 0 < memory.max_size < memory.max_object_size:
        yield Hint(
            ("store", "memory", "max_size"),
            f"is less than max_object_size, {format_size(memory.max_object_size)}: a body that "
            "fits that limit is not kept",
            "write more, or max_object_size: a tenth of it, say",
        )


def _waits(settings: Settings) -> Iterator[Hint]:
    purge = settings.purge
    if settings.store.redis is not None and 0 < purge.wait < purge.max_lag:
        yield Hint(
            ("purge", "wait") if chosen(purge, "wait") else ("purge", "max_lag"),
            f"a purge waits {format_duration(purge.wait)}, and a process that has died counts as "
            f"alive for {format_duration(purge.max_lag)}: such a purge is not acknowledged",
            "write a longer wait than max_lag",
        )


def _of_origin(origin: Origin, at: Location, drain_timeout: float) -> Iterator[Hint]:
    yield from _times(origin, at, drain_timeout)
    if origin.tls != default_of(origin, "tls") and not any(
        server.url.startswith("https:") for server in origin.servers
    ):
        yield Hint((*at, "tls"), "does nothing: no URL is https", "write https in the URL")
    if len(origin.servers) != 1:
        return
    if origin.balance is not BalanceKind.ROUND_ROBIN:
        yield Hint((*at, "balance"), "does nothing: there is one URL", "list several in `urls`")
    if chosen(origin.retries, "attempts") and origin.retries.attempts:
        yield Hint(
            (*at, "retries", "attempts"),
            "does nothing: there is no other URL to ask",
            "list several in `urls`",
        )


def _times(origin: Origin, at: Location, drain_timeout: float) -> Iterator[Hint]:
    times = origin.timeouts
    header, usual = format_duration(times.header), default_of(times, "header")
    if times.total is not None and chosen(times, "header") and times.header > times.total:
        yield Hint(
            (*at, "timeouts", "header"),
            f"never comes to pass: after {format_duration(times.total)} in all, `total` ends it",
            "write less, or a longer `total`",
        )
    elif times.header > max(drain_timeout, usual):
        yield Hint(
            (*at, "timeouts", "header"),
            f"answers that take up to {header} are awaited, and a restart cuts them off after "
            f"drain_timeout, {format_duration(drain_timeout)}",
            f"write drain_timeout: {header}",
        )

"""What all operations share: the control, the warming jobs, and the one way to purge."""

import logging
from dataclasses import dataclass, field

from proxy.admin import items
from proxy.admin.control import Control, PurgeOrder, PurgeReceipt
from proxy.admin.items import Wanted
from proxy.admin.models import MAX_ITEMS
from proxy.admin.options import AdminOptions
from proxy.admin.problems import Fault, unprocessable
from proxy.admin.recent import Recent
from proxy.admin.tokens import Caller
from proxy.admin.warming import WarmJobs

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Desk:
    """The counter behind which the proxy stands.

    Attributes:
        recent: Figures of late.
        openapi: The document, ready to send.
        ports: Where the admin API listens.
    """

    control: Control
    options: AdminOptions
    jobs: WarmJobs
    recent: Recent
    openapi: bytes = b""
    ports: list[int] = field(default_factory=list)

    async def purge(
        self, order: PurgeOrder, caller: Caller | None, wait: float | None = None
    ) -> PurgeReceipt:
        """Carry out an order and note who gave it; raises LogUnreachable."""
        who = caller.name if caller else "nobody"
        _logger.info("%s purges %s", who, summary(order))
        return await self.control.purge(order, wait=self.options.wait if wait is None else wait)

    async def purge_exactly(
        self, wanted: Wanted, caller: Caller | None, wait: float | None = None
    ) -> PurgeReceipt:
        """Carry out all of it, or refuse: for clients that have no word for a part.

        Raises:
            Refusal: 422; nothing has been purged.
            LogUnreachable: See Control.
        """
        checked = items.check(wanted)
        if checked.faults:
            raise unprocessable("Not all of this can be purged, so nothing was.", *checked.faults)
        ensure_order(checked.order)
        return await self.purge(checked.order, caller, wait)


def ensure_order(order: PurgeOrder) -> None:
    """Raise Refusal for an order of nothing, or of too much."""
    if not order:
        how = "name tags, urls, prefixes, hosts or a pattern, or say all"
        raise unprocessable("Nothing to purge.", Fault(where="request", what="empty", how=how))
    # A URL stands there in two schemes, a host in up to three spellings.
    for name, found, most in (
        ("tags", order.tags, MAX_ITEMS),
        ("urls", order.urls, 2 * MAX_ITEMS),
        ("prefixes", order.prefixes, 3 * MAX_ITEMS),
        ("hosts", order.hosts, 3 * MAX_ITEMS),
    ):
        if len(found) > most:
            fault = Fault(where=name, what=f"more than {MAX_ITEMS}", how="send several requests")
            raise unprocessable("Too much for one purge.", fault)


def summary(order: PurgeOrder) -> str:
    """An order for the log: how many of what, never which."""
    urls = {url.partition("://")[2] for url in order.urls}  # each stands there in two schemes
    counts = (
        f"1 {one}" if len(found) == 1 else f"{len(found)} {many}"
        for one, many, found in (
            ("tag", "tags", order.tags),
            ("URL", "URLs", urls),
            ("prefix", "prefixes", order.prefixes),
            ("host", "hosts", order.hosts),
        )
        if found
    )
    words = [*counts, *(["a pattern"] if order.pattern is not None else [])]
    if order.everything:
        words.append("everything")
    return f"{'softly ' if order.soft else ''}{', '.join(words)}"

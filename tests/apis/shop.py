"""What the three APIs sell, so that each of them holds little but its framework's own words.

Any id names a product until it is deleted: each test takes one that no other test uses.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

OPENED = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)

PRODUCT_CACHE_CONTROL = "public, max-age=0, s-maxage=60"
"""Shared caches keep it; private ones ask again, and may hear from a shared one: not modified."""

SHORT = 3
"""Seconds for which the ticker is fresh."""

GREETINGS = {"en": "hello", "de": "hallo"}


@dataclass(slots=True)
class Product:
    """A product; `version` counts its changes, `modified` is when the last one was made."""

    id: str
    price: int = 1000
    version: int = 1
    modified: datetime = OPENED

    @property
    def tag(self) -> str:
        """An opaque tag (RFC 9110 §8.8.3), not quoted."""
        return f"{self.id}-{self.version}"

    def shown(self) -> dict[str, object]:
        """As JSON says it."""
        return {"id": self.id, "price": self.price, "version": self.version}


class Shop:
    """All products, and how often which path was asked for."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._products: dict[str, Product | None] = {}
        self._hits: Counter[str] = Counter()

    def count(self, method: str, path: str) -> None:
        """Note a request."""
        with self._lock:
            self._hits[f"{method} {path}"] += 1

    def hits(self) -> dict[str, int]:
        """`METHOD PATH` and how often it was asked for."""
        with self._lock:
            return dict(self._hits)

    def find(self, product_id: str) -> Product | None:
        """A product, or None when it was deleted."""
        with self._lock:
            return self._products.setdefault(product_id, Product(product_id))

    def change(self, product_id: str, price: object) -> Product | None:
        """A product with a new price (in cents), or None for a price that makes no sense."""
        if not isinstance(price, int) or price < 0:
            return None
        with self._lock:
            before = self._products.get(product_id) or Product(product_id)
            modified = max(datetime.now(UTC), before.modified + timedelta(seconds=1))
            product = Product(product_id, price, before.version + 1, modified)
            self._products[product_id] = product
            return product

    def delete(self, product_id: str) -> None:
        """Sell it no longer."""
        with self._lock:
            self._products[product_id] = None


def language_of(accept_language: str) -> str:
    """The first language named that there is a greeting in, else English."""
    named = (member.split(";")[0].strip()[:2].lower() for member in accept_language.split(","))
    return next((name for name in named if name in GREETINGS), "en")

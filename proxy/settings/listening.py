"""One address to listen on, or a list of them."""

from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from proxy.problems import ManyRefused, Refused
from proxy.settings.scalars import Listen


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _some_and_distinct(listen: tuple[Listen, ...]) -> tuple[Listen, ...]:
    if not listen:
        raise Refused("is an empty list", "write an address, such as 127.0.0.1:8080")
    first = {address: index for index, address in reversed(list(enumerate(listen)))}
    twice = [
        Refused(f"{address} is listed twice", "remove it", at=(index,))
        for index, address in enumerate(listen)
        if first[address] != index and getattr(address, "port", None) != 0
    ]
    if twice:
        raise ManyRefused(twice)
    return listen


ListenList: TypeAlias = Annotated[
    tuple[Listen, ...], BeforeValidator(_listed), AfterValidator(_some_and_distinct)
]
"""Of different addresses, at least one."""

"""What the operator may set about the admin API."""

from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from proxy.server import ServerOptions
from proxy.token_file import checked


class Role(IntEnum):
    """What a token allows; each includes those before it."""

    READ = 1
    """Look: entries, tags, figures."""
    PURGE = 2
    """Forget what is stored."""
    ADMIN = 3
    """Make the proxy send requests: warm."""

    @classmethod
    def of(cls, name: str) -> "Role":
        """The role with this lower-case name; raises ValueError."""
        for role in cls:
            if role.label == name:
                return role
        raise ValueError(f"{name!r} is no role: write {', '.join(role.label for role in cls)}")

    @property
    def label(self) -> str:
        """As operators write it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """A token and what it allows.

    Attributes:
        token: See token_file.checked.
        name: For the log.

    Raises:
        ValueError: The token has another form. The text does not repeat it.
    """

    token: str = field(repr=False)
    role: Role = Role.ADMIN
    name: str = "admin"

    def __post_init__(self) -> None:
        checked(self.token)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminOptions:
    """Addresses, credentials and bounds of the admin API.

    Attributes:
        listen: Addresses, as `server.Listener` takes them; loopback unless told otherwise.
        tokens: Who may do what; with none, one is made and kept in `token_file`.
        token_file: Where; None for the place where the command line looks, see `token_file`.
        allowed_hosts: Names in Host that a client on this machine may use besides loopback names
            and IP addresses; `*` for any.
        wait: Seconds that a purge waits for other processes where the request does not say.
        max_body: Bytes of a request body.
        dashboard: Whether people may log in with a browser.
        server: Limits of the listener.
    """

    listen: tuple[str, ...] = ("127.0.0.1:8081",)
    tokens: tuple[TokenSpec, ...] = ()
    token_file: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    wait: float = 5.0
    max_body: int = 1024 * 1024
    dashboard: bool = True
    server: ServerOptions = field(default_factory=lambda: ServerOptions(connections=256))

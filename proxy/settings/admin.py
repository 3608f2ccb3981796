"""Who may ask the proxy to forget, where, and how long that waits."""

from pydantic import Field, model_validator

from proxy.problems import ManyRefused, Refused
from proxy.settings.addresses import TcpAddress
from proxy.settings.listening import ListenList
from proxy.settings.scalars import (
    AdminHost,
    AdminRole,
    AdminRoleChoice,
    AdminToken,
    Count,
    Duration,
    FileName,
    Flag,
    Lag,
    Token,
    Wait,
)
from proxy.settings.section import Section


class TokenRole(Section):
    """A token, and what it allows."""

    token: AdminToken = Field(repr=False)
    """16 to 512 printable ASCII characters without blank and colon."""
    role: AdminRoleChoice = AdminRole.ADMIN
    """read (look), purge (forget, too) or admin (warm, too)."""
    name: Token | None = None
    """For the log; without it the role."""


class Admin(Section):
    """The admin API, on a listener of its own."""

    listen: ListenList = (TcpAddress("127.0.0.1", 8081),)
    """Address or list of addresses, as the one above; who can reach it needs a token still."""
    token: AdminToken | None = Field(default=None, repr=False)
    """A token that allows everything: ${NAME} keeps it out of the file."""
    tokens: tuple[TokenRole, ...] = ()
    """More tokens, each with a role."""
    token_file: FileName | None = None
    """Where the token is kept that is made if none is given; the command line finds the default."""
    allowed_hosts: tuple[AdminHost, ...] = ()
    """Names that clients on this machine may call it by, besides localhost; * for any."""
    dashboard: Flag = True
    """People may log in with a browser, by one of the tokens: figures, purging, entries."""

    @property
    def listen_given(self) -> bool:
        """Whether the operator wrote where to listen, so that a taken port is an error."""
        return "listen" in self.model_fields_set

    def all_tokens(self) -> tuple[TokenRole, ...]:
        """`token` and `tokens` alike."""
        alone = () if self.token is None else (TokenRole(token=self.token),)
        return (*alone, *self.tokens)

    @model_validator(mode="after")
    def _tokens_differ(self) -> "Admin":
        seen = {self.token}
        twice = []
        for index, one in enumerate(self.tokens):
            if one.token in seen:
                at = ("tokens", index, "token")
                twice.append(Refused("the same token stands above", "make another", at))
            seen.add(one.token)
        if twice:
            raise ManyRefused(twice)
        return self


class Refresh(Section):
    """What is fetched anew after a purge, before clients ask for it."""

    top: Count
    """So many entries, those that were used most."""
    rate: Count
    """So many per second, in each process."""


class Purge(Section):
    """What a purge waits for, and what it sets off.

    It holds in the process that answers when it is answered.
    """

    wait: Wait = 5.0
    """So long a purge waits for all other processes, where its request does not say; at most 1h."""
    write_wait: Wait = 0.25
    """So long the answer to a write waits for them."""
    serve_blind: Duration = 0.0
    """How much longer than max_lag a process serves what it kept while it cannot read the log.
    More than 0 gives up the promise for that long: a purge no longer waits for such a process."""
    refresh: Refresh | None = None
    """Fetch anew what was in demand, at a rate that the origin can bear."""
    max_lag: Lag = 3.0
    """A process without news of the log for so long trusts nothing it kept; the same for all."""

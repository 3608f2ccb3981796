"""The dashboard's operations.

Nobody without a session gets more than the login. A session comes from a known token and has its
role; the token itself is not kept.
"""

import hmac
import logging
import math
import re
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from proxy import __version__
from proxy.admin import guards, reading
from proxy.admin.answers import bare
from proxy.admin.attempts import Attempts
from proxy.admin.dashboard import files
from proxy.admin.dashboard.live import Live
from proxy.admin.dashboard.sessions import Session, Sessions
from proxy.admin.operations import Ask, Found, Operation, Router, admitted, not_found
from proxy.admin.problems import Fault, Refusal
from proxy.admin.recent import Recent
from proxy.admin.tokens import Caller
from proxy.exchange import Incoming, Outgoing

_logger = logging.getLogger(__name__)

ROOT: Final = "/dashboard"
PROOF: Final = "X-Warmfront-Proof"
"""The field by which a page proves that a request is its own; a form cannot send it."""

_LONGEST_LOGIN: Final = 2048
_PORT: Final = re.compile(r":(\d+)$")


class Dashboard:
    """Pages, login and figures.

    Args:
        known: Whose token this is; None for nobody's.
        attempts: Wrong tokens, wherever they are sent.
        api: What the page may ask for, by its role.

    Attributes:
        operations: For the router.
    """

    def __init__(
        self,
        known: Callable[[str], Caller | None],
        attempts: Attempts,
        recent: Recent,
        api: Sequence[Operation],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._known = known
        self._attempts = attempts
        self._api = Router(api)
        self._explains = any(one.path == "/explain" for one in api)
        self._clock = clock
        self._live = Live(recent)
        self.sessions = Sessions(clock)
        self.operations = (
            Operation("GET", "/", _to_dashboard, role=None),
            Operation("GET", ROOT, self._page, role=None),
            Operation("POST", f"{ROOT}/login", self._login, role=None),
            Operation("POST", f"{ROOT}/logout", self._logout, role=None),
            Operation("GET", f"{ROOT}/events", self._events, role=None),
            Operation("GET", f"{ROOT}/static/{{path:rest}}", _static, role=None),
            *(
                Operation(method, f"{ROOT}/api/{{path:rest}}", self._call, role=None)
                for method in ("GET", "POST", "DELETE")
            ),
        )

    async def _page(self, ask: Ask) -> Outgoing:
        if not guards.is_own(ask.incoming.request):
            return files.page("arrive.html", {})  # the cookie comes with the next step
        session = self._session(ask.incoming)
        if session is None:
            return _login_page()
        caller = session.caller
        values = {
            "version": __version__,
            "name": caller.name,
            "role": caller.role.label,
            "proof": session.proof,
            "explains": "yes" if self._explains else "no",
        }
        return files.page("index.html", values)

    async def _login(self, ask: Ask) -> Outgoing:
        """A wrong token costs what it costs in any other place."""
        token = _token(await reading.content(ask.incoming, _LONGEST_LOGIN))
        caller = self._known(token) if token else None
        if caller is None:
            return self._refuse(ask.incoming)
        session = self.sessions.begin(caller)
        _logger.info("%s logs in", caller.name)
        return _see(ROOT, [("Set-Cookie", _cookie(ask.incoming, session.name))])

    def _refuse(self, incoming: Incoming) -> Outgoing:
        address = incoming.client.address
        wait = self._attempts.failed(address, self._clock())
        if wait:
            seconds = math.ceil(wait)
            return _login_page(
                f"Too many unknown tokens came from here. Wait {seconds} s, then try again.",
                HTTPStatus.TOO_MANY_REQUESTS,
                [("Retry-After", str(seconds))],
            )
        _logger.info("No valid token from %s", address or "a Unix socket")
        return _login_page("This token is not known here.", HTTPStatus.FORBIDDEN)

    async def _logout(self, ask: Ask) -> Outgoing:
        session = self._admit(ask.incoming, proven=True)
        self.sessions.end(session)
        _logger.info("%s logs out", session.caller.name)
        gone = _cookie(ask.incoming, "", "; Max-Age=0")
        return bare(HTTPStatus.NO_CONTENT, fields=[("Set-Cookie", gone)])

    async def _events(self, ask: Ask) -> Outgoing:
        session = self._admit(ask.incoming, proven=False)
        return self._live.stream(lambda: self.sessions.holds(session))

    async def _call(self, ask: Ask) -> Outgoing:
        """Pass a call of the page on to the operation that it is for."""
        session = self._admit(ask.incoming, proven=True)
        found = self._api.find(ask.incoming.request.method, f"/{ask.captured['path']}")
        if not isinstance(found, Found):
            raise not_found(found)
        caller = admitted(session.caller, found.operation.role)
        inner = Ask(ask.desk, ask.incoming, found.captured, ask.query, caller)
        return await found.operation.handler(inner)

    def _session(self, incoming: Incoming) -> Session | None:
        wanted = _cookie_name(incoming)
        for line in incoming.request.headers.getall("Cookie", ()):
            for pair in line.split(";"):
                name, _, value = pair.strip(" ").partition("=")
                session = self.sessions.find(value) if name == wanted else None
                if session is not None:
                    return session
        return None

    def _admit(self, incoming: Incoming, *, proven: bool) -> Session:
        """Whose call it is; `proven`: it must be the page's own, which a cookie alone does not say.

        Raises:
            Refusal: 401, nobody has logged in; 403, it may not be the page's.
        """
        session = self._session(incoming)
        if session is None:
            fault = Fault(where="header Cookie", what="no session", how=f"log in at {ROOT}")
            raise Refusal(HTTPStatus.UNAUTHORIZED, "Nobody has logged in.", [fault])
        given = incoming.request.headers.get(PROOF, "").encode("latin-1")
        if proven and not hmac.compare_digest(given, session.proof.encode()):
            how = "use the page, or the admin API with a token"
            fault = Fault(where=f"header {PROOF}", what="not the page's", how=how)
            raise Refusal(HTTPStatus.FORBIDDEN, "This call is not the page's own.", [fault])
        return session


async def _to_dashboard(_: Ask) -> Outgoing:
    return _see(ROOT)


async def _static(ask: Ask) -> Outgoing:
    found = files.assets().get(ask.captured["path"])
    if found is None:
        fault = Fault(where="path", what="unknown", how=f"begin at {ROOT}")
        raise Refusal(HTTPStatus.NOT_FOUND, "There is nothing here.", [fault])
    return found.answer(ask.incoming)


def _login_page(
    message: str = "",
    status: HTTPStatus = HTTPStatus.OK,
    fields: Sequence[tuple[str, str]] = (),
) -> Outgoing:
    return files.page("login.html", {"message": message}, status, fields)


def _see(path: str, fields: Sequence[tuple[str, str]] = ()) -> Outgoing:
    return bare(HTTPStatus.SEE_OTHER, fields=[("Location", path), *fields])


def _token(form: bytes) -> str:
    """The field `token` of a form; "" where there is none."""
    try:
        pairs = parse_qsl(form.decode(), errors="strict", max_num_fields=10)
    except ValueError:
        return ""
    return dict(pairs).get("token", "").strip()


def _cookie(incoming: Incoming, value: str, more: str = "") -> str:
    secure = "; Secure" if incoming.request.scheme == "https" else ""
    name = _cookie_name(incoming)
    return f"{name}={value}; Path={ROOT}; HttpOnly; SameSite=Strict{secure}{more}"


def _cookie_name(incoming: Incoming) -> str:
    """Cookies know no ports: two processes on one machine must not share one."""
    port = _PORT.search(incoming.request.authority)
    return f"warmfront_{port[1]}" if port else "warmfront"

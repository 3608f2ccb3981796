"""Reading the settings anew: what has changed, or everything that is wrong with the file."""

import logging
from http import HTTPStatus
from typing import Final

from proxy.admin import reading
from proxy.admin.answers import modelled
from proxy.admin.control import NothingToReload
from proxy.admin.models import ReloadAnswer
from proxy.admin.operations import Ask, Documented, Operation
from proxy.admin.options import Role
from proxy.admin.problems import Fault, Refusal, unprocessable
from proxy.exchange import Outgoing
from proxy.settings import Problem, SettingsError

_logger = logging.getLogger(__name__)


async def reload(ask: Ask) -> Outgoing:
    """POST /reload."""
    await reading.no_body(ask.incoming, ask.desk.options.max_body)
    _logger.info("%s reloads", ask.caller.name if ask.caller else "nobody")
    try:
        reloaded = await ask.desk.control.reload()
    except NothingToReload:
        fault = Fault(where="process", what="no file", how="start it with --config FILE")
        detail = "The settings come from the command line alone."
        raise Refusal(HTTPStatus.CONFLICT, detail, [fault]) from None
    except SettingsError as error:
        detail = "The new settings cannot be used; the old ones stay."
        raise unprocessable(detail, *map(_fault, error.problems)) from None
    return modelled(ReloadAnswer.of(reloaded))


def _fault(problem: Problem) -> Fault:
    place = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part)
    return Fault(
        where=" ".join(part for part in (place, problem.path) if part) or "settings",
        what=problem.message,
        how=problem.suggestion or "see docs/configuration.md",
    )


OPERATIONS: Final = (
    Operation(
        "POST",
        "/reload",
        reload,
        Role.ADMIN,
        documented=Documented(
            "Read the settings anew, without losing the cache or a request",
            {HTTPStatus.OK: [ReloadAnswer]},
            refusals=(
                HTTPStatus.CONFLICT,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                HTTPStatus.UNPROCESSABLE_ENTITY,
            ),
        ),
    ),
)

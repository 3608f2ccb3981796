"""Likely mistakes in settings that are valid: where, why, and what to write instead.

Only what is certain to have no effect, or to have one that hardly anybody wants, is told. Where
an operator can have meant it, nothing is said: warnings that are mostly wrong are read by nobody.

    routes       requests that a route never gets, keys that do nothing in it, users' own answers
    containment  whether one route takes all that another is for
    exposure     who can reach the listeners and Redis, and what they see there
    amounts      sizes, times and counts that contradict each other, or the machine
    hints        what all of them give
"""

import os
import resource
from dataclasses import dataclass
from itertools import chain

from proxy.problems import Problem, path_text
from proxy.settings.advice import amounts, exposure, routes
from proxy.settings.advice.hints import Hint
from proxy.settings.document import Document
from proxy.settings.models import Settings


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the settings are to work.

    Attributes:
        cores: That the process may use.
        descriptors: Files and connections that one process may have open; None for any number.
    """

    cores: int
    descriptors: int | None = None

    @classmethod
    def here(cls) -> "Machine":
        """This one."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return cls(cores or 1, None if hard == resource.RLIM_INFINITY else hard)


def advise(settings: Settings, document: Document | None, machine: Machine) -> list[Problem]:
    """What in `settings` is likely to be a mistake, in the order of the file.

    Args:
        settings: To look at.
        document: The file that they come from; None where there is none.
        machine: Where they are to work.
    """
    hints = chain(
        routes.hints(settings),
        exposure.hints(settings),
        amounts.hints(settings, machine.cores, machine.descriptors),
    )
    told = [_problem(hint, document) for hint in dict.fromkeys(hints)]
    return sorted(told, key=lambda one: (one.line or 0, one.column or 0))


def _problem(hint: Hint, document: Document | None) -> Problem:
    told = Problem(path=path_text(hint.at), message=hint.why, suggestion=hint.how)
    if document is None:
        return told
    known, mark = document.locate(hint.at)
    if not known:  # it was said by a flag, or left out
        return told
    return Problem(
        path=told.path,
        message=told.message,
        suggestion=told.suggestion,
        file=document.file,
        line=mark.line,
        column=mark.column,
    )

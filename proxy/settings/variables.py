"""Environment variables inside values: ${NAME}, ${NAME:-default}, and $${ for a literal ${.

Only values are replaced, after the YAML is parsed: a variable never adds a key or an item.
"""

import re
from collections.abc import Mapping

from proxy.problems import Refused, quoted

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

VARIABLE_PATTERN = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"
"""A value with at least one variable in it, as a regular expression that JSON Schema shares."""


def substitute(text: str, env: Mapping[str, str]) -> str:
    """`text` with its variables replaced; a default also stands in for an empty variable.

    Raises:
        Refused: A variable is not set and has no default, or the reference is malformed.
    """
    return _REFERENCE.sub(lambda found: _value(found, env), text)


def _value(found: re.Match[str], env: Mapping[str, str]) -> str:
    if found[0] == "$${":
        return "${"
    if not found[2]:
        raise Refused("${ is never closed", "write ${NAME}, or $${ for the two characters")
    name, has_default, default = found[1].partition(":-")
    if not _NAME.fullmatch(name):
        raise Refused(
            f"{quoted(found[1])} is not the name of a variable",
            "write ${NAME} or ${NAME:-default}, or $${ for the two characters",
        )
    if has_default:
        return env.get(name) or default
    if name not in env:
        raise Refused(
            f"the environment variable {name} is not set",
            f"set it, or write ${{{name}:-default}}",
        )
    return env[name]

"""The models as JSON Schema, for completion and checks in editors.

`python -m proxy.settings.schema > config/schema.json`
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

from proxy.settings.addresses import ListenAddress
from proxy.settings.admin import Admin
from proxy.settings.models import Settings
from proxy.settings.scalars import KIND_KEY, KINDS
from proxy.settings.variables import VARIABLE_PATTERN

_TITLE = "Warmfront configuration"
_VARIABLE = {
    "description": "A value with an environment variable: ${NAME} or ${NAME:-default}.",
    "type": "string",
    "pattern": VARIABLE_PATTERN,
}


def json_schema() -> dict[str, Any]:
    """The schema; any value may hold variables instead, and each kind is a definition of its own.

    It knows shapes, not what fits together, and minds quotes (`"100"`, `"on"`) more than `load`.
    """
    schema: dict[str, Any] = _settled(Settings.model_json_schema())
    kinds = {
        name: {"anyOf": [kind.schema, {"$ref": "#/$defs/variable"}]} for name, kind in KINDS.items()
    }
    definitions = schema.pop("$defs") | kinds | {"variable": _VARIABLE}
    top, admin = schema["properties"], definitions["Admin"]["properties"]
    top["listen"] = _one_or_many(top["listen"], Settings().listen)
    admin["listen"] = _one_or_many(admin["listen"], Admin().listen)
    top["admin"]["anyOf"].append({"enum": [False, "off"]})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": _TITLE,
        **schema,
        "$defs": dict(sorted(definitions.items())),
    }


def text() -> str:
    """`json_schema` as it stands in config/schema.json."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _settled(node: Any) -> Any:
    """`node` with marks of kinds as references, defaults as YAML text, and no generated titles."""
    if isinstance(node, list):
        return [_settled(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _settled(value) for key, value in node.items() if not _is_noise(key, value)}
    items = node.get("items")
    if isinstance(items, dict) and KIND_KEY in items and "default" in kept:
        kept["default"] = [KINDS[items[KIND_KEY]].show(one) for one in kept["default"]]
    name = kept.pop(KIND_KEY, None)
    if name is None:
        return kept
    if "default" in kept:
        kept["default"] = KINDS[name].show(kept["default"])
    return {"$ref": f"#/$defs/{name}"} | kept


def _is_noise(key: str, value: Any) -> bool:
    """Titles repeat the name; defaults of sections repeat those of their keys."""
    return (key == "title" and isinstance(value, str)) or (
        key == "default" and (value is None or isinstance(value, dict))
    )


def _one_or_many(array: dict[str, Any], default: Sequence[ListenAddress]) -> dict[str, Any]:
    """An array of addresses, or one of them alone."""
    return {
        "description": array["description"],
        "default": str(default[0]),
        "anyOf": [array["items"], {"type": "array", "minItems": 1, "items": array["items"]}],
    }


if __name__ == "__main__":
    sys.stdout.write(text())

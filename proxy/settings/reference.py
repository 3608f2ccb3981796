"""The models as a page for people: docs/configuration.md.

`python -m proxy.settings.reference > docs/configuration.md`

It is made of the JSON Schema, which has names, defaults as YAML writes them, and what each key
means; only the words for kinds of values stand here.
"""

import sys
from collections.abc import Iterator
from typing import Any, Final

from proxy.settings.models import Caching
from proxy.settings.schema import json_schema

_INTRO = """\
# Configuration

Every key of the YAML: what it may hold, its default, what it means. `make schema` writes this page
from the models that read the file. The same keys as a file to copy from:
[config/default.yaml](../config/default.yaml). Files for common needs:
[config/examples](../config/examples). For completion in editors, a first line names the schema:

```yaml
# yaml-language-server: $schema=schema.json
origin: {url: http://127.0.0.1:8000}
```

```sh
warmfront check warmfront.yaml
```

`check` tells every mistake with its line, and unknown keys are mistakes. A key without a value is
as if it were not there, except in a route's `match`, where dropping a condition would widen the
route without a word. Any value may hold `${NAME}` or `${NAME:-default}` from the environment;
`$${` stands for the two characters `${`. File names are relative to the working directory. Quote
what YAML takes for its own: `"[::1]:8080"`, `"*.example.com"`, `{path: "/products/{id}"}`.

Flags of `warmfront run` win over the file. SIGHUP has the file read again; the log names keys whose
change waits for a restart.
"""

_WORDS: Final = {
    "admin_host": "host name, or `*`",
    "admin_token": "token",
    "check_path": "path",
    "count": "count",
    "duration": "duration",
    "edited_field_name": "field name",
    "factor": "factor",
    "field_value": "field value",
    "file_name": "file name",
    "flag": "`on` or `off`",
    "header_condition": "value, or `~` and a pattern",
    "host_pattern": "host",
    "lag": "duration",
    "listen_address": "address",
    "method": "method",
    "origin_host": "`preserve`, `origin`, or a host",
    "origin_name": "name in `origins`",
    "origin_url": "URL",
    "path_pattern": "path pattern",
    "positive_duration": "duration above 0",
    "positive_size": "size above 0",
    "query_name": "parameter",
    "redis_namespace": "text",
    "redis_url": "URL",
    "secret": "secret",
    "server_name": "host name",
    "share": "percentage",
    "site": "URL without a path",
    "size": "size",
    "status_range": "statuses",
    "tag": "tag",
    "token": "name",
    "user_name": "user name",
    "wait": "duration",
    "warm_source": "URL, path, or `file:` and a name",
    "whole": "whole number",
    "workers": "count, or `auto`",
}
"""What to call the values of each kind; choices speak for themselves."""

_CONTAINERS: Final = {"items": "[]", "additionalProperties": ".NAME"}
_ROUTE: Final = "routes[]"
_NAMED_ORIGIN: Final = "origins.NAME"

_FORMS: Final = """\
## Values

| | written as |
|---|---|
| duration | a number with its unit: `250ms`, `30s`, `5m`, `1h30m`, `1d`, `2w`; `0` needs none |
| size | `512B`, `64KiB`, `4MiB`, `1GiB`, or by thousands `4MB`; `0` needs none |
| count, whole number | digits, from 1 or from 0 |
| percentage | `20%` |
| factor | `1`, `0.5`, `off` |
| statuses | `404`, `500-504`, `5xx` |
| address | `127.0.0.1:8080`, `"[::1]:8080"`, `":8080"` (everywhere), `unix:/run/wf.sock` |
| path pattern | `/products/{id}` and `/*.css` (one segment), `/reports/**` (any number of them) |
| host | `example.com`, `"*.example.com"`, `example.com:8080` |
| tag | printable, no blanks, no commas; may hold `{id}`, `{query.category}`, `{header.X-Shop-Id}` |
| token | 16 to 512 printable ASCII characters, no blank or colon: `openssl rand -hex 32` |
"""


def text() -> str:
    """The whole page as it stands in docs/configuration.md."""
    schema = json_schema()
    definitions = schema["$defs"]
    parts = [_INTRO, _FORMS, "## Top level\n", _table(schema, definitions, "")]
    for path, section in _sections(schema, definitions, ""):
        parts += [f"## {path}\n", _prose(path, section)]
        parts += [] if path == _NAMED_ORIGIN else [_table(section, definitions, f"{path}.")]
    return "\n".join(parts)


def _sections(
    parent: dict[str, Any], definitions: dict[str, Any], path: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping below `parent`, and what is below itself: `origin.timeouts` and its schema.

    What a route shares with `defaults`, and an origin of `origins` with `origin`, is told once.
    """
    for key, node in _keys(parent, path):
        name, suffix = _held(node, definitions)
        if name:
            below = f"{path}{key}{suffix}"
            yield below, definitions[name]
            if below != _NAMED_ORIGIN:
                yield from _sections(definitions[name], definitions, f"{below}.")


def _keys(parent: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    shared = Caching.model_fields if path == f"{_ROUTE}." else ()
    return ((key, node) for key, node in parent["properties"].items() if key not in shared)


def _held(node: dict[str, Any], definitions: dict[str, Any]) -> tuple[str, str]:
    """The section that a key holds, "" for none, and what its path has behind the key."""
    name = _referred(node)
    if "properties" in definitions.get(name, {}):
        return name, ""
    inner = [(one, "") for one in node.get("anyOf", ())]
    inner += [(node[key], mark) for key, mark in _CONTAINERS.items() if key in node]
    found = (
        (name, mark + suffix)
        for one, mark in inner
        for name, suffix in [_held(one, definitions)]
        if name
    )
    return next(found, ("", ""))


def _referred(node: dict[str, Any]) -> str:
    return str(node.get("$ref", "")).rpartition("/")[2]


def _prose(path: str, section: dict[str, Any]) -> str:
    said = [_plain(section["description"])]
    if path == _ROUTE:
        said.append("Besides these keys, every key of [defaults](#defaults) may stand here.")
    if path == _NAMED_ORIGIN:
        said.append("Its keys are those of [origin](#origin).")
    return " ".join(said) + "\n"


def _table(parent: dict[str, Any], definitions: dict[str, Any], path: str) -> str:
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    required = parent.get("required", ())
    for key, node in _keys(parent, path):
        form = _form(node, definitions, f"{path}{key}")
        default = "**required**" if key in required else _default(node)
        own = node.get("description")
        about = own or definitions[_held(node, definitions)[0]]["description"]
        rows.append(f"| `{key}` | {form} | {default} | {_plain(about)} |")
    return "\n".join(rows) + "\n"


def _form(node: dict[str, Any], definitions: dict[str, Any], path: str) -> str:
    """What a key may hold, in a few words."""
    match node:
        case {"$ref": _}:
            return _named_form(_referred(node), definitions, path)
        case {"enum": choices}:
            return ", ".join(f"`{choice}`" for choice in choices if choice is not False)
        case {"anyOf": forms}:
            some = [one for one in forms if one.get("type") != "null"]
            return " or ".join(_form(one, definitions, path) for one in some)
        case {"items": item}:
            return f"list of: {_form(item, definitions, f'{path}[]')}"
        case _:
            value = node["additionalProperties"]
            return f"by name: {_form(value, definitions, f'{path}.NAME')}"


def _named_form(name: str, definitions: dict[str, Any], path: str) -> str:
    """A kind in words, choices as they are, a section as a link to what is said of it."""
    if name in _WORDS:
        return _WORDS[name]
    if "properties" in definitions[name]:
        return f"[{path}](#{_anchor(path)})"
    return _form(definitions[name]["anyOf"][0], definitions, path)


def _default(node: dict[str, Any]) -> str:
    match node.get("default"):
        case None | []:
            return "-"
        case bool() as flag:
            return f"`{'on' if flag else 'off'}`"
        case list() as items:
            return f"`[{', '.join(map(str, items))}]`"
        case 0.0 if _referred(node) == "factor":
            return "`off`"
        case value:
            return f"`{value}`"


def _plain(prose: str) -> str:
    """On one line, and with nothing that Markdown would take for its own."""
    return " ".join(prose.split()).replace("*", "\\*").replace("|", "\\|")


def _anchor(heading: str) -> str:
    """What Markdown makes of a heading, for links to it."""
    return "".join(letter for letter in heading.lower() if letter.isalnum() or letter in "-_")


if __name__ == "__main__":
    sys.stdout.write(text())

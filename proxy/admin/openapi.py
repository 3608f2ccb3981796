"""/openapi.json (OpenAPI 3.1), from the same table and models that requests are judged by.

What belongs to the conventions of other systems is not in it: its verbs have no place there.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from proxy import __version__
from proxy.admin.answers import JSON
from proxy.admin.operations import Documented, Operation
from proxy.admin.problems import PROBLEM_JSON, Problem

_Mode: TypeAlias = Literal["validation", "serialization"]
_Schema: TypeAlias = dict[str, Any]

_REFERENCE: Final = "#/components/schemas/{model}"
_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_ALWAYS: Final = (HTTPStatus.FORBIDDEN,)
"""The guards refuse pages of other sites whatever they ask for."""
_WITH_TOKEN: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE)


def document(operations: Iterable[Operation]) -> bytes:
    """The description of those operations that are documented."""
    documented = [one for one in operations if one.documented is not None]
    references, schemas = _schemas(documented)
    paths: dict[str, _Schema] = {}
    for operation in documented:
        item = paths.setdefault(operation.path.replace(":rest}", "}"), {})
        item[operation.method.lower()] = _operation(operation, references)
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": "Warmfront admin API",
            "version": __version__,
            "description": "Forget, look at and warm what the cache holds.",
        },
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _SECURITY},
    }
    return json.dumps(described).encode()


class _References:
    """Where the schema of a model stands."""

    def __init__(self, found: Mapping[Any, _Schema]) -> None:
        self._found = found

    def of(self, models: Sequence[type[BaseModel]], mode: _Mode) -> _Schema:
        """A reference to one model, or to any of several."""
        references = [self._found[model, mode] for model in models]
        return references[0] if len(references) == 1 else {"anyOf": references}


def _schemas(operations: Iterable[Operation]) -> tuple[_References, _Schema]:
    wanted: dict[tuple[type[BaseModel], _Mode], None] = {(Problem, "serialization"): None}
    for operation in operations:
        wanted.update(dict.fromkeys(_models(_about(operation))))
    found, schema = models_json_schema(list(wanted), ref_template=_REFERENCE)
    return _References(found), schema.get("$defs", {})


def _models(about: Documented) -> Iterator[tuple[type[BaseModel], _Mode]]:
    if about.body is not None:
        yield about.body, "validation"
    for models in about.answers.values():
        for model in models:
            yield model, "serialization"


def _operation(operation: Operation, references: _References) -> _Schema:
    about = _about(operation)
    described: _Schema = {
        "summary": about.summary,
        "operationId": operation.handler.__name__,
        "parameters": [*_path_parameters(operation), *_query_parameters(about.query)],
        "responses": _responses(operation, references),
        "security": [] if operation.role is None else [{name: []} for name in _SECURITY],
    }
    if operation.role is not None:
        described["description"] = f"Needs a token of role `{operation.role.label}`."
    if about.body is not None:
        schema = references.of([about.body], "validation")
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    return described


def _path_parameters(operation: Operation) -> Iterator[_Schema]:
    for name in operation.parameters:
        schema = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(model: type[BaseModel] | None) -> Iterator[_Schema]:
    if model is None:
        return
    schema = model.model_json_schema()
    for name, described in schema["properties"].items():
        yield {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": {key: value for key, value in described.items() if key != "description"},
            "description": described.get("description", ""),
        }


def _responses(operation: Operation, references: _References) -> _Schema:
    about = _about(operation)
    content: dict[HTTPStatus, _Schema] = {
        status: {JSON: {"schema": references.of(models, "serialization")}}
        for status, models in about.answers.items()
    }
    refusals = {*about.refusals, *_ALWAYS}
    if operation.role is not None:
        refusals.update(_WITH_TOKEN)
    problem = {"schema": references.of([Problem], "serialization")}
    for status in refusals:
        content.setdefault(status, {})[PROBLEM_JSON] = problem
    return {
        str(status.value): {"description": status.phrase, "content": content[status]}
        for status in sorted(content)
    }


def _about(operation: Operation) -> Documented:
    assert operation.documented is not None  # noqa: S101 - chosen by this
    return operation.documented

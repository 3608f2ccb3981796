"""The JSON Schema agrees with the loader."""

from io import StringIO
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from proxy.settings import SettingsError
from proxy.settings.loading import settings_from
from proxy.settings.schema import json_schema

VALIDATOR = Draft202012Validator(json_schema())


def json_of(text: str) -> Any:
    """`text` as an editor sees it: YAML 1.2 types, and keys that are text."""
    return _with_text_keys(YAML(typ="safe", pure=True).load(StringIO(text)))


def _with_text_keys(node: Any) -> Any:
    match node:
        case dict():
            return {str(key): _with_text_keys(value) for key, value in node.items()}
        case list():
            return [_with_text_keys(item) for item in node]
        case _:
            return node


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "text",
    [
        "listen: :80",
        'listen: [":80", "[::1]:80", unix:/run/w.sock]',
        "tls: {cert: a, key: b}",
        "tls: null",
        "workers: 1",
        "workers: auto",
        "origin: {url: http://a, timeouts: {connect: 5s}, tls: {verify: off, ca: null}}",
        "origin:\n  url: ${ORIGIN:-http://a}\n  tls:\n    verify: ${VERIFY:-on}",
        "limits:\n  headers: ${N:-5}\n  header_size: 64 KiB",
        "drain_timeout: 0",
        "drain_timeout: 1h 30m",
        "defaults: {cache: true, negative_ttl: {404: 1s}, set_cookie: strip}",
        "routes: [{match: {path: /a, headers: {X-A: 1}}, tags: [1.10], ttl: 5m}]",
        "routes: [{response_headers: {set: {X-A: no}}, cache: off}]",
        "log: {level: debug, format: json, access: off}",
        "store: {redis: {url: redis+cluster://a, password: 1234, version: 2, fill_lock: off}}",
        "store: {redis: {url: unix:/run/redis.sock, max_object_size: null}}",
        "admin: off",
        "admin: {listen: ':81', token: '${TOKEN:-0123456789abcdef}'}",
        "admin: {listen: [':81'], tokens: [{token: 0123456789abcdef, role: read}]}",
        "purge: {wait: 0, max_lag: 5s}",
        "routes: [{tags: ['a:{query.b}:{header.X-C}'], strip_tags: off}]",
    ],
)
def test_both_accept(text: str) -> None:
    settings_from(text, file="c.yaml", env={})
    VALIDATOR.validate(json_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "listen: 8080",
        "listen: []",
        "listn: :80",
        "tls: {cert: a}",
        "workers: many",
        "origin: {url: api:8000}",
        "drain_timeout: 30",
        "drain_timeout: 30 sec",
        "drain_timeout: -1s",
        "limits: {header_size: 64k}",
        "limits: {headers: 0}",
        "defaults: {cache: yes}",
        "defaults: {set_cookie: stripped}",
        "routes: {}",
        "routes: [{tll: 5s}]",
        "routes: [{match: {path: a}}]",
        "routes: [{tags: ['a b']}]",
        "log: {level: loud}",
        "store: {redis: {}}",
        "store: {redis: {url: http://a}}",
        "admin: on",
        "admin: {token: short}",
        "admin: {tokens: [{token: 0123456789abcdef, role: root}]}",
    ],
)
def test_both_refuse(text: str) -> None:
    with pytest.raises(SettingsError):
        settings_from(text, file="c.yaml", env={})
    assert not VALIDATOR.is_valid(json_of(text))


@pytest.mark.parametrize(
    ("definition", "key", "default"),
    [
        ("Timeouts", "connect", "5s"),
        ("Limits", "header_size", "32KiB"),
        ("Limits", "headers", 200),
        ("Caching", "cache", True),
        ("Caching", "set_cookie", "bypass"),
        ("Origin", "host", "preserve"),
        ("Admin", "listen", "127.0.0.1:8081"),
        ("Purge", "write_wait", "250ms"),
        ("Redis", "namespace", "wf"),
        ("TokenRole", "role", "admin"),
    ],
)
def test_defaults_read_as_in_yaml(definition: str, key: str, default: object) -> None:
    assert json_schema()["$defs"][definition]["properties"][key]["default"] == default

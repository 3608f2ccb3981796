"""config/ is kept current: defaults, examples and schema."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from proxy.redis_link.options import Mode, RedisOptions
from proxy.settings import Redis, Settings, defaults, load, reference, routes_of
from proxy.settings import schema as schema_module
from proxy.settings.loading import settings_from
from proxy.settings.section import Section

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
DEFAULT = CONFIG / "default.yaml"
SECRETS = {"PURGE_TOKEN": "0123456789abcdef", "READ_TOKEN": "fedcba9876543210"}
EXAMPLES = sorted((CONFIG / "examples").glob("*.yaml"))


def with_sample_routes(text: str) -> str:
    """`text` with the routes that it shows as a comment."""
    start, end = text.index("routes: []"), text.index("\n\n", text.index("routes: []"))
    shown = text[start:end].replace("routes: []", "routes:")
    return text[:start] + re.sub("(?m)^#", "", shown) + text[end:]


def with_sample_origins(text: str) -> str:
    """`text` with the origins that it shows as a comment."""
    start = text.index("origins: {}")
    end = text.index("\n\n", start)
    shown = text[start:end].replace("origins: {}", "origins:")
    return text[:start] + re.sub("(?m)^#", "", shown) + text[end:]


def with_sample_redis(text: str) -> str:
    """`text` with Redis as it is shown as a comment."""
    start = text.index("  redis: null")
    end = text.index("\n\n", start)
    shown = text[start:end].replace("redis: null", "redis:")
    return text[:start] + re.sub("(?m)^#(?= +[a-z])", "", shown) + text[end:]


def keys_of(node: object, path: str = "") -> set[str]:
    """Paths of all keys in plain data, items of lists as []."""
    if isinstance(node, dict):
        below = (keys_of(value, f"{path}.{key}") for key, value in node.items())
        return set().union({f"{path}.{key}" for key in node}, *below)
    if isinstance(node, list):
        return set().union(*(keys_of(item, f"{path}[]") for item in node))
    return set()


def keys_in(section: type[Section], path: str = "") -> set[str]:
    """Paths of all keys that the models know."""
    found = set()
    for name, field in section.model_fields.items():
        found.add(f"{path}.{name}")
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found |= keys_in(field.annotation, f"{path}.{name}")
    return found


def test_default_yaml_is_the_defaults() -> None:
    settings = load(DEFAULT, {})
    assert settings.origin.url is not None
    assert settings == defaults().with_overrides(origin=settings.origin.url)


def test_default_yaml_has_every_key() -> None:
    present = keys_of(YAML(typ="safe", pure=True).load(DEFAULT))
    assert keys_in(Settings) <= present


def test_default_yaml_shows_routes_that_load() -> None:
    text = with_sample_routes(DEFAULT.read_text())
    first, second = settings_from(text, file="default.yaml", env={}).routes
    assert first.match.model_fields_set == type(first.match).model_fields.keys()
    assert {"match", "tags"} <= first.model_fields_set
    assert {"match", "purge"} <= second.model_fields_set


def test_default_yaml_shows_origins_that_load() -> None:
    text = with_sample_origins(DEFAULT.read_text())
    search = settings_from(text, file="default.yaml", env={}).origins["search"]
    assert len(search.servers) > 1


def test_default_yaml_shows_redis_with_every_key_and_its_default() -> None:
    text = with_sample_redis(DEFAULT.read_text())
    redis = settings_from(text, file="default.yaml", env={}).store.redis
    assert redis is not None
    shown = YAML(typ="safe", pure=True).load(text)["store"]
    assert keys_in(Redis, ".redis") <= keys_of(shown)
    assert redis.options() == RedisOptions()
    assert redis == Redis(url="redis://127.0.0.1:6379/0", mode=Mode.STANDALONE)


def test_there_are_examples() -> None:
    assert [file.stem for file in EXAMPLES] == [
        "fleet-redis",
        "json-api-with-tags",
        "one-origin",
        "static-and-api",
    ]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_example_loads(file: Path) -> None:
    settings = load(file, SECRETS)
    assert settings.require_origin()
    assert len(routes_of(settings)[0]) == len(settings.routes)


@pytest.mark.parametrize("file", [DEFAULT, *EXAMPLES], ids=lambda file: file.stem)
def test_files_fit_the_schema(file: Path) -> None:
    text = re.sub(r"\b(404|410):", r"'\1':", file.read_text())  # JSON has text keys only
    document = YAML(typ="safe", pure=True).load(text)
    Draft202012Validator(schema_module.json_schema()).validate(document)


@pytest.mark.parametrize(
    ("module", "written"),
    [("schema", "config/schema.json"), ("reference", "docs/configuration.md")],
)
def test_what_is_written_from_the_settings_is_current(module: str, written: str) -> None:
    made = subprocess.run(
        [sys.executable, "-m", f"proxy.settings.{module}"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout
    assert made.decode() == (ROOT / written).read_text(), "run: make schema"


def test_the_reference_tells_of_every_key() -> None:
    _, *sections = re.split("(?m)^## ", reference.text())
    told = {
        f".{section.splitlines()[0]}.{key}".removeprefix(".Top level")
        for section in sections
        for key in re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    }
    assert keys_in(Settings) <= told
    assert {".routes[].match", ".routes[].match.path", ".store.redis.tls.ca"} <= told

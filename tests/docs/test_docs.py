"""What the pages say can be done: their settings load, their commands parse, their links lead."""

import re
import subprocess
from pathlib import Path

import pytest
import typer
import typer.main
from typer.core import TyperGroup

from proxy import settings
from proxy.cli.commands import app
from proxy.problems import Problem
from proxy.rfc9111.reasons import Reason
from proxy.settings.advice import Machine, advise
from proxy.settings.loading import settings_from
from tests.docs.pages import PAGES, ROOT, SHELLS, Block, Page, blocks, commands

ELSEWHERE = ("Kubernetes", "compose")
"""What a first-line comment calls YAML that is not Warmfront's."""

ENVIRONMENT = {
    "WARMFRONT_ADMIN_TOKEN": "0123456789abcdef",
    "PURGE_TOKEN": "fedcba9876543210",
    "READ_TOKEN": "0f1e2d3c4b5a6978",
    "REDIS_PASSWORD": "secret",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "CREDENTIALS_DIRECTORY": "/run/credentials/warmfront.service",
}


def _group() -> TyperGroup:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


COMMANDS = _group().commands

MIGRATIONS = [page for page in PAGES if page.path.stem.startswith("migrating-")]
CACHING = settings.Caching.model_fields
ROUTE = settings.Route.model_fields.keys() - CACHING
TOP = settings.Settings.model_fields


def is_ours(block: Block) -> bool:
    return not block.text.startswith(tuple(f"# {name}" for name in ELSEWHERE))


@pytest.mark.parametrize("block", [one for one in blocks("yaml") if is_ours(one)], ids=str)
def test_yaml_loads_and_draws_no_warning(block: Block) -> None:
    text = re.sub(r"@\{(\w+)\}", lambda found: str(len(found[1])), block.text)  # by a benchmark
    assert warnings_of(text, str(block)) == []


def warnings_of(text: str, file: str) -> list[Problem]:
    """What `warmfront check` would say of a file with this text, which must be valid."""
    read = settings_from(text, file=file, env=ENVIRONMENT)
    settings.routes_of(read)
    return advise(read, None, Machine(cores=8))


def test_yaml_is_called_so() -> None:
    assert blocks("yml") == []


@pytest.mark.parametrize("block", blocks(*SHELLS), ids=str)
def test_shell_parses(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)


@pytest.mark.parametrize("block", blocks(*SHELLS), ids=str)
def test_commands_of_ours_parse(block: Block) -> None:
    for words in commands(block.text):
        arguments = arguments_for_us(words)
        if arguments is not None:
            parse(arguments)


@pytest.mark.parametrize("block", blocks(*SHELLS), ids=str)
def test_targets_of_make_exist(block: Block) -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in commands(block.text):
        assert words[:1] != ["make"] or set(words[1:]) <= targets, words


def arguments_for_us(words: list[str]) -> list[str] | None:
    """What `warmfront` is called with, also by another program; None where it is not called."""
    for number, word in enumerate(words):
        first = number == 0 or "=" in words[number - 1]
        known = number + 1 < len(words) and words[number + 1] in COMMANDS
        if Path(word).name == "warmfront" and (first or known):
            return words[number + 1 :]
    return None


def parse(arguments: list[str]) -> None:
    """As the command line would; it says what it does not understand."""
    if arguments == ["--version"]:
        return
    name, *rest = arguments
    try:
        COMMANDS[name].make_context(name, rest)
    except typer.Exit:  # of --help
        return


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_in_the_text_exist(page: Page) -> None:
    for code in page.code:
        name, *words = code.removeprefix("warmfront ").split()
        if not code.startswith("warmfront ") or name.startswith("-"):
            continue
        assert name in COMMANDS, code
        flags = {flag for option in COMMANDS[name].params for flag in option.opts}
        assert {word for word in words if word.startswith("-")} <= flags, code


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Page) -> None:
    pages = {other.path: other for other in PAGES}
    for link in page.links:
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.path.parent / file).resolve() if file else page.path
        assert target.exists(), link
        assert not anchor or anchor in pages[target].anchors, link


MADE = {"config/prometheus/warmfront.token"}
"""What a reader makes by the commands that name it."""


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_that_are_named_exist(page: Page) -> None:
    named = re.findall(r"(?<![\w./:-])((?:config|docs|proxy|tests|\.ci)/[\w./-]*\w)", page.text)
    assert [name for name in named if not (ROOT / name).exists() and name not in MADE] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_reasons_exist(page: Page) -> None:
    told = set(re.findall(r"detail=([a-z-]+)", page.text))
    assert told <= {reason.value for reason in Reason}


def test_every_page_is_in_the_index() -> None:
    index = Page(ROOT / "docs" / "README.md")
    linked = {(index.path.parent / link.partition("#")[0]).resolve() for link in index.links}
    assert {page.path for page in PAGES if page.path != index.path} <= linked
    assert "docs/README.md" in Page(ROOT / "README.md").links


@pytest.mark.parametrize("page", MIGRATIONS, ids=str)
def test_what_replaces_a_directive_loads(page: Page) -> None:
    """The last cell of each row; keys of a route may stand there alone."""
    snippets = [
        code
        for *_, last in page.tables
        for code in re.findall(r"`([^`]+)`", last.replace("\\|", "|"))
        if re.match(r"[a-z_]+: ", code)
    ]
    assert len(snippets) > 10
    for snippet in snippets:
        assert warnings_of(whole(snippet), snippet) == []


def whole(snippet: str) -> str:
    """A file that holds the snippet where its first key belongs."""
    key = snippet.partition(":")[0]
    if key in CACHING:
        return f"defaults:\n  {snippet}\n"
    if key in ROUTE and (key not in TOP or re.match(r"\w+: \[", snippet)):
        return f"routes:\n  - {snippet}\n"
    return snippet


@pytest.mark.parametrize(
    ("snippet", "place"),
    [("ttl: 5m", "defaults"), ("tags: [a]", "routes"), ("listen: :80", "listen")],
)
def test_a_snippet_goes_where_its_key_belongs(snippet: str, place: str) -> None:
    assert whole(snippet).startswith(place)


def test_nothing_is_skipped_because_of_how_it_is_written() -> None:
    """Each fenced block says what it is, so that one of the tests sees it."""
    known = {"", "yaml", "sh", "python", "ruby", "javascript", "mermaid", "nginx", "vcl"}
    assert {block.language for page in PAGES for block in page.blocks} <= known

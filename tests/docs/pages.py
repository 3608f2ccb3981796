"""The documentation as its readers take it: pages, headings, links, fenced blocks, commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]

SHELLS = ("sh", "bash")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_OPERATORS = re.compile(r"[();<>|&]+")


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its first line of content."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Page:
    """A file of Markdown."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(
            Block(str(self), self.text.count("\n", 0, found.start(2)) + 1, found[1], found[2])
            for found in _FENCE.finditer(self.text)
        )

    @cached_property
    def prose(self) -> str:
        """All but the fenced blocks."""
        return _FENCE.sub("", self.text)

    @property
    def code(self) -> list[str]:
        """What stands between single backticks."""
        return _CODE.findall(self.prose)

    @property
    def links(self) -> list[str]:
        return [one or other for one, other in _LINK.findall(_CODE.sub("", self.prose))]

    @cached_property
    def anchors(self) -> set[str]:
        """Where links into the page may lead, as Markdown names headings on the usual hosts."""
        found: set[str] = set()
        for heading in _HEADING.findall(self.prose):
            plain = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            numbered = (f"{plain}-{number}" for number in range(1, 100))
            found.add(plain if plain not in found else next(n for n in numbered if n not in found))
        return found

    @property
    def tables(self) -> Iterator[list[str]]:
        """The cells of each row of each table but the rules."""
        for line in self.prose.splitlines():
            if line.startswith("|") and not re.fullmatch(r"[|\-: ]+", line):
                yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


PAGES = tuple(
    Page(path)
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
)


def blocks(*languages: str) -> list[Block]:
    """Those of all pages that are in one of these languages."""
    return [block for page in PAGES for block in page.blocks if block.language in languages]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each simple command of a shell's text; pipes, lists and redirections split."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if _OPERATORS.fullmatch(word):
                yield words
                words = []
            else:
                words.append(word)
        yield words

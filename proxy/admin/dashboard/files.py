"""What browsers load: files of the package, read once, and the rules that go with them."""

import hashlib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Template
from typing import Final

from proxy.admin.answers import bare
from proxy.exchange import Incoming, Outgoing
from proxy.rfc9111.messages import Headers

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing inline, nothing from elsewhere, in nobody's frame."""

_RULES: Final = (
    ("Content-Security-Policy", POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),  # without any a form would come from Origin null
    ("X-Frame-Options", "DENY"),
)
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_HTML: Final = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class File:
    """A file to load."""

    content: bytes
    content_type: str
    etag: str

    def answer(self, incoming: Incoming) -> Outgoing:
        """It, or 304 to who has it already."""
        headers = Headers(
            [
                ("Cache-Control", "no-cache"),
                ("ETag", self.etag),
                ("X-Content-Type-Options", "nosniff"),
                *_RULES,
            ]
        )
        if self.etag in incoming.request.headers.getall("If-None-Match", ()):
            status = HTTPStatus.NOT_MODIFIED
            return Outgoing(status.value, status.phrase, headers)
        headers.add("Content-Type", self.content_type)
        status = HTTPStatus.OK
        return Outgoing(status.value, status.phrase, headers, self.content, len(self.content))


@cache
def assets() -> Mapping[str, File]:
    """All files by their path below `static`; pages are not among them."""
    return dict(_found(_root(), ""))


def page(
    name: str,
    values: Mapping[str, str],
    status: HTTPStatus = HTTPStatus.OK,
    fields: Sequence[tuple[str, str]] = (),
) -> Outgoing:
    """A page with `values` in it."""
    escaped = {key: html.escape(value) for key, value in values.items()}
    body = _template(name).substitute(escaped).encode()
    return bare(status, body, _HTML, (*_RULES, *fields))


@cache
def _template(name: str) -> Template:
    return Template((_root() / name).read_text(encoding="utf-8"))


def _root() -> Traversable:
    return files(__package__ or "") / "static"


def _found(folder: Traversable, path: str) -> list[tuple[str, File]]:
    found: list[tuple[str, File]] = []
    for one in folder.iterdir():
        extension = one.name.rpartition(".")[2]
        if one.is_dir():
            found += _found(one, f"{path}{one.name}/")
        elif extension in _TYPES:
            content = one.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found.append((f"{path}{one.name}", File(content, _TYPES[extension], etag)))
    return found

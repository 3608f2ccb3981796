"""What settings are made from, so that another process can make the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.problems import Problem
from proxy.settings.advice import Machine, advise
from proxy.settings.document import Document
from proxy.settings.loading import defaults, loaded_from, read_text
from proxy.settings.models import Settings


@dataclass(frozen=True, slots=True)
class Recipe:
    """A file as it was when it was read, and what the command line says instead.

    Attributes:
        file: Its name, for messages.
        text: What stood in it; None without a file.
        flags: As `Settings.with_overrides` takes them.
    """

    file: str
    text: str | None
    flags: Mapping[str, Any]

    @classmethod
    def read(cls, file: Path | None, flags: Mapping[str, Any]) -> "Recipe":
        """Read the file, if there is one; raises SettingsError."""
        return cls(str(file), None if file is None else read_text(file), flags)

    def settings(self, env: Mapping[str, str]) -> Settings:
        """What it comes to; raises SettingsError, also where no origin is named."""
        found, _ = self._read(env)
        found.require_origin()
        return found

    def advice(self, env: Mapping[str, str], machine: Machine) -> list[Problem]:
        """What in it is likely to be a mistake; raises SettingsError."""
        return advise(*self._read(env), machine)

    def _read(self, env: Mapping[str, str]) -> tuple[Settings, Document | None]:
        if self.text is None:
            return defaults().with_overrides(**self.flags), None
        found = loaded_from(self.text, file=self.file, env=env)
        return found.settings.with_overrides(**self.flags), found.document

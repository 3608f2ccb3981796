"""Builds the accelerators with the package; where there is no C compiler, Python does it all.

What they accelerate are `proxy/server/plain.py`, `proxy/splicing.py` and `proxy/journal.py`.
WARMFRONT_PURE_PYTHON=1 leaves them out, here and at run time.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.errors import BaseError

SOURCES = {
    "proxy._journal": "proxy/_journal.c",
    "proxy._splice": "proxy/_splice.c",
    "proxy.server._plain": "proxy/server/_plain.c",
}
"""Each module, and what it is made of."""


class AcceleratorHook(BuildHookInterface[Any]):
    """Adds the compiled modules to wheels; puts each beside its source for editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See BuildHookInterface."""
        if os.environ.get("WARMFRONT_PURE_PYTHON"):
            return
        try:
            built = [
                compile_accelerator(Path(self.root), module, source)
                for module, source in SOURCES.items()
            ]
        except (BaseError, OSError) as error:
            self.app.display_warning(f"No accelerators, which only costs speed: {error}")
            return
        if version != "editable":
            for path in built:
                build_data["force_include"][str(path)] = str(path.relative_to(self.root))
            build_data["pure_python"] = False
            build_data["infer_tag"] = True


def compile_accelerator(root: Path, module: str, source: str) -> Path:
    """Compile one module into the source tree; returns where it is.

    Raises:
        BaseError: There is no compiler.
        OSError: It refused, or the file cannot be written.
    """
    extension = Extension(module, [str(root / source)], extra_compile_args=_FLAGS, optional=True)
    command = Distribution({"ext_modules": [extension]}).get_command_obj("build_ext")
    with tempfile.TemporaryDirectory() as folder:
        command.build_lib = command.build_temp = folder
        command.ensure_finalized()
        command.run()
        name = command.get_ext_filename(module)
        target, beside = root / name, root / f"{name}.new"
        shutil.copyfile(Path(folder, name), beside)
        beside.replace(target)  # written over, it would crash whoever runs it now
    return target


_FLAGS = [] if sys.platform == "win32" else ["-O3"]

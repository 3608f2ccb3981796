"""On PYTHONPATH: a Warmfront that is started finds no uvloop. See the Makefile, `test-plain`."""

import sys

if any(part == "proxy" or part.endswith("warmfront") for part in sys.orig_argv):
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # importing it is an ImportError now

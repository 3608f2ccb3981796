# Needs Python 3.11 or later and nothing else: every target makes what it needs in .venv.

PYTHON ?= $(shell command -v python3 || command -v python3.11 || echo python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet
STAMPS := $(VENV)/.stamps

NATIVE  := hatch_build.py $(wildcard proxy/*.c proxy/server/*.c)
SOURCES := pyproject.toml README.md LICENSE $(NATIVE) $(shell find proxy -name '*.py' -o -name 'py.typed')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-plain check bench schema dist clean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMPS)/demo ## a small sample API with Warmfront in front of it, until Ctrl-C
	@$(BIN)/warmfront demo

# Four at a time, however few cores there are: many tests wait for something.
test: $(STAMPS)/test ## all tests
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile

# In-process tests have both loops anyway; this is for processes that are started.
test-plain: $(STAMPS)/test ## the tests of what has C or another loop, without either
	WARMFRONT_PURE_PYTHON=1 PYTHONPATH=$(CURDIR)/tests/plain $(BIN)/python -m pytest --numprocesses 4 \
		--dist loadfile tests/server tests/gateway tests/wire tests/stores tests/running \
		tests/apis tests/cli/test_run.py tests/test_app.py tests/test_journal.py

check: $(STAMPS)/check ## format, lint, types, layers, coverage of the core by its own tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/rfc9111 --cov=proxy.rfc9111 --cov-branch --cov-fail-under=100

bench: $(STAMPS)/bench ## side by side with nginx and Varnish; writes docs/benchmarks.md (half an hour)
	$(BIN)/python -m tests.bench --write

schema: $(STAMPS)/test ## write config/schema.json, docs/configuration.md, docs/reasons.md, docs/metrics.md anew
	$(BIN)/python -m proxy.settings.schema > config/schema.json
	$(BIN)/python -m proxy.settings.reference > docs/configuration.md
	$(BIN)/python -m proxy.explain.reference > docs/reasons.md
	$(BIN)/python -m proxy.metrics.reference > docs/metrics.md

dist: $(STAMPS)/test ## build sdist and wheel into dist/
	$(BIN)/python -m hatchling build

clean: ## remove the environment and what the tools left behind
	rm -rf $(VENV) build dist .coverage htmlcov .hypothesis .import_linter_cache \
		proxy/*.so proxy/server/*.so .mypy_cache .pytest_cache .ruff_cache

# A stamp says what an environment holds, so that a second run installs nothing.
# `demo` installs as a user does; where the tests already installed in place, that serves as well.
$(STAMPS)/demo: $(STAMPS)/venv $(SOURCES)
	@test -e $(STAMPS)/test || { echo "installing Warmfront into $(VENV)"; $(PIP) .; }
	@touch $@

$(STAMPS)/test: $(STAMPS)/venv pyproject.toml $(NATIVE)
	$(PIP) --editable '.[test]'
	@touch $@

$(STAMPS)/bench: $(STAMPS)/test
	$(PIP) --editable '.[bench]'
	@touch $@

$(STAMPS)/check: $(STAMPS)/test
	$(PIP) --editable '.[check]'
	@touch $@

# Debian splits ensurepip off into python3-venv; a pip of the system's own can stand in for it.
$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || \
		{ $(PYTHON) -m venv --clear --without-pip $(VENV) && \
		  $(PYTHON) -m pip --quiet --python $(BIN)/python install pip; } || \
		{ echo "$(PYTHON) cannot make environments: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@mkdir -p $(STAMPS) && touch $@

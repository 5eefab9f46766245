# `make check` is the one command: it needs python3 (3.11 or later) and nothing else.
#
# It keeps a virtual environment in .venv and installs into it again when pyproject.toml changes.
# To use an environment of your own, which must have `pip install -e .[test]` done:
#     make check PYTHON=path/to/python

SHELL := /bin/sh
.DEFAULT_GOAL := check
.DELETE_ON_ERROR:
.PHONY: check check-full check-oldest lint bench bench-check fuzz docs format clean

# Processes the tests run in, and minutes that `make fuzz` takes.
JOBS ?= 2
MINUTES ?= 10

ifneq ($(strip $(PYTHON)),)
READY :=
else
override PYTHON := .venv/bin/python
READY := .venv/installed
endif

# $(call make-venv,FOLDER): the first Python on the PATH that is new enough makes the environment,
# unless it is there.
define make-venv
@if $(1)/bin/python -m pip --version >/dev/null 2>&1; then exit 0; fi; \
found=; \
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
    if command -v $$candidate >/dev/null 2>&1 && \
       $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
        found=$$candidate; break; \
    fi; \
done; \
if [ -z "$$found" ]; then \
    echo "make: Rolecall needs Python 3.11 or later; there is no such python3 on the PATH." >&2; \
    echo "make: install one, or name it: make $(or $(MAKECMDGOALS),check) PYTHON=path/to/python" >&2; \
    exit 1; \
fi; \
echo "$$found -m venv $(1)"; \
"$$found" -m venv --clear $(1) || { \
    echo "make: $$found cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)." >&2; \
    exit 1; \
}
endef

check: lint
	$(PYTHON) -m pytest -n $(JOBS)

check-full: export ROLECALL_TEST_PROFILE = full
check-full: export ROLECALL_RECORD = .cache/compared
check-full: lint
	rm -rf $(ROLECALL_RECORD)
	$(PYTHON) -m pytest -n $(JOBS) --full
	$(PYTHON) -m tools.docs --compared $(ROLECALL_RECORD)

# The tests with the oldest dependencies that pyproject.toml allows.
check-oldest: .venv-oldest/installed
	.venv-oldest/bin/python -m pytest -n $(JOBS)

lint: $(READY)
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m ruff check
	$(PYTHON) -m pyright --pythonpath $(PYTHON)
	$(PYTHON) -m tools.docs --check

# The peers that are measured beside ours go into our own environment only.
bench: $(READY) $(if $(READY),.venv/bench)
	$(PYTHON) -m benchmarks.throughput
	$(PYTHON) -m benchmarks.page

# Measures a part of that again, and fails where a figure fell by a third.
bench-check: $(READY) $(if $(READY),.venv/bench)
	$(PYTHON) -m benchmarks.check

# Random and mutated replies, over every format.
fuzz: $(READY)
	$(PYTHON) -m tests.fuzz --minutes $(MINUTES)

docs: $(READY)
	$(PYTHON) -m tools.docs

format: $(READY)
	$(PYTHON) -m ruff check --fix-only
	$(PYTHON) -m ruff format

clean:
	rm -rf .venv .venv-oldest .hypothesis .pytest_cache .ruff_cache dist

.venv/installed: pyproject.toml
	$(call make-venv,.venv)
	.venv/bin/python -m pip install --quiet --editable '.[test]'
	@touch $@

.venv/bench: .venv/installed
	.venv/bin/python -m pip install --quiet --editable '.[test,bench]'
	@touch $@

.venv-oldest/installed: pyproject.toml tests/oldest.txt
	$(call make-venv,.venv-oldest)
	.venv-oldest/bin/python -m pip install --quiet --constraint tests/oldest.txt --editable '.[test]'
	@touch $@

# callbot: `make demo` runs a call, `make test` runs the tests. Each works alone on a fresh clone with a Python 3.13 at hand.

PYTHON ?= $(shell for p in python3.13 python3.14 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 13))' >/dev/null 2>&1 && { command -v $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
# Calls of the live tests go at the pace of speech, so two processes are quicker even on one core.
TEST_PROCESSES ?= 2
RUN_READY := $(VENV)/.run-ready
DEV_READY := $(VENV)/.dev-ready

.PHONY: help demo test lint types bench instructions docs check lock clean

help:  ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "callbot needs Python 3.13 or newer: install it, or run 'make PYTHON=/path/to/python3.13 demo'." >&2; exit 2; }
	@"$(PYTHON)" -m venv $(VENV)

$(RUN_READY): requirements-demo.lock pyproject.toml | $(BIN)/python
	@echo "Installing callbot and what it needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-demo.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_READY): requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "Installing callbot and its tests' tools into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(RUN_READY)

-include image.mk

demo: $(RUN_READY)  ## place a call against the stand-ins and show it
	@$(BIN)/callbot demo $(ARGS)

test: $(DEV_READY)  ## run the tests
	@$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist worksteal $(ARGS)

lint: $(DEV_READY)  ## style and common mistakes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(DEV_READY)  ## mypy, strict
	@$(BIN)/mypy

bench: $(DEV_READY)  ## speed beside the bare bridge, as ratios of runs taken in turn (10 minutes, a quiet machine)
	@$(BIN)/python -m bench.run $(ARGS)

instructions: $(DEV_READY)  ## what the audio path costs in instructions, against limits (2 minutes, needs valgrind)
	@$(BIN)/python -m bench.instructions

docs: $(DEV_READY)  ## write .env.example and docs/settings.md from callbot/settings.py
	@$(BIN)/python -m docs.reference

check: lint types test  ## everything that CI runs

lock: $(BIN)/python  ## resolve the dependencies anew; needs uv
	@for set in "lock" "demo --group build --extra simulators" "dev --group build --group dev --extra simulators"; do \
	  set -- $$set; name=$$1; shift; out=requirements-$$name.lock; [ $$name = lock ] && out=requirements.lock; \
	  uv pip compile --quiet --python-version 3.13 --universal --generate-hashes \
	    --no-header --no-annotate "$$@" pyproject.toml -o $$out || exit 1; done

clean:  ## remove what was installed and made
	@rm -rf $(VENV) demo-out bench-out .pytest_cache .mypy_cache .ruff_cache

# The project's commands; `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

$(VENV)/.made: requirements-dev.lock pyproject.toml
	@echo "== Python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --requirement requirements-dev.lock
	@$(VENV)/bin/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

venv: $(VENV)/.made ## Make the development environment

check: venv ## Lint, types and unit tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/pyright
	$(VENV)/bin/pytest -q -n 2 tests/unit tests/contract

.PHONY: help venv check

# The project's commands; `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
# Where this is set every start compiles every module anew, which takes longer than all the rest.
unexport PYTHONDONTWRITEBYTECODE
WHEEL_VENV := build/wheel-venv

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' Makefile

demo: machine-demo venv ## Build the service, push, pull, bring it up beside MariaDB, play the order script
	@$(VENV)/bin/python demo-microservice/demo.py up

demo-down: venv ## Stop the demo and remove what it made
	@$(VENV)/bin/python demo-microservice/demo.py down

demo-docker: machine-demo venv ## The same by `docker compose`: on this machine's Docker, or in a test machine
	@$(VENV)/bin/python demo-microservice/demo_docker.py up

demo-docker-down: venv ## Remove it from this machine's Docker
	@$(VENV)/bin/python demo-microservice/demo_docker.py down

check: venv ## Lint, types and unit tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/pyright
	$(VENV)/bin/pytest -q -n 2 tests/unit tests/contract

test: machine-test venv wheel-venv ## Everything CI runs: checks, Rust, integration against the installed wheel, the demo
	@.ci/test

test-machines: machine-test venv wheel-venv ## The tests on Docker 28.5 and 26.1, containerd 2.1, 1.7 and 1.6
	@echo "== Debian roots with engines in them: two minutes each, at once; kept"
	@PYTHONPATH=tests/support $(WHEEL_VENV)/bin/python -m wasmimg_testing.machines
	@CI=$${CI:-true} $(WHEEL_VENV)/bin/pytest -q -n 2 --dist loadfile tests/machines

test-vm: machine-vm wheel-venv ## A container's life on cgroup v2 with systemd's driver, in a virtual machine
	@echo "== tests/vm: boots Debian in qemu, its processor emulated: this takes its time"
	@CI=$${CI:-true} $(WHEEL_VENV)/bin/pytest -v --durations=5 tests/vm

bench: machine-test venv ## Measure; prints a table and writes bench/results.json
	@$(VENV)/bin/python bench $(BENCH)

clean: ## Remove what builds and tests made here
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis $(VENV)
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

venv: $(VENV)/.made
$(VENV)/.made: requirements-dev.lock pyproject.toml
	@echo "== Python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --requirement requirements-dev.lock
	@$(VENV)/bin/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

# The wheel, installed without the source tree: what users get is what the tests run.
wheel-venv: venv
	@echo "== wheel, installed in $(WHEEL_VENV)"
	@rm -rf build/wheel && mkdir -p build
	@$(VENV)/bin/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir build/wheel .
	@test -e $(WHEEL_VENV)/.made -a $(WHEEL_VENV)/.made -nt requirements-dev.lock || { \
	  $(PYTHON) -m venv --clear $(WHEEL_VENV) && \
	  $(WHEEL_VENV)/bin/python -m pip install --quiet --requirement requirements-dev.lock && \
	  touch $(WHEEL_VENV)/.made; }
	@$(WHEEL_VENV)/bin/python -m pip install --quiet --no-deps --force-reinstall build/wheel/*.whl

machine-demo:
	@.ci/machine demo

machine-test:
	@.ci/machine test

machine-vm:
	@.ci/machine vm

.PHONY: help demo demo-down demo-docker demo-docker-down check test test-machines test-vm bench clean venv wheel-venv machine-demo machine-test machine-vm

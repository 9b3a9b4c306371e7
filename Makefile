# Reprieve. `make help` lists what can be done; everything happens in .venv and .reprieve beside this file.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# A distribution builds its Python for speed; one that was built by hand next to it often needs half as long again.
PYTHON ?= $(shell for python in /usr/bin/python3 python3; do \
	$$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; done; echo $$python)
VENV := .venv
BIN := $(VENV)/bin
DATA_DIR ?= .reprieve
# Modules run side by side, each with a database and brokers of its worker.
TEST_WORKERS ?= 2

# What stands in .venv is a function of the lock and of pyproject.toml; the stamps remember which.
RUNTIME := $(VENV)/.embedded-installed
DEVELOPMENT := $(VENV)/.dev-installed

.PHONY: help
help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: run
run: $(RUNTIME) ## install what is needed, start everything on this machine, push samples; Ctrl-C stops it
	@exec $(BIN)/reprieve up --demo --data-dir "$(DATA_DIR)"

.PHONY: setup
setup: $(DEVELOPMENT) ## make .venv with reprieve and the development tools in it

.PHONY: test
test: $(DEVELOPMENT) ## every test, on a real database and real brokers
	@$(BIN)/pytest -n $(TEST_WORKERS) --dist loadscope --no-loadscope-reorder $(TEST)

.PHONY: check
check: $(DEVELOPMENT) ## ruff, mypy, import-linter, drift of generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m shared.contracts.generate --check
	$(BIN)/python -m services.triage.policies.schema --check

.PHONY: fix
fix: $(DEVELOPMENT) ## let ruff mend what it can; write the schemas again
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m shared.contracts.generate
	$(BIN)/python -m services.triage.policies.schema

.PHONY: bench
bench: $(DEVELOPMENT) ## measure reading, memory, doors, deciding, triage, recording, lists, and push to settled; BENCH=NAME for one
	@$(BIN)/reprieve bench $(BENCH)

.PHONY: fuzz
fuzz: $(DEVELOPMENT) ## 200,000 hostile files (FUZZ="--seed s --only n" for one), then property tests at length
	@$(BIN)/python -m tests.ingest.fuzz $(FUZZ)
	@HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -m "not slow and not apache" --hypothesis-show-statistics $(TEST)

.PHONY: kafka
kafka: $(DEVELOPMENT) ## Apache Kafka itself, one node, until Ctrl-C (needs Java 17 and Maven)
	@exec $(BIN)/python -m tests.support.apache_kafka

.PHONY: env
env: ## write .env with fresh secrets for docker compose
	@test ! -e .env || { echo ".env exists already: its secrets belong to the data that is there." >&2; exit 1; }
	@"$(PYTHON)" deploy/make_env.py && echo "Wrote .env. Keep a copy of REPRIEVE_MASTER_KEY in a safe place."

.PHONY: lock
lock: ## resolve every dependency anew and write locks/ with hashes
	@test -x .cache/uv/bin/uv || { "$(PYTHON)" -m venv .cache/uv && .cache/uv/bin/pip install --quiet uv; }
	$(call resolve,server.txt,--extra build)
	$(call resolve,embedded.txt,--extra build --extra embedded)
	$(call resolve,dev.txt,--extra build --extra embedded --extra dev)

# No index URL and no header: a lock names no host and no machine.
define resolve
	.cache/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --upgrade $(2) --output-file locks/$(1) pyproject.toml
endef

.PHONY: clean
clean: ## remove .venv and caches; keeps the data in .reprieve
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "There is no $(PYTHON) here. Install Python 3.11 or later, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Reprieve needs Python 3.11 or later; $(PYTHON) is $$("$(PYTHON)" -V 2>&1). Name another: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { \
		rm -rf $(VENV); echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# --no-deps for reprieve itself: all that it needs has just come from the lock, the build backend included.
define install
	@echo "Installing locks/$(1) into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/$(1)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endef

$(RUNTIME): locks/embedded.txt pyproject.toml | $(BIN)/python
	$(call install,embedded.txt)
	@touch $@

$(DEVELOPMENT): locks/dev.txt pyproject.toml | $(BIN)/python
	$(call install,dev.txt)
	@touch $(RUNTIME) $@

# Bare `make` prints this help. Recipes are thin: what they do lives in `python -m <folder>`.

PYTHON ?= python3
BIN := .venv/bin
N ?= 1

.DEFAULT_GOAL := help
.PHONY: help run up down status logs scale-ingest scale-processors rolling-restart lag dead-letters requeue resume \
	replay reprice replay-status replay-rollback replay-finish test lint types unit integration acceptance \
	faults fuzz bench fmt lock

##@ Run

run: .venv/run.stamp ## Everything on this machine in the foreground; Ctrl-C stops all of it
	@exec $(BIN)/python -m infra run

up: .venv/run.stamp ## The same in the background; a no-op when it runs
	@$(BIN)/python -m infra up

down: .venv/run.stamp ## Stop it; the data in PATHLINE_HOME (.pathline/) stays
	@$(BIN)/python -m infra down

status: .venv/run.stamp ## Every process with pid, port and readiness; fails when one is down
	@$(BIN)/python -m infra status

logs: .venv/run.stamp ## Follow the logs of all processes
	@exec $(BIN)/python -m infra logs

scale-ingest: .venv/run.stamp ## Run N ingest processes on the one socket: make scale-ingest N=2
	@$(BIN)/python -m infra scale ingest $(N)

scale-processors: .venv/run.stamp ## Run N processors: make scale-processors N=4
	@$(BIN)/python -m infra scale processors $(N)

dead-letters: .venv/run.stamp ## List records that could not become events: make dead-letters WHICH='--reason no_value'
	@$(BIN)/python -m processors dead-letters list $(WHICH)

requeue: .venv/run.stamp ## Let the workers try them again: make requeue WHICH='--reason unknown_settings --all'
	@$(BIN)/python -m processors dead-letters requeue $(WHICH)

resume: .venv/run.stamp ## Let a generation go on that was stopped because too many records failed
	@$(BIN)/python -m processors resume

rolling-restart: .venv/run.stamp ## Start every stage anew, one process after the other, without a pause
	@$(BIN)/python -m infra rolling-restart

lag: .venv/run.stamp ## How far behind each partition is, and which worker has it
	@$(BIN)/python -m processors lag

replay: .venv/run.stamp ## Build all derived tables anew while everything goes on, and switch: make replay FROM=2026-11-01
	@$(BIN)/python -m processors replay $(if $(FROM),--from $(FROM))

reprice: replay ## The same, after an update of the prices

replay-status: .venv/run.stamp ## How far a replay is
	@$(BIN)/python -m processors replay-status

replay-rollback: .venv/run.stamp ## Serve the other generation; again: the first one
	@$(BIN)/python -m processors replay-rollback

replay-finish: .venv/run.stamp ## Drop the generation that is not served
	@$(BIN)/python -m processors replay-finish

##@ Check

test: lint types ## Lint, types, and every tier of tests on engines of their own: what CI runs
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/dev.stamp ## Style, format, and the one-way imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: .venv/dev.stamp ## mypy, strict, over packages and tests
	@$(BIN)/mypy

unit: .venv/dev.stamp ## The tests that need no engine
	@$(BIN)/python -m pytest tests/unit tests/tidy tests/docs

integration: .venv/dev.stamp ## The tests of one stage against real Kafka and Postgres
	@$(BIN)/python -m pytest tests/integration tests/migration

acceptance: .venv/dev.stamp ## The tests of the whole path
	@$(BIN)/python -m pytest tests/acceptance

faults: .venv/dev.stamp ## The kills and outages alone, outages in their long form
	@PATHLINE_FAULTS=long $(BIN)/python -m pytest tests/faults

fuzz: .venv/dev.stamp ## A million mutated inputs for the doors and decoders
	@$(BIN)/python -m tests.fuzz

##@ Develop

bench: .venv/dev.stamp ## Figures as ratios within one run; results in docs/benchmarks
	@PYTHONPATH=ingest/client $(BIN)/python -m tests.benchmarks

fmt: .venv/dev.stamp ## Format and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## Write the lock files anew from pyproject.toml (needs uv)
	@uv pip compile $(LOCK) pyproject.toml --group dev -o requirements/dev.txt
	@uv pip compile $(LOCK) -c requirements/dev.txt pyproject.toml -o requirements/run.txt
	@$(BIN)/python -m infra.local.jars > infra/local/jars.lock.new && mv infra/local/jars.lock.new infra/local/jars.lock

help: ## This
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

LOCK := --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal

# A stamp is newer than the lock file that it was installed from, so nothing is installed twice. dev.txt holds all of
# run.txt; after it nothing is missing for a run.

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Pathline needs Python 3.11 or newer: install it, or name it with `make PYTHON=/path/to/python3.12 ...`'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || \
		{ echo 'This Python has no venv: `apt-get install python3-venv` (or the like) brings it'; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/run.stamp: requirements/run.txt | .venv/bin/python
	@echo 'installing the libraries of requirements/run.txt into .venv'
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/run.txt
	@touch $@

.venv/dev.stamp: requirements/dev.txt requirements/run.txt | .venv/bin/python
	@echo 'installing the libraries of requirements/dev.txt into .venv'
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@touch .venv/run.stamp $@

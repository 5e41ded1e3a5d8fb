# make run       a running host from a fresh clone          make test      what CI runs
# make lint      style and types only, with repairs         make faults    the fault rows (ROUNDS=200 ROW=a1 SEED=...)
# make bench     performance beside its ceilings            make docs      pages made from the code
# make stubs     Python stubs of the gRPC protocol          make screenshots   the recorded session of the guide
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup run test lint check faults bench docs screenshots stubs constraints clean

BIN := .venv/bin
READY := .venv/.ready
ROUNDS ?= 200
WORKERS ?= 2
MEMBERS := $(wildcard host/pyproject.toml plugins/*/pyproject.toml)

help:
	@sed -n 's/^# //p' $(MAKEFILE_LIST)

# The stamp is newer than all that decides what is installed, so a second run installs nothing.
$(READY): pyproject.toml $(MEMBERS) requirements-dev.txt constraints.txt tools/setup
	@tools/setup

setup: $(READY)

# exec: the host takes the place of the shell, so that signals reach it.
run: $(READY)
	@exec $(BIN)/trunnion --config examples/quickstart/trunnion.toml up

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# On several workers, and at the end what is marked alone by itself: see tests/alone.py.
test: check
	$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term:skip-covered --durations=12

lint: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

# ROW: a1; a for all of a part; a1,b4; all rows without it. The page is written whatever the outcome is.
faults: $(READY)
	TRUNNION_FAULT_ROUNDS=$(ROUNDS) $(if $(SEED),TRUNNION_SEED=$(SEED)) $(BIN)/python -m pytest tests \
		-m "heavy or not heavy" -s --row $(or $(ROW),all) --reliability docs/reliability.json; \
	status=$$?; $(BIN)/python tools/write_reliability.py; exit $$status

bench: $(READY)
	$(BIN)/python -m bench $(ARGS)

docs: $(READY)
	$(BIN)/python tools/write_docs.py

screenshots: $(READY)
	$(BIN)/python tools/record_session.py

stubs: $(READY)
	$(BIN)/python tools/write_stubs.py

constraints:
	tools/pin

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* dist build

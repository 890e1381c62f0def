# What people and CI run. `make` prints this help.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN    := .venv/bin
ARGS   ?=
WORKERS ?= $(shell echo $$((2 * $$(nproc)))) # tests wait more than they work
SECONDS ?= 60
SEED   ?=

.DEFAULT_GOAL := help
.PHONY: help install run demo test chaos bench profile check format docs lock

help: ## print this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/installed ## make .venv from the lock file, again only when it changes

run: .venv/installed ## run the daemon; ARGS="--config FILE"
	$(BIN)/reflexd run $(ARGS)

demo: .venv/installed ## show the daemon beside a sample CRM; ARGS="--once" checks and exits
	$(BIN)/reflexd demo $(ARGS)

test: .venv/installed ## run every test, as CI does; ARGS="-k sentence"
	.ci/test-programs
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 10 $(ARGS)

chaos: .venv/installed ## break everything for a while; SECONDS=60 SEED=7, ARGS="--keep DIR"
	$(BIN)/python -m tests.chaos.run --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: .venv/installed ## measure, about 20 minutes; QUICK=1, N=leads, OUT=FILE.json, ARGS="burst idle"
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(N),--leads $(N)) $(if $(OUT),--out $(OUT)) $(ARGS)

profile: .venv/installed ## write a flame graph of a burst to .bench/burst.svg; N=leads
	$(BIN)/python -m benchmarks.flame $(if $(N),--leads $(N)) $(if $(OUT),--out $(OUT)) $(ARGS)

check: .venv/installed ## lint, sizes, types, imports, dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/python .ci/measures.py
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry .

format: .venv/installed ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/installed ## make the reference pages from the code
	$(BIN)/python -m daemon.reference docs

lock: .venv/installed ## solve the dependencies anew, into all lock files
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header -q pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header -q pyproject.toml \
		--group dev -c requirements.lock -o requirements-dev.lock
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header -q --group build \
		-c requirements-dev.lock -o requirements-build.lock

# The embedded MongoDB is a plain program that needs two libraries a minimal Debian may lack.
.venv/installed: requirements-dev.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	.ci/mongod-libraries "$$($(BIN)/python -c 'from daemon.mongo.mongod import find_mongod; print(find_mongod())')"
	touch $@

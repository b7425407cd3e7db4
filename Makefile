# One command each; the first one sets up, the second does not again. Needs Python 3.11+, make and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test test-postgres lint format verify bench torture week reliability lock clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## Create .venv from the hashed lock file

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) from requirements.lock (once)"
	@if command -v uv >/dev/null 2>&1; then \
		uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements.lock; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock; \
	fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

demo: $(READY)  ## Run the shipped sample through to tables in DuckDB; no key needed
	@$(BIN)/enrich demo

dev: $(READY)  ## Open the Dagster UI with daemon, sensors and the sandbox
	@$(BIN)/enrich dev

test: $(READY)  ## Pass all tests, on four processes: they wait as much as they work
	@$(BIN)/python -m pytest -n 4 --dist loadscope

test-postgres: $(READY)  ## Pass the tests of ledger and steps with the ledger on a PostgreSQL server
	@ENRICH_TEST_LEDGER=postgresql $(BIN)/python -m pytest -n 3 --dist loadscope tests/ledger tests/protocol tests/flow tests/journey/test_postgres.py

lint: $(READY)  ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY)  ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

verify: $(READY)  ## Pass all tests, with none skipped
	@ENRICH_NO_SKIPS=1 ENRICH_ALL_CRASHES=1 $(BIN)/python -m pytest -n 3 --dist loadscope

bench: $(READY)  ## Measure; the figures are in benchmarks/README.md
	@$(BIN)/python benchmarks/throughput.py
	@$(BIN)/python benchmarks/landing.py
	@$(BIN)/python benchmarks/webhooks.py

torture: $(READY)  ## Kill N processes at random moments and check every invariant (N=1000)
	@$(BIN)/python tests/crash/torture.py $(or $(N),1000) $(if $(SEED),--seed $(SEED))

week: $(READY)  ## Live a week in compressed time and check everything twice a day (MINUTES=6)
	@$(BIN)/python tests/week/week.py --minutes $(or $(MINUTES),6) $(if $(SEED),--seed $(SEED))

reliability: $(READY)  ## Write benchmarks/reliability.md from the crash and fault matrices
	@rm -rf $(VENV)/reliability
	@ENRICH_ALL_CRASHES=1 ENRICH_RELIABILITY=$(VENV)/reliability $(BIN)/python -m pytest -n 3 --dist loadscope -q tests/flow/test_fault_matrix.py tests/crash/test_crash_matrix.py
	@$(BIN)/python benchmarks/reliability.py $(VENV)/reliability

lock:  ## Resolve the dependencies anew (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet -o requirements.lock

clean:  ## Remove what was set up and cached; data stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

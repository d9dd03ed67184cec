# `make` prints what there is. Set-up is e2e/cluster (python3, standard library only); everything else runs in its environment.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

SETUP := python3 -m e2e.cluster
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/modelyard
# The programs that set-up made: kubectl and kind of the cluster's versions.
export PATH := $(CACHE)/bin:$(PATH)
export PYTHONPATH := operator
# Asked for only by the targets that use it: making the environment takes a minute the first time.
PYTHON = $(or $(shell $(SETUP) python),$(error The Python environment is missing: see above))

.PHONY: help up demo down test e2e-beside e2e-alone check style unit bench bench-fetch bench-scaling bench-simulator bench-tick \
	verify generated fuzz generate release-golden fmt lock clean-cache

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## bring up the local cluster, serve a real language model on it, ask it a question
	@$(SETUP) demo

up: ## bring up the local cluster with all images
	@$(SETUP) up

down: ## remove the cluster and put the host back as it was; what was built stays in the cache
	@$(SETUP) down

# Each run of pytest ends with its slowest tests, so that what makes `make test` slow is seen where it came in.
SLOWEST := --durations=30 --durations-min=2
# Two of them run beside each other: each writes whole lines, as soon as it has one.
WHOLE_LINES := | sed --unbuffered ''

# The scenarios that run alone mostly wait for Kubernetes: the tests that need no cluster use the processors meanwhile.
test: up style ## every test, the end-to-end ones on the local cluster included
	@$(MAKE) --no-print-directory --jobs=2 e2e-alone unit
	@$(MAKE) --no-print-directory e2e-beside

# One worker per file: its tests share what its fixtures make, or their pods would not fit beside each other.
e2e-beside: ## the end-to-end tests that run beside each other
	$(PYTHON) -m pytest e2e -m "not alone" --numprocesses 4 --dist loadfile $(SLOWEST)

e2e-alone: ## the end-to-end tests that break what others stand on
	$(PYTHON) -m pytest e2e -m alone --verbose $(SLOWEST) $(WHOLE_LINES)

check: style unit ## style, types, layers, and the tests that need no cluster

style: ## style, types and layers
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m mypy e2e tests bench
	$(dir $(PYTHON))lint-imports

unit: ## the tests that need no cluster
	MODELYARD_BINARIES=$$($(SETUP) binaries) $(PYTHON) -m pytest tests --numprocesses 2 --dist worksteal $(SLOWEST) $(WHOLE_LINES)

bench: bench-fetch bench-scaling bench-simulator bench-tick ## every benchmark

bench-fetch: ## how fast models arrive, beside other clients: docs/benchmarks.md
	MODELYARD_NGINX=$$($(SETUP) nginx) $(PYTHON) -m bench.fetch

bench-scaling: ## how automatic scaling does beside other autoscalers, in simulation: docs/benchmarks.md
	$(PYTHON) -m bench.scaling

bench-simulator: ## how near the simulator is to the real vLLM (needs what `make up` makes): docs/benchmarks.md
	$(PYTHON) -m bench.simulator

bench-tick: ## how long one tick of automatic scaling takes for 1,000 services: docs/benchmarks.md
	$(PYTHON) -m bench.tick

PROTOS := operator/modelyard/node/proto
PROTOC = $(PYTHON) -m grpc_tools.protoc --proto_path=operator $(wildcard $(PROTOS)/*.proto)

verify: generated ## fail when a generated file differs from what makes it, or a real API server or the last release refuses a CRD
	MODELYARD_BINARIES=$$($(SETUP) binaries) $(PYTHON) -m pytest tests/apiserver/test_crd_*.py

generated: ## fail when a generated file differs from what makes it
	$(PYTHON) -m modelyard.api.crd --check
	@made=$$(mktemp -d); trap 'rm -r '$$made EXIT; \
	$(PROTOC) --python_out=$$made --pyi_out=$$made --grpc_python_out=$$made; \
	diff -r -x '*.proto' -x __init__.py -x __pycache__ $$made/modelyard/node/proto $(PROTOS)

fuzz: ## have 10,000 services of every shape judged by a real API server
	MODELYARD_BINARIES=$$($(SETUP) binaries) MODELYARD_FUZZ_SPECS=10000 $(PYTHON) -m pytest tests/apiserver/test_fuzz.py

generate: ## write the generated files anew
	$(PYTHON) -m modelyard.api.crd
	$(PROTOC) --python_out=operator --pyi_out=operator --grpc_python_out=operator

RELEASES := tests/golden/releases
release-golden: ## keep what this version renders, and its CRDs: later versions are held to it (docs/releasing.md)
	$(PYTHON) -m modelyard.api.crd --check
	$(PYTHON) -m pytest -q tests/golden/test_golden.py
	@folder=$(RELEASES)/$$($(PYTHON) -c 'import modelyard; print(modelyard.__version__)'); \
	test ! -e $$folder || { echo "$$folder is there: a release never changes. Raise the version first." >&2; exit 1; }; \
	$(PYTHON) -m tests.support.releases && echo "$$folder is to be committed"

fmt: ## format, and fix what can be fixed
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

LOCK := uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header -p 3.11
lock: ## pin the dependencies of each extra anew (needs uv)
	$(LOCK) --extra operator pyproject.toml -o locks/operator.txt
	$(LOCK) --extra fetch pyproject.toml -o locks/fetch.txt
	$(LOCK) --extra node pyproject.toml -o locks/node.txt
	printf 'setuptools==83.0.0\n' | $(LOCK) - -o locks/build.txt
	$(LOCK) --extra dev pyproject.toml -o locks/dev.txt

clean-cache: ## make down, and remove everything that was built
	@$(SETUP) clean-cache

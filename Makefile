# Everything that a developer runs. Needs Python 3.11 or newer and make; the rest is fetched into this folder.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
PORT ?= 8080
TESTS ?=
PROFILE ?=
PIPELINES ?=
SERVICE ?=
VOLUMES ?=
ENV_FILE ?=
ONLY ?=
CONTESTANTS ?=
RUNS ?=
SECONDS_EACH ?=
LONG ?=
QUICK ?=
LARGE ?=
PUBLISH ?=
WORKERS ?= 2
MINUTES ?= 10
KILLS ?= 10
HERE := $(CURDIR)
# an own uv of a known version, unless another one is named: make UV=uv …
UV ?= $(HERE)/.uv/bin/uv
UV_CACHE_DIR ?= $(HERE)/.uv/cache

# uv's cache, locks and Pythons stay in .uv; byte code is compiled once, in the environments, and not into the sources
export UV_CACHE_DIR
export UV_PYTHON_INSTALL_DIR := $(HERE)/.uv/python
export UV_COMPILE_BYTECODE := 1
export UV_NO_PROGRESS := 1
export PYTHONDONTWRITEBYTECODE := 1
# a virtual environment that happens to be active is not ours
unexport VIRTUAL_ENV

BIN := .venv/bin
AIRFLOW_BIN := deployment/airflow/.venv/bin
DAG_CODE := deployment/airflow/plugins deployment/airflow/airflow_health.py data_pipeline/dags training_pipeline/dags model_serving/dags tests/dags
LOCKED := uv.lock pyproject.toml $(wildcard */pyproject.toml) deployment/local/pyproject.toml deployment/docker_gate/pyproject.toml
# .env, if there is one, is read by uv: what the environment already holds wins over it
RUN = $(if $(wildcard .env),TMPDIR=$(HERE)/.uv/tmp $(UV) run --no-sync --quiet --env-file .env --) $(BIN)/

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1mmake %-12s\033[0m %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: .uv/workspace.stamp .uv/airflow.stamp ## Make the two virtual environments (done by every target that needs them)

.PHONY: demo
demo: setup ## From raw data to an answer: sample data, the four DAGs, the service, one request
	@$(RUN)twinserve-local demo

.PHONY: serve
serve: setup ## The online service in the foreground, on port 8172
	@$(RUN)twinserve-local serve

.PHONY: airflow
airflow: setup ## Airflow in the foreground, on port 8080 or PORT=…; prints its login
	@$(RUN)twinserve-local airflow --port $(PORT)

.PHONY: mlflow
mlflow: setup ## MLflow's pages on the embedded store, in the foreground, on port 5000
	@$(RUN)twinserve-local mlflow

.PHONY: clean
clean: ## Stop what runs and remove all data (TWINSERVE_HOME); files of others in it stay
	@if [ -x $(BIN)/twinserve-local ]; then $(RUN)twinserve-local clean; \
	else echo 'No environment here, so no data is removed: make setup brings it back'; fi

.PHONY: distclean
distclean: clean ## Remove the environments and caches too
	@rm -rf .venv deployment/airflow/.venv .uv */mutants .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: test
test: setup ## All tests that need no Docker; TESTS="core/tests -k join" for some
	@$(BIN)/pytest -n $(WORKERS) --dist loadgroup --durations 60 --durations-min 3 $(TESTS)
	@$(if $(TESTS),,$(AIRFLOW_BIN)/pytest -c deployment/airflow/pyproject.toml --rootdir $(HERE) --confcutdir tests/dags tests/dags)

.PHONY: soak
soak: setup ## The online service under load, faults and new features for ten minutes, or MINUTES=…; nothing may be wrong or grow
	@$(BIN)/pytest --soak-minutes $(MINUTES) --log-cli-level WARNING model_serving/tests/test_soak.py

.PHONY: test-data-path
test-data-path: setup ## Random changes of a source, steps, kills and repeats, for ten minutes, or MINUTES=…; both stores held against a model
	@$(BIN)/pytest --data-path-minutes $(MINUTES) tests/test_data_path.py

.PHONY: test-kills
test-kills: setup ## Every step killed ten times, or KILLS=…, on a full disk, two at once, a home moved; takes an hour; TESTS="tests/test_kills.py" for some
	@$(BIN)/pytest -m kills --kills $(KILLS) -rs $(or $(TESTS),tests)

.PHONY: mutation
mutation: .uv/mutation.stamp ## Changes the modules that decide answers, one place at a time: do tests notice? ONLY="missing" for some
	@$(BIN)/python tests/mutation.py --workers $(WORKERS) --only "$(ONLY)"

.PHONY: test-browser
test-browser: setup ## The tests that look at the service's page; needs chromium on the PATH
	@$(BIN)/pytest -m browser

.PHONY: test-clients
test-clients: setup ## The online service asked by real clients: java, mvn, go, node, curl, wrk, k6, haproxy, as far as they are on the PATH
	@$(BIN)/pytest -m clients -rs model_serving/tests/test_clients.py

.PHONY: test-docker
test-docker: setup build ## Images built, the platform up as a project of its own, DAGs, kills, restarts, pages; taken down
	@$(BIN)/pytest -m docker $(TESTS)
	@$(if $(TESTS),,$(AIRFLOW_BIN)/pytest -c deployment/airflow/pyproject.toml --rootdir $(HERE) --confcutdir tests/dags -m docker tests/dags)

.PHONY: lint
lint: setup ## Style (ruff), types (mypy), and who may import whom (import-linter)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(AIRFLOW_BIN)/mypy --config-file deployment/airflow/pyproject.toml $(DAG_CODE)
	@$(BIN)/lint-imports

.PHONY: bench
bench: .uv/bench.stamp ## What the work costs, beside named baselines; ONLY="join", QUICK=1, LARGE=1, PUBLISH=1, OLDER=folder
	@$(BIN)/python -m benchmarks run --only "$(ONLY)" \
		$(if $(QUICK),--quick) $(if $(LARGE),--large) $(if $(PUBLISH),--publish) $(if $(OLDER),--older "$(OLDER)")

.PHONY: bench-online
bench-online: .uv/bench.stamp ## The online service under load, beside others; ONLY="5 tail", CONTESTANTS="ours bare-asgi"
	@$(BIN)/python -m benchmarks.online run --only "$(ONLY)" --contestants "$(CONTESTANTS)" \
		$(if $(QUICK),--quick) $(if $(LONG),--long) $(if $(PUBLISH),--publish) \
		$(if $(RUNS),--runs $(RUNS)) $(if $(SECONDS_EACH),--seconds $(SECONDS_EACH))

.PHONY: format
format: setup ## Let ruff put the code in order
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# --------------------------------------------------------------------- images

ALL_IMAGES := data_pipeline training_pipeline model_serving airflow mlflow docker_gate gateway notebook
# besides these, jenkins: only the profile ci runs it, and its base and plug-ins are large
IMAGES ?= $(ALL_IMAGES)
# of the environment, or .env, or a default; a release is named after its commit
env_file = $(shell sed -n 's/^$(1)=//p' .env 2>/dev/null | tail -n 1 | sed "s/ *\#.*//; s/[\"']//g")
export DOCKER_USER := $(or $(DOCKER_USER),$(call env_file,DOCKER_USER),local)
export DOCKER_REGISTRY := $(or $(DOCKER_REGISTRY),$(call env_file,DOCKER_REGISTRY))
export TAG := $(or $(TAG),$(shell git describe --tags --always --dirty 2>/dev/null))
image = $(DOCKER_USER)/twinserve/$(1):$(TAG)
dockerfile = $(firstword $(wildcard $(1)/Dockerfile deployment/$(1)/Dockerfile))

.PHONY: build
build: $(addprefix build-image-,$(IMAGES)) ## All images; IMAGES="model_serving" for some
	@docker image ls --filter 'reference=$(DOCKER_USER)/twinserve/*:$(TAG)' --format 'table {{.Repository}}\t{{.Tag}}\t{{.Size}}'

.PHONY: $(addprefix build-image-,$(IMAGES))
$(addprefix build-image-,$(IMAGES)): build-image-%: docker-there
	@$(if $(call dockerfile,$*),,echo 'No image $*: there are $(ALL_IMAGES) jenkins' >&2; exit 2)
	@docker buildx build --load --file $(call dockerfile,$*) --tag $(call image,$*) \
		--build-arg VERSION=$(TAG) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) .

.PHONY: push
push: engine-there ## The images to DOCKER_REGISTRY; IMAGES="model_serving" for some
	@$(if $(DOCKER_REGISTRY),,echo 'DOCKER_REGISTRY is not set: name the registry, as in make push DOCKER_REGISTRY=registry.example.org' >&2; exit 2)
	@$(if $(filter %-dirty,$(TAG)),echo '$(TAG) is no release: commit what has changed; then make build push' >&2; exit 2)
	@for image in $(foreach name,$(IMAGES),$(call image,$(name))); do \
		docker image inspect "$$image" >/dev/null 2>&1 || { echo "No image $$image: make build" >&2; exit 2; }; \
	done
	@for image in $(foreach name,$(IMAGES),$(call image,$(name))); do \
		docker image tag "$$image" "$(DOCKER_REGISTRY)/$$image"; \
		docker image push --quiet "$(DOCKER_REGISTRY)/$$image"; \
	done

.PHONY: pull
pull: engine-there ## The images from DOCKER_REGISTRY, of this checkout or of TAG=…; then make up or make deploy
	@$(if $(DOCKER_REGISTRY),,echo 'DOCKER_REGISTRY is not set: name the registry, as in make pull DOCKER_REGISTRY=registry.example.org' >&2; exit 2)
	@$(if $(filter %-dirty,$(TAG)),echo '$(TAG) is no release: name one with TAG=…' >&2; exit 2)
	@for image in $(foreach name,$(IMAGES),$(call image,$(name))); do \
		docker image pull --quiet "$(DOCKER_REGISTRY)/$$image"; \
	done
	@for image in $(foreach name,$(IMAGES),$(call image,$(name))); do \
		docker image tag "$(DOCKER_REGISTRY)/$$image" "$$image"; \
	done

.PHONY: engine-there
engine-there:
	@$(if $(TAG),,echo 'TAG is not set, and this is no git checkout to take it from: make TAG=…' >&2; exit 2)
	@docker version >/dev/null 2>&1 || { echo 'No Docker engine answers: install Docker, or start it' >&2; exit 2; }

.PHONY: docker-there
docker-there: engine-there
	@docker buildx version >/dev/null 2>&1 || { echo 'The Docker client has no buildx: install the plug-in docker-buildx' >&2; exit 2; }

# ------------------------------------------------------------------- platform

# needs Python and Docker, and no environment of ours
PLATFORM = PYTHONPATH=deployment/platform/src $(PYTHON) -m twinserve_platform $(if $(ENV_FILE),--env-file $(ENV_FILE))

.PHONY: up
up: ## The whole platform in containers, from the images of this checkout; PROFILE="monitoring logging" for more
	@$(PLATFORM) up --profiles "$(PROFILE)"

.PHONY: down
down: ## Stop the platform; VOLUMES=1 removes its data too
	@$(PLATFORM) down $(if $(VOLUMES),--volumes)

.PHONY: ps
ps: ## What of the platform runs, and where its pages are
	@$(PLATFORM) ps

.PHONY: logs
logs: ## What the platform says, as it says it; SERVICE="online gateway" for some
	@$(PLATFORM) logs $(SERVICE)

.PHONY: deploy
deploy: ## Bring the platform that runs to this checkout: the online service without a gap, then the DAGs
	@$(PLATFORM) deploy

.PHONY: deploy-dags
deploy-dags: ## The DAGs only; PIPELINES="data_pipeline" for some
	@$(PLATFORM) deploy-dags $(PIPELINES)

# ---------------------------------------------------------------- environments

.uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3")'
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir 'uv>=0.9.7'

# the Python at hand if it is one that we support (UV_PYTHON is set), else the one that .python-version names
SYNC = mkdir -p .uv/tmp; \
	if $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))'; \
	then export UV_PYTHON="$${UV_PYTHON:-$$(command -v $(PYTHON))}"; fi; \
	TMPDIR=$(HERE)/.uv/tmp $(UV) sync --frozen --quiet

.uv/workspace.stamp: $(LOCKED) $(if $(filter $(HERE)/.uv/bin/uv,$(UV)),| .uv/bin/uv)
	@echo 'Making the virtual environment of the pipelines'
	@$(SYNC)
	@touch $@

.uv/bench.stamp: .uv/workspace.stamp
	@echo 'Adding what the benchmarks measure against'
	@$(SYNC) --inexact --group bench
	@touch $@

.uv/mutation.stamp: .uv/workspace.stamp
	@echo 'Adding mutmut'
	@$(SYNC) --inexact --group mutation
	@touch $@

.uv/airflow.stamp: deployment/airflow/uv.lock deployment/airflow/pyproject.toml $(if $(filter $(HERE)/.uv/bin/uv,$(UV)),| .uv/bin/uv)
	@echo 'Making the virtual environment of Airflow'
	@$(SYNC) --project deployment/airflow
	@touch $@

# Two commands matter: `make up` starts everything, `make test` proves it. `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: up otel demo doctor test test-fast test-full test-repeat test-aws test-runtime test-browser test-clients test-peers test-proxies test-models fuzz audit sbom release mutate bench check lock clean help setup setup-dev deploy prove-aws destroy localstack-up localstack-down test-localstack sam-local
unexport PYTHONDONTWRITEBYTECODE  # a start would compile every module anew
BIN := .venv/bin
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11

up: setup  ## start everything on this machine; Ctrl-C stops it
	@exec $(BIN)/sluice up

otel: setup  ## install OpenTelemetry, for traces to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirements infra/setup/otel.lock

demo: setup  ## walk through the whole path against the running system (in a second terminal)
	@exec $(BIN)/sluice demo

doctor: setup  ## say in plain words what is wrong with this machine or its configuration
	@exec $(BIN)/sluice doctor

deploy: setup  ## to AWS, from the keys to a first answer (docs/deploy.md); DEPLOY_ARGS="--admin you@example.org"
	@exec $(BIN)/sluice deploy $(if $(MODEL),--model "$(MODEL)") $(DEPLOY_ARGS)

prove-aws: setup  ## what only a real account can show, as a table; PROVE_ARGS="--email you@example.org"
	@exec $(BIN)/sluice prove $(PROVE_ARGS)

destroy: setup  ## take the deployment away; the tables and keys stay
	@exec $(BIN)/sluice destroy $(DESTROY_ARGS)

localstack-up: setup-dev  ## the template on LocalStack, with Docker: deployed, and looked at from the outside
	@exec $(BIN)/python -m infra.aws.localstack up

localstack-down: setup-dev  ## stop it, and forget what was in it
	@exec $(BIN)/python -m infra.aws.localstack down

test-localstack: setup-dev  ## the end-to-end tests against LocalStack, with Docker; it stays up
	@$(BIN)/python -m infra.aws.localstack up-for-tests
	@exec env SLUICE_E2E=localstack $(BIN)/python -m pytest tests/e2e $(PYTEST_ARGS)

sam-local: setup-dev  ## the API under `sam local` beside LocalStack, with Docker; FUNCTION=SweeperFunction: one, with its event
	@exec $(BIN)/python -m infra.aws.sam_local $(FUNCTION)

# A process a processor, at most four: each has its own store and, for end-to-end tests, its own running system. What
# waits as well as computes has one more.
PARALLEL := -n auto --maxprocesses 4 --dist worksteal
WAITING := -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --maxprocesses 4 --dist worksteal

test: setup-dev  ## every test, in minutes; PYTEST_ARGS="-k name" for some
	@exec $(BIN)/python -m pytest $(WAITING) $(PYTEST_ARGS)

test-fast: setup-dev  ## the unit tests, within half a minute
	@exec $(BIN)/python -m pytest $(PARALLEL) -m "not slow" tests/unit $(PYTEST_ARGS)

test-full: setup-dev  ## every test, with all rounds of what is random: more examples, races, kills, a longer soak
	@exec env SLUICE_TEST_ROUNDS=full $(BIN)/python -m pytest $(PARALLEL) $(PYTEST_ARGS)

N := 20
test-repeat: setup-dev  ## `make test` N times (N=20), every second run beside four busy processes; stops at a failure
	@exec $(BIN)/python -m tests.repeat $(N) $(WAITING) $(PYTEST_ARGS)

# What of `make test` is about the store itself (conditions, transactions, streams, expiry): on Amazon's engine, too.
STORE_SUITE := $(addprefix tests/integration/, \
	accounts/test_delete.py accounts/test_sessions.py accounts/registration/test_codes.py \
	accounts/registration/test_race.py tokens/test_revocation.py tokens/test_tokens.py \
	documents/reading/test_isolation.py infra/test_relay.py infra/test_tables.py \
	usage/test_metering.py usage/test_reconcile.py usage/test_sweeper.py)

# The last one compares the roles with what `.ci/run` records meanwhile.
AWS_SUITE := tests/integration/gateway/admission tests/unit/aws tests/unit/infra/test_localstack.py \
	$(addprefix tests/aws/, emulator localstack packaging runtime iam)

# SUITE_REQUIRED=1: what is missing here is a failure and not a skip.
test-aws: setup-dev  ## the template, what `sam build` makes of it, the real runtime and stores; needs Java, Maven, Go, Rust
	@$(BIN)/python -m tests.integration.gateway.admission.engines || [ -z "$(SUITE_REQUIRED)" ]
	@echo "test-aws: the tools (the first time cargo compiles for minutes)"  # before the tests, whose time is limited
	@$(BIN)/python -m tests.aws.tools.install && $(BIN)/python -m tests.aws.runtime.tools || [ -z "$(SUITE_REQUIRED)" ]
	@echo "test-aws: the builds"
	@$(BIN)/python -m tests.aws.built && $(BIN)/python -m tests.aws.built arm64 || [ -z "$(SUITE_REQUIRED)" ]
	@failed=0; \
	STORE_ENGINE=dynamodb_local $(BIN)/python -m pytest $(STORE_SUITE) $(PYTEST_ARGS) || failed=1; \
	SLUICE_E2E=emulator $(BIN)/python -m pytest tests/e2e $(PYTEST_ARGS) || failed=1; \
	$(BIN)/python -m pytest $(AWS_SUITE) $(PYTEST_ARGS) || failed=1; \
	exit $$failed

# The version of Lambda's functions, where it is not the one of `.venv`. llama.cpp's wheel is of no version of Python, so it is copied.
RUNTIME := .tools/runtime
test-runtime: setup-dev  ## the unit tests on the functions' version of Python, which `uv python install 3.13` gets
	@$(BIN)/uv venv --quiet --clear --python "$$($(BIN)/python -m infra.aws.bytecode)" $(RUNTIME)
	@$(BIN)/uv pip install --quiet --python $(RUNTIME)/bin/python --require-hashes --requirements requirements-dev.lock
	@$(BIN)/uv pip install --quiet --python $(RUNTIME)/bin/python --no-deps --editable .
	@cp -R .venv/lib/python3*/site-packages/llama_cpp* $(RUNTIME)/lib/python3*/site-packages/
	@exec $(RUNTIME)/bin/python -m pytest $(PARALLEL) tests/unit $(PYTEST_ARGS)

test-browser: setup-dev  ## every page in Chromium against a running system; screenshots in build/screenshots
	@exec env SUITE_REQUIRED=$(SUITE_REQUIRED) $(BIN)/python -m pytest tests/browser $(PYTEST_ARGS)

test-clients: setup-dev  ## SDKs, frameworks and coding agents against a running system (docs/clients.md); needs npm
	@$(BIN)/python -m tests.clients.install  # before the tests, whose time is limited
	@exec env SUITE_REQUIRED=$(SUITE_REQUIRED) $(BIN)/python -m pytest tests/clients $(PYTEST_ARGS)

test-peers: setup-dev  ## other model servers as upstreams: llama.cpp's own, llama-cpp-python's, another Sluice
	@$(BIN)/python -m tests.peers.install || [ -z "$(SUITE_REQUIRED)" ]  # before the tests, whose time is limited
	@exec env SUITE_REQUIRED=$(SUITE_REQUIRED) $(BIN)/python -m pytest tests/peers $(PYTEST_ARGS)

test-proxies: setup-dev  ## behind a real Caddy and a real nginx: what a proxy can break, and the end-to-end tests
	@failed=0; export SUITE_REQUIRED="$(SUITE_REQUIRED)"; \
	$(BIN)/python -m pytest tests/proxies $(PYTEST_ARGS) || failed=1; \
	for proxy in caddy nginx; do \
		SLUICE_E2E=$$proxy $(BIN)/python -m pytest $(PARALLEL) tests/e2e $(PYTEST_ARGS) || failed=1; \
	done; exit $$failed

test-models: setup-dev  ## a real model file without a chat template; downloads 253 MB under Gemma's own licence
	@exec $(BIN)/python -m pytest tests/models $(PYTEST_ARGS)

fuzz: setup-dev  ## an hour of hostile requests against a running system; SEED=1 SECONDS=120
	@exec env SEED=$(SEED) SECONDS=$(SECONDS) $(BIN)/python -m tests.fuzz

audit: setup-dev  ## do advisories name a package that is used? Asks PyPI and npm; offline, reads a stored copy
	@exec $(BIN)/python -m tests.audit

# Of what a release installs: its lock file and llama.cpp's. Deterministic, so anybody can make it again from the tag.
SBOM := build/sbom.cdx.json
FROM := .
sbom: setup-dev  ## the bill of materials of a release (CycloneDX), into build/sbom.cdx.json
	@mkdir -p $(dir $(SBOM)) && cat $(FROM)/requirements.lock $(FROM)/infra/setup/llama.lock | $(BIN)/cyclonedx-py requirements \
		--pyproject $(FROM)/pyproject.toml --output-reproducible --of JSON --output-file $(SBOM) -

release: setup-dev  ## wheel, sdist, SBOM, checksums of the tag vVERSION, into dist; REF=HEAD: of that; SIGNING_KEY=~/.ssh/id: signed
	@exec env REF="$(REF)" SIGNING_KEY="$(SIGNING_KEY)" $(BIN)/python -m infra.release

mutate: setup-dev  ## do the tests notice changed code? AREA=admission, settlement, authentication or schema
	@exec nice $(BIN)/python -m tests.mutate $(or $(AREA),schema) $(or $(SAMPLE),300) $(or $(SEED),1)

bench: setup-dev  ## the instructions of a request through the gateway, compared with the stored ones; BENCH_ARGS=--write
	@exec $(BIN)/python -m benchmarks.gateway.instructions $(BENCH_ARGS)

check: setup-dev  ## style, types, import arrows, the AWS template
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cfn-lint template.yaml infra/aws/data.yaml infra/aws/alarms.yaml

PINS := --no-emit-package llama-cpp-python pyproject.toml
lock: setup  ## resolve pyproject.toml's pins into the lock files
	$(LOCK) --output-file requirements.lock $(PINS)
	$(LOCK) --group dev --extra otel --constraint requirements.lock --output-file requirements-dev.lock $(PINS)
	$(LOCK) --group setup --output-file infra/setup/tools.lock
	grep '^otel = ' pyproject.toml | grep -o '[a-z-]*==[0-9.]*' | $(LOCK) --constraint requirements.lock --output-file infra/setup/otel.lock -
	@# llama.cpp has a lock file of its own, because it is compiled apart, with progress
	grep llama-cpp-python pyproject.toml | grep -o 'llama-cpp-python==[0-9.]*' | $(LOCK) --no-deps --output-file infra/setup/llama.lock -
	$(LOCK) --no-emit-package llama-cpp-python --constraint requirements.lock \
		--output-file functions/inference/requirements.lock functions/inference/requirements.txt infra/setup/llama.lock
	for pins in tests/clients/*.in tests/peers/*.in; do $(LOCK) --output-file "$${pins%.in}.lock" "$$pins" || exit 1; done

setup:
	@PYTHON="$(PYTHON)" infra/setup.sh

setup-dev:
	@PYTHON="$(PYTHON)" infra/setup.sh dev

clean:  ## remove what was installed here; the data directory stays
	rm -rf .venv .tools build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

# `make run` and `make test` need Python >= 3.11 and the package index, nothing else. `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
PAGE := bcom_graphql/static/graphiql/graphiql.js
WORKERS ?= $(shell getconf _NPROCESSORS_ONLN)
SECONDS ?= 60
PORT ?= 8010
STORING := store/test_series store/test_live_samples store/test_rollups store/test_migrations store/test_event_log \
  store/test_database operations accounts/test_accounts telemetry/test_recording detection root_causes
TESTS ?= $(wildcard $(STORING:%=tests/resolvers/%) $(STORING:%=tests/resolvers/%.py)) tests/system/test_main_path.py
# As in tests/helpers/places.py: a database for each test is much cheaper to make and remove in memory.
MEMORY := $(shell [ "$$(df --output=size -B1G /dev/shm 2>/dev/null | tail -1)" -ge 8 ] 2>/dev/null && echo /dev/shm)

.PHONY: help run test test-slow test-postgres15 fuzz bench audit check lint types layers contract docs generated notebooks web \
  models wheel lock clean
.DEFAULT_GOAL := help

help: ## What can be made
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/developing: .venv/installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

run: .venv/installed web ## Serve an invented fleet that lives, on http://localhost:8010 (or another PORT=)
	@$(BIN)/bcom-graphql serve --demo --port $(PORT)

test: .venv/developing ## All tests that take seconds; they wait for PostgreSQL as long as they work, so one worker more
	$(BIN)/pytest -n $(shell expr $(WORKERS) + 1) --dist loadgroup -m "not slow"

test-slow: .venv/developing ## The tests that take longer
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -m slow

# Debian's `pg_virtualenv` makes a cluster that lives as long as the command.
test-postgres15: .venv/developing ## The tests of what is stored, on the oldest PostgreSQL that is supported (TESTS= for others)
	$(if $(MEMORY),TMPDIR=$(MEMORY)) pg_virtualenv -t -v 15 -i --auth=trust -o fsync=off -o max_connections=300 \
	  sh -c 'export TEST_DATABASE_URL="postgresql+asyncpg://postgres:@localhost:$$PGPORT/postgres"; \
	  exec env -u TMPDIR -u PGHOST -u PGPORT -u PGUSER -u PGPASSWORD -u PGDATABASE \
	  $(BIN)/pytest -n $(shell expr $(WORKERS) + 1) --dist loadgroup -m "not slow" $(TESTS)'

fuzz: .venv/developing ## Random operations and garbage for SECONDS=60, then as long what must cost little (SEED= for the same again)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.fuzz.adversary --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

bench: .venv/developing ## Measure, as ratios within one run
	$(BIN)/python -m benchmarks.documents
	$(BIN)/python -m benchmarks.graphql
	$(BIN)/python -m benchmarks.detection
	$(BIN)/python -m benchmarks.telemetry
	$(BIN)/python -m benchmarks.correlation
	$(BIN)/python -m benchmarks.recommendations
	$(BIN)/python -m benchmarks.sign_ins
	$(BIN)/python -m benchmarks.fanout
	$(BIN)/python -m benchmarks.promptness

audit: .venv/developing ## Known vulnerabilities of what is pinned, where the index tells of them
	@$(BIN)/python .ci/audit $(BIN)/uv

check: lint types layers contract ## Everything that reads the code without running it

lint: .venv/developing ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/developing ## Types
	$(BIN)/mypy
	$(BIN)/mypy examples/python

layers: .venv/developing ## Imports point down
	$(BIN)/lint-imports

contract: .venv/developing ## The exported schema is current, and breaks no promise
	@$(BIN)/bcom-graphql export-schema --check
	@if [ -f ../shared/tools/contract_check.py ]; then $(BIN)/pytest -q tests/schema/test_schema.py; fi

docs: .venv/developing ## The documentation as a folder of static files, in site/; a dead link fails
	$(BIN)/zensical build --clean --strict

generated: .venv/developing ## Write again what is made from the code: schema, .env.example, tables in docs/
	$(BIN)/bcom-graphql export-schema
	$(BIN)/bcom-graphql settings > .env.example
	$(BIN)/bcom-graphql settings --write docs/settings.md
	$(BIN)/bcom-graphql permissions --write docs/permissions.md

notebooks: .venv/developing ## Execute the notebooks from top to bottom
	$(BIN)/pytest -m "" tests/ml/test_notebooks.py

web: $(PAGE) ## GraphiQL from our own files, where npm is present

$(PAGE): web/package-lock.json web/build.mjs $(shell find web/src -type f)
	@if ! command -v npm >/dev/null; then echo "npm is missing: GraphiQL will come from a CDN."; \
	elif ! (cd web && npm ci --no-audit --no-fund --no-update-notifier --loglevel=error && npm run --silent --no-update-notifier build); then \
	echo "web/ could not be built: GraphiQL will come from a CDN."; fi

models: .venv/installed ## Train the models that are shipped anew, from their seed: whenever that gives others (some minutes)
	$(BIN)/python -m resolvers.models.shipped

wheel: .venv/installed web ## The wheel, with GraphiQL and migrations, in dist/
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

lock: .venv/developing ## Pin the newest allowed versions, with hashes and without addresses
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-annotate --custom-compile-command "make lock" --upgrade \
	  --extra build --extra nats --extra otel --extra redis --output-file requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-annotate --custom-compile-command "make lock" --upgrade \
	  --extra build --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

clean: ## Everything that was made, the demo's data included
	rm -rf .venv .bcom /dev/shm/bcom-tests$(subst /,-,$(CURDIR)) .cache site bcom_graphql/static/graphiql web/node_modules \
	  examples/typescript/node_modules examples/typescript/dist examples/typescript/src/generated

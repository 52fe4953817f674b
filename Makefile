# Everything here runs in environments of its own (.venv, .venv-protos, .venv-docs, .venv-peers), built from the package index when first needed.

PYTHON ?= python3
PIP_FLAGS ?= -qq --disable-pip-version-check

# What `make test` and `make soak` hand to pytest: `make test TESTS=tests/unit PYTEST_ARGS="-x -n 0"`.
TESTS ?= tests
PYTEST_ARGS ?= -n 4

# What `make bench`, `make bench-compare` and `make bench-peers` hand on: `make bench BENCH_ARGS="--rounds 1 --only call-action"`.
BENCH_ARGS ?=

# The tests import and start the server hundreds of times: without its compiled modules each time costs twice as much.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
READY := $(VENV)/.ready

PROTOS_VENV := .venv-protos
PROTOS_BIN := $(PROTOS_VENV)/bin
PROTOS_READY := $(PROTOS_VENV)/.ready

DOCS_VENV := .venv-docs
DOCS_BIN := $(DOCS_VENV)/bin
DOCS_READY := $(DOCS_VENV)/.ready

PEERS_VENV := .venv-peers
PEERS_READY := $(PEERS_VENV)/.ready

PYDANTIC_VENVS := .venvs-pydantic
FLOOR_VENVS := .venvs-floor

CHECKED := $(wildcard flowstate_server flowstate_client tests benchmarks examples .ci/documents .ci/codegen)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-assistant demo-two-flows serve test test-pydantic test-floor test-wheel test-pgbouncer test-polyglot soak bench bench-compare bench-peers check lint types format \
	docs docs-pictures protos protos-check protos-breaking protos-baseline sync-client sync-client-check constraints clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## Run the chat example against a server of its own
	@$(PY) -m examples.chat.demo

demo-assistant: $(READY) ## Run the example of a support assistant with tools
	@$(PY) -m examples.assistant.demo

demo-two-flows: $(READY) ## Run the example of flows that share a user's record
	@$(PY) -m examples.two_flows.demo

serve: $(READY) ## Serve the chat example on 127.0.0.1:7437, kept in .flowstate/chat.db
	@mkdir -p .flowstate
	@$(BIN)/flowstate serve examples.chat:flowstate --store sqlite:///.flowstate/chat.db --listen 127.0.0.1:7437

test: $(READY) ## Run the tests (TESTS=path, PYTEST_ARGS=options)
	$(BIN)/pytest $(PYTEST_ARGS) $(TESTS)

# Both ends of the range of pydantic in pyproject.toml, each in an environment of its own: what walks its schemas, and
# what is validated by them.
PYDANTIC_LOWEST := $(shell sed -n 's/^ *"pydantic>=\([0-9.]*\),.*/\1/p' pyproject.toml)
PYDANTIC_TESTS ?= tests/unit/schemas tests/unit/flows tests/unit/state tests/unit/engine/test_rehearsals.py \
	tests/unit/engine/test_upgrades.py

test-pydantic: $(PYDANTIC_VENVS)/lowest/.ready $(PYDANTIC_VENVS)/newest/.ready ## Run the tests of schemas and flows on the lowest and the newest pydantic
	@for end in lowest newest; do \
		$(PYDANTIC_VENVS)/$$end/bin/python -c "import pydantic; print('pydantic', pydantic.VERSION)" && \
		$(PYDANTIC_VENVS)/$$end/bin/pytest $(PYTEST_ARGS) $(PYDANTIC_TESTS) || exit; \
	done

# Both ends of what the client claims to work with, each on a Python and in an environment of its own that has the base
# dependencies alone. The server is that of .venv, since its extra asks for a newer grpcio. Of the client's tests those
# that need no server's code.
PYTHON_FLOOR ?= python3.11
PYTHON_NEWEST ?= python3.13
BASE_LOWEST := $(shell sed -n '/^dependencies = /,/^]/s/^ *"\([a-z_-]*\)>=\([0-9.]*\),.*/\1==\2/p' pyproject.toml)
FLOOR_TESTS ?= tests/floor $(shell grep -LE 'flowstate_server|tests.support.hosted|client.(test_repeats|server_thread)' tests/client/test_*.py)

test-floor: $(READY) $(FLOOR_VENVS)/lowest/.ready $(FLOOR_VENVS)/newest/.ready ## Run the client's tests on the lowest and the newest of what it needs
	@for end in lowest newest; do \
		$(FLOOR_VENVS)/$$end/bin/python -c "import sys; from importlib.metadata import version as of; \
			print('Python', sys.version.split()[0], *(f'{name} {of(name)}' for name in ('grpcio', 'protobuf', 'pydantic')))" && \
		FLOOR_SERVER_PYTHON=$(abspath $(PY)) $(FLOOR_VENVS)/$$end/bin/python -m pytest $(FLOOR_TESTS) || exit; \
	done

test-wheel: $(READY) ## Build the wheel and call the README's flow where nothing else is installed
	TEST_WHEEL=1 $(BIN)/pytest -n 0 tests/packaging

test-pgbouncer: $(READY) ## Run the scenarios on Postgres behind PgBouncer, which must be installed
	FLOWSTATE_TEST_PGBOUNCER=1 $(BIN)/pytest $(PYTEST_ARGS) tests/scenarios tests/tails -k postgres

test-polyglot: $(READY) ## Run the clients in TypeScript and C++ against a server; names what they lack
	@$(PY) -m tests.polyglot

# Two at a time: most of their minutes are spent under load that one core carries.
soak: $(READY) ## Run the tests that take minutes
	$(BIN)/pytest -n 2 --maxschedchunk 1 -m soak --timeout 0 $(TESTS)

bench: $(READY) ## Run the benchmarks (BENCH_ARGS=options)
	@$(PY) -m benchmarks $(BENCH_ARGS)

bench-compare: $(READY) ## Run the benchmarks on another checkout and this one in turn (BASE=path, BENCH_ARGS=options)
	@test -n "$(BASE)" || { echo "Name the checkout to compare with: make bench-compare BASE=path" >&2; exit 2; }
	@$(PY) -m benchmarks.compare "$(BASE)" . $(BENCH_ARGS)

bench-peers: $(READY) $(PEERS_READY) ## Run the same turns on others, beside this (BENCH_ARGS=options)
	@$(PY) -m benchmarks.peers --python $(PEERS_VENV)/bin/python $(BENCH_ARGS)

check: protos-check protos-breaking sync-client-check lint types docs ## Everything CI checks besides the tests

lint: $(READY) ## Style of protos and code, and the walls between the modules
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo --config walls.toml

types: $(READY) ## Type-check
	$(BIN)/mypy $(CHECKED)

format: $(READY) ## Format protos and code, and mend what the linter can
	$(BIN)/buf format -w
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

# The pages of the contract come from its comments, those of stores are their READMEs, the rest of the reference comes from
# docstrings. Strict: a link that leads nowhere fails, in the pages and in the READMEs. The site loads nothing from the web, so that it can be read without a network.
DESCRIBED_STORES := memory filesystem sqlite postgres blobs contract

docs: $(READY) $(DOCS_READY) ## Build the documents as a site in site/, and fail where a link leads nowhere
	@mkdir -p build
	@$(BIN)/buf build --as-file-descriptor-set -o build/contract.binpb
	@$(PY) -m documents.contract_pages build/contract.binpb docs/reference/contract
	@mkdir -p docs/reference/adapters
	@for store in $(DESCRIBED_STORES); do \
		cp "flowstate_server/stores/$$store/README.md" "docs/reference/adapters/$$store.md" || exit; \
	done
	@$(PY) -m documents.links *.md $$(find docs examples flowstate_server tests -name '*.md' -not -path '*/node_modules/*')
	@NO_COLOR=1 $(DOCS_BIN)/zensical build --strict --clean
	@! grep -rlE '<(script|link|img)[^>]+(src|href)="?https?://' --include='*.html' site \
	|| { echo "These pages load something from the web." >&2; exit 1; }

docs-pictures: $(READY) ## Draw the pictures of the documents anew: the demo as it runs, and the walks
	@$(PY) -m documents.demo_picture
	@$(PY) -m documents.walk_pictures

# The stamp is written last: a set-up that was interrupted is begun anew, from nothing; an update is tried again.

$(READY): pyproject.toml constraints.txt
	@test -f $@ || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV) ..."
	@$(PY) -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[server,postgres,dev]'
	@touch $@

# The newest is asked for anew at each set-up: remove the folder, or `make clean`, to have it looked for again.
$(PYDANTIC_VENVS)/%/.ready: pyproject.toml constraints.txt
	@mkdir -p $(PYDANTIC_VENVS)
	@$(PYTHON) -m venv --clear $(PYDANTIC_VENVS)/$*
	@echo "Installing into $(PYDANTIC_VENVS)/$* ..."
	@grep -v '^pydantic' constraints.txt > $(PYDANTIC_VENVS)/$*/constraints.txt
	@$(PYDANTIC_VENVS)/$*/bin/python -m pip install $(PIP_FLAGS) -c $(PYDANTIC_VENVS)/$*/constraints.txt \
		-e '.[server,postgres,dev]' $(if $(filter lowest,$*),pydantic==$(PYDANTIC_LOWEST))
	@touch $@

$(FLOOR_VENVS)/%/.ready: pyproject.toml constraints.txt
	@mkdir -p $(FLOOR_VENVS)
	@$(if $(filter lowest,$*),$(PYTHON_FLOOR),$(PYTHON_NEWEST)) -m venv --clear $(FLOOR_VENVS)/$*
	@echo "Installing into $(FLOOR_VENVS)/$* ..."
	@grep -E '^(pytest|hypothesis)' constraints.txt > $(FLOOR_VENVS)/$*/constraints.txt
	@$(FLOOR_VENVS)/$*/bin/python -m pip install $(PIP_FLAGS) -c $(FLOOR_VENVS)/$*/constraints.txt \
		-e . pytest pytest-asyncio pytest-timeout hypothesis $(if $(filter lowest,$*),$(BASE_LOWEST))
	@touch $@

$(PROTOS_READY): protos/constraints.txt
	@test -f $@ || $(PYTHON) -m venv --clear $(PROTOS_VENV)
	@echo "Installing into $(PROTOS_VENV) ..."
	@$(PROTOS_BIN)/python -m pip install $(PIP_FLAGS) -c protos/constraints.txt grpcio-tools mypy-protobuf
	@touch $@

$(DOCS_READY): pyproject.toml .ci/documents/constraints.txt
	@test -f $@ || $(PYTHON) -m venv --clear $(DOCS_VENV)
	@echo "Installing into $(DOCS_VENV) ..."
	@$(DOCS_BIN)/python -m pip install $(PIP_FLAGS) -c .ci/documents/constraints.txt -e '.[docs]'
	@touch $@

$(PEERS_READY): benchmarks/peers/requirements.txt
	@test -f $@ || $(PYTHON) -m venv --clear $(PEERS_VENV)
	@echo "Installing into $(PEERS_VENV) ..."
	@$(PEERS_VENV)/bin/python -m pip install $(PIP_FLAGS) -r $<
	@touch $@

constraints: ## Pin what pyproject.toml resolves to today
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PY) -m pip install $(PIP_FLAGS) -e '.[server,postgres,dev]'
	@$(PY) -m pip freeze --exclude-editable > constraints.txt
	@touch $(READY)

# Writes what every .proto generates to "$fresh". The typed stubs are those of grpc.aio alone. Services live in files named
# *_service.proto; for the others the gRPC plugins write modules with nothing in them, which are dropped. The descriptor set,
# with comments and imports, is for those who read the contract without a compiler; the wheel has it beside the .proto files.

GENERATE := fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	PATH="$(abspath $(PROTOS_BIN)):$$PATH" python -m grpc_tools.protoc -I protos \
	--python_out="$$fresh" --grpc_python_out="$$fresh" \
	--mypy_out=quiet:"$$fresh" --mypy_grpc_out=quiet,only_async:"$$fresh" \
	--descriptor_set_out="$$fresh/flowstate.binpb" --include_imports --include_source_info \
	$$(find protos/flowstate -name '*.proto' | LC_ALL=C sort) && \
	mv "$$fresh/flowstate.binpb" "$$fresh/flowstate/" && \
	find "$$fresh" -name '*_pb2_grpc.py*' ! -name '*_service_pb2_grpc.py*' -exec rm {} +

protos: $(PROTOS_READY) ## Generate the code of protos/flowstate/v1
	@$(GENERATE) && \
	find protos/flowstate \( -name '*_pb2*.py' -o -name '*_pb2*.pyi' \) -exec rm {} + && \
	cp -R "$$fresh"/. protos/

protos-check: $(PROTOS_READY) ## Fail where the generated code is not what the protos say
	@$(GENERATE) && \
	{ diff -ru -x '*.proto' -x __init__.py -x py.typed -x __pycache__ protos/flowstate "$$fresh/flowstate" \
	|| { echo "The generated code does not match the .proto files: run 'make protos' and commit what it writes." >&2; exit 1; }; }

# The contract as it stands for those who build on it: an image without comments, so that only what breaks them renews it.
BASELINE := protos/baseline.binpb

protos-breaking: $(READY) ## Fail where the protos break what the baseline protects
	$(BIN)/buf breaking --against $(BASELINE)

protos-baseline: $(READY) ## Renew the baseline, in a commit that says why
	$(BIN)/buf build --exclude-source-info -o $(BASELINE)

sync-client: $(READY) ## Generate the synchronous Python client from the asynchronous one
	@$(PY) -m codegen.sync_client

sync-client-check: $(READY) ## Fail where the synchronous client is not what the asynchronous one says
	@$(PY) -m codegen.sync_client --check

clean: ## Remove environments, caches and builds (not .flowstate, which holds data)
	rm -rf examples/node/node_modules examples/node/dist examples/node/src/gen examples/cpp/build
	rm -rf $(VENV) $(PROTOS_VENV) $(DOCS_VENV) $(PEERS_VENV) $(PYDANTIC_VENVS) $(FLOOR_VENVS) build dist site docs/reference/contract docs/reference/adapters .cache *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

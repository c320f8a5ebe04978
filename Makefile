# Everything a newcomer needs, on a machine that has only Python 3.11 or newer, make and a network.

PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check
SYNC := $(UV) pip sync --python $(BIN)/python --require-hashes

# Two workers: a third only waits for the same engines.
TEST_OPTIONS ?= -q -n 2
# Only a run of all tests may say what they prove.
PROOFS := $(if $(filter file,$(origin TEST_OPTIONS)),--proofs=build/trace.json)
OBJECTS ?= 20000

# Where the embedded stack keeps its data, and where it does with STORE=minio.
HOMES := .data .data-minio

# pytest keeps to itself what its engines say; what has to be fetched or built first is shown.
FETCH_ENGINES := import asyncio; \
	from catalog.local import jars, minio; \
	from catalog.local.stack import say_on_stderr; \
	from catalog.settings import Workstation; \
	cache = Workstation().cache; \
	asyncio.run(jars.fetch(cache / "jars", say_on_stderr)); \
	asyncio.run(minio.find(cache, say_on_stderr))

# A company's own certificate authority stands in the system's list: uv has to be told to read it, and so has the
# pip that comes with Python 3.11.
SYSTEM_CERTS := $(firstword $(SSL_CERT_FILE) \
	$(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))
ifneq ($(SYSTEM_CERTS),)
export PIP_CERT ?= $(SYSTEM_CERTS)
export UV_SYSTEM_CERTS ?= 1
endif
export UV_HTTP_TIMEOUT ?= 180

# uv does not read pip's configuration: whoever set an index for pip means it for both.
INDEX = UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null || true)}}"

# Once the tests' packages are in, they stay: they hold everything that a demo needs.
RUNNABLE := $(if $(wildcard .venv/.dev),.venv/.dev,.venv/.local)

# Compiling what is imported takes as long as importing it, and a run of all tests starts hundreds of processes: where
# nothing compiled may be kept, each of them does it anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test chaos check check-format check-lint check-types check-imports check-spelling check-openapi \
	trace bench eval format openapi vocabularies lock secrets clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUNNABLE) ## run the whole system and show it; ONESHOT=1 ends when shown, STORE=minio uses MinIO
	@$(BIN)/catalog demo $(if $(ONESHOT),--oneshot) $(if $(STORE),--store $(STORE))

test: .venv/.dev ## run all tests on real engines; TEST_OPTIONS="-k name" runs some
	@$(BIN)/python -c '$(FETCH_ENGINES)'
	@$(BIN)/pytest $(TEST_OPTIONS) $(PROOFS)

chaos: .venv/.dev ## a storm of kills while people write, for MINUTES (30) from SEED, then all tests that have a larger size
	@$(BIN)/python -c '$(FETCH_ENGINES)'
	@$(BIN)/pytest -q -n 0 --long -m long $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) \
		tests/faults/test_storm.py $(if $(STORM),,tests)

check: check-format check-lint check-types check-imports check-spelling check-openapi ## format, lint, types, import contracts, spelling, OpenAPI

check-format: .venv/.dev
	@echo "== format"; $(BIN)/ruff format --check

check-lint: .venv/.dev
	@echo "== lint"; $(BIN)/ruff check

check-types: .venv/.dev
	@echo "== types"; $(BIN)/mypy

check-imports: .venv/.dev
	@echo "== imports"; $(BIN)/lint-imports

check-spelling: .venv/.dev
	@echo "== spelling"; $(BIN)/codespell

check-openapi: .venv/.dev
	@echo "== OpenAPI"; $(BIN)/catalog openapi --check openapi

trace: .venv/.dev ## which requirement rows do passing tests prove? runs the tests if anything changed since
	@$(BIN)/python -m tests.trace --fresh || $(MAKE) --no-print-directory test
	@$(BIN)/python -m tests.trace

bench: .venv/.dev ## measure against the limits of the same machine; OBJECTS=200000 for the full run, FLAMES=folder draws it
	@$(BIN)/python -m bench --objects $(OBJECTS) $(if $(FLAMES),--flames $(FLAMES))

eval: .venv/.dev ## ask the judged questions of a real corpus; CORPORA=folder takes records of others from there
	@$(BIN)/python -m eval $(if $(CORPORA),--corpora $(CORPORA))

format: .venv/.dev ## put the code into the one format, and mend what can be mended
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

openapi: .venv/.dev ## write openapi/ anew from the code
	@$(BIN)/catalog openapi --write openapi

# Each file takes the pins of the one before it, so that all environments hold the same versions.
LOCK = $(INDEX) $(UV) pip compile --quiet --python-version 3.11 --universal --generate-hashes \
	--no-header --no-annotate --no-emit-index-url $(if $(UPGRADE),--upgrade)

vocabularies: .venv/.dev ## write the vocabularies that are made from lists of others anew
	@$(BIN)/python -m vocabularies.licences

lock: .venv/.uv ## pin requirements/*.in anew, with hashes; UPGRADE=1 takes newer versions
	@$(LOCK) requirements/uv.in -o requirements/uv.txt
	@$(LOCK) requirements/runtime.in -o requirements/runtime.txt
	@$(LOCK) requirements/local.in -c requirements/runtime.txt -o requirements/local.txt
	@$(LOCK) requirements/hybrid.in --overrides requirements/hybrid-without.in -c requirements/runtime.txt -o requirements/hybrid.txt
	@$(LOCK) requirements/amqp.in -c requirements/runtime.txt -o requirements/amqp.txt
	@$(LOCK) requirements/nats.in -c requirements/runtime.txt -o requirements/nats.txt
	@$(LOCK) requirements/traces.in -c requirements/runtime.txt -o requirements/traces.txt
	@$(LOCK) requirements/peers.in -o requirements/peers.txt
	@$(LOCK) requirements/dev.in --overrides requirements/hybrid-without.in -c requirements/local.txt -c requirements/hybrid.txt \
		-c requirements/traces.txt \
		-c requirements/uv.txt -o requirements/dev.txt

secrets: ## make up the secrets that docker-compose.yml reads from .secrets/, where they are missing
	@# The folder is closed to others; the files are open, because containers read them under another user's id.
	@mkdir -p .secrets && chmod 700 .secrets && printf '*\n' > .secrets/.gitignore
	@for name in postgres_password store_root_password store_secret_key notification_token cursor_key first_admin_token; do \
		[ -s .secrets/$$name ] || { $(PYTHON) -c 'import secrets, sys; print("cat_" + secrets.token_urlsafe(32) \
			if sys.argv[1] == "first_admin_token" else secrets.token_hex(20))' $$name > .secrets/$$name \
			&& echo "made .secrets/$$name"; }; \
	done
	@printf '[catalog]\nuser=catalog\npassword=%s\n' "$$(cat .secrets/postgres_password)" > .secrets/pg_service
	@mkdir -p .secrets/keys && chmod 755 .secrets/keys
	@[ -s .secrets/keys/keys.txt ] || { $(PYTHON) -c 'import base64, secrets; print("k" + secrets.token_hex(6), \
		base64.b64encode(secrets.token_bytes(32)).decode())' > .secrets/keys/keys.txt && echo "made .secrets/keys/keys.txt"; }
	@find .secrets -type f -exec chmod 644 {} +

clean: ## stop the embedded engines; remove their data, the environment and what tools left behind
	@for home in $(HOMES); do \
		if [ -d $$home ] && [ -x $(BIN)/catalog ]; then $(BIN)/catalog down --home $$home || exit; fi; \
	done
	@rm -rf .venv $(HOMES) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.uv: requirements/uv.txt
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "There is no $(PYTHON). Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Python 3.11 or newer is needed; %s is %d.%d.%d. Name another: make PYTHON=/path/to/python3.12" % (sys.executable, v[0], v[1], v[2]))'
	@echo "== .venv for $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { \
		echo "The environment could not be made; Debian and Ubuntu keep what it needs in the package python3-venv." >&2; exit 1; }
	@$(PIP_INSTALL) --require-hashes -r requirements/uv.txt
	@touch $@

.venv/.local: requirements/local.txt pyproject.toml .venv/.uv
	@echo "== packages to run the catalog from here"
	@$(INDEX) $(SYNC) requirements/local.txt
	@$(UV) pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --offline -e .
	@touch $@

.venv/.dev: requirements/dev.txt pyproject.toml .venv/.uv
	@echo "== packages to run, test and check the catalog"
	@$(INDEX) $(SYNC) requirements/dev.txt
	@$(UV) pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --offline -e .
	@touch $@

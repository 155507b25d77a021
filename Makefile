# Two commands show everything: `make demo` and `make test`. Each builds what it needs first.

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# $(VENV)-NAME has what requirements/NAME.txt pins, and nothing else: the predictor runs without anything that it
# lacks in production, and clients as other people install them.
export PREDICTOR_PYTHON = $(abspath $(VENV)-predictor)/bin/python
export CLIENTS_PYTHON = $(abspath $(VENV)-clients)/bin/python
export MODELS_PYTHON = $(abspath $(VENV)-models)/bin/python
export MLFLOW2_PYTHON = $(abspath $(VENV)-mlflow2)/bin/python
export STORES_PYTHON = $(abspath $(VENV)-stores)/bin/python
# What only tests need: each requirements/NAME.in is pinned in NAME.txt by `make lock`.
OTHERS = $(filter-out uv,$(patsubst requirements/%.in,%,$(wildcard requirements/*.in)))
TYPESCRIPT     = tests/clients/typescript

MLFLOW_PORT    ?= 5000
PREDICTOR_PORT ?= 8000
REQUESTS       ?= 100000
WORKERS        ?= 2
SBOM           ?= sbom.json

.PHONY: demo test test-all screenshots fuzz models scale stress bench bench-peers check format environments lock lock-peers audit image sbom stack tables figures grpc dashboard swagger-ui clean help

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

demo: environments ## train, promote and serve; stays up until Ctrl-C (MLFLOW_PORT=, PREDICTOR_PORT=)
	@$(BIN)/python -m demo --mlflow-port $(MLFLOW_PORT) --predictor-port $(PREDICTOR_PORT)

test: environments $(VENV)-clients/installed ## what needs nothing but Python: about five minutes on two cores (WORKERS=, ARGS=)
	@echo "The tests that need nothing but Python, a real MLflow server included: about five minutes on two quiet cores"
	$(BIN)/python -m pytest -m "not whole" --numprocesses $(WORKERS) $(ARGS)

test-all: environments $(OTHERS:%=$(VENV)-%/installed) $(TYPESCRIPT)/node_modules/installed ## every test: needs root and the packages of .ci/run; names what it skips
	@echo "All tests, those that need other programs included: about twelve minutes on two quiet cores"
	$(BIN)/python -m pytest --numprocesses $(WORKERS) $(ARGS)

screenshots: environments ## the main states of the page as pictures, for docs/screenshots
	SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest tests/page/test_pictures.py

stress: environments ## a thousand swaps by alias and a thousand by stage, under load (ARGS=--help)
	$(BIN)/python -m stress $(ARGS)

bench: environments ## the predictor's speed beside its references; needs wrk and two cores (ARGS=--help)
	$(BIN)/python -m benchmarks $(ARGS)

bench-peers: environments ## other servers with the same model, each in an environment of its own below .bench
	$(BIN)/python -m benchmarks peers $(ARGS)

models: environments $(VENV)-models/installed ## serve models of other libraries, and write docs/models.md (ARGS=--help)
	$(BIN)/python -m compatibility --python $(MODELS_PYTHON) $(ARGS)

scale: environments ## how many replicas behave, simulated from measured costs (ARGS=--help)
	$(BIN)/python -m scale $(ARGS)

fuzz: environments ## 100,000 requests of odd bytes and thousands from the document, with their figures (REQUESTS=)
	FUZZ_REQUESTS=$(REQUESTS) SCHEMA_EXAMPLES=500 $(BIN)/python -m pytest -s tests/hostile/test_fuzz.py tests/hostile/test_document.py

tables: environments ## write the documents' tables of settings, metrics and log events from the code
	$(BIN)/python reference_tables.py

figures: environments ## count files, lines, arrows, knots and frames, for docs/architecture.md
	$(BIN)/python -m tests.figures

grpc: environments ## write the Python of the gRPC protocol's messages from predictor/protocols/open_inference/grpc/*.proto
	cd predictor/protocols/open_inference/grpc && $(abspath $(BIN))/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. open_inference.proto

dashboard: environments ## write Grafana's dashboard from grafana/
	$(BIN)/python -m grafana

check: environments ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: environments ## rewrite the code the way `make check` wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

audit: environments ## known vulnerabilities in what the requirements files pin
	$(BIN)/python -m deploy.audit

image: ## both images, without a Docker engine: as root, with buildah and debootstrap
	deploy/image.sh predictor
	deploy/image.sh trainer

sbom: environments ## what is in the predictor's image, in CycloneDX (SBOM=); as root, like `make image`
	$(BIN)/python -m deploy.sbom --image "$$(deploy/image.sh predictor)" --output $(SBOM)

stack: ## everything in containers, with Docker: PostgreSQL, MLflow, predictor, Prometheus, Grafana
	$(PYTHON) deploy/stack_secrets.py
	docker compose -f deploy/compose.yaml up --build

environments: $(VENV)/installed $(VENV)-predictor/installed ## the two virtual environments

$(VENV)/installed: requirements/dev.txt requirements/uv.txt
	@echo "Installing training, serving and development tools into $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; say which with PYTHON=")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/uv.txt requirements/dev.txt
	@touch $@

$(VENV)-%/installed: requirements/%.txt $(VENV)/installed
	@echo "Installing requirements/$*.txt, and nothing more, into $(VENV)-$*"
	@$(PYTHON) -m venv --without-pip $(VENV)-$*
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(VENV)-$*/bin/python --require-hashes requirements/$*.txt
	@touch $@

# What generates and compiles a client in TypeScript. Without npm the test of it is skipped, but in CI.
$(TYPESCRIPT)/node_modules/installed: $(TYPESCRIPT)/package-lock.json
	@if command -v npm >/dev/null; then \
		echo "Installing what generates a TypeScript client into $(TYPESCRIPT)/node_modules"; \
		npm ci --silent --prefix $(TYPESCRIPT) && touch $@; \
	else echo "npm is not installed: no TypeScript client is generated"; fi

# Hashes, but no download address: whoever installs chooses where from.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'
COMPILE_PEERS = $(subst 'make lock','make lock-peers',$(COMPILE))

lock: ## pin the newest versions that pyproject.toml allows
	$(COMPILE) requirements/uv.in -o requirements/uv.txt
	$(COMPILE) pyproject.toml -o requirements/predictor.txt $(ARGS)
	$(COMPILE) pyproject.toml --extra traces -c requirements/predictor.txt -o requirements/traces.txt $(ARGS)
	$(COMPILE) pyproject.toml --extra grpc -c requirements/predictor.txt -o requirements/grpc.txt $(ARGS)
	$(COMPILE) pyproject.toml --extra trainer --extra postgresql -c requirements/predictor.txt -o requirements/trainer.txt $(ARGS)
	$(COMPILE) pyproject.toml --extra trainer --extra postgresql --extra traces --extra grpc --extra dev -c requirements/trainer.txt -o requirements/dev.txt $(ARGS)
	for name in $(OTHERS); do $(COMPILE) requirements/$$name.in -o requirements/$$name.txt $(ARGS) || exit 1; done
	cd $(TYPESCRIPT) && npm install --silent --package-lock-only && node lock.cjs

# Each peer by itself: what one pins is no reason for another.
lock-peers: ## the same for the servers of `make bench-peers`
	for file in benchmarks/peers/*/requirements.in; do $(COMPILE_PEERS) $$file -o $${file%.in}.txt $(ARGS) || exit 1; done

SWAGGER_UI = 5.35.0
DOCS = predictor/web/docs

swagger-ui: ## the files of Swagger UI that /docs needs, from npm (SWAGGER_UI=version)
	mkdir -p .swagger-ui && cd .swagger-ui && tar -xzf "$$(npm pack --silent swagger-ui-dist@$(SWAGGER_UI))"
	cd .swagger-ui/package && cp LICENSE NOTICE swagger-ui-bundle.js.LICENSE.txt $(abspath $(DOCS))
	for file in swagger-ui-bundle.js swagger-ui.css; do gzip -9nc .swagger-ui/package/$$file > $(DOCS)/$$file.gz || exit 1; done
	sed -i -e 's/^swagger-ui-dist [0-9.]*/swagger-ui-dist $(SWAGGER_UI)/' -e '/^| `/d' $(DOCS)/README.md
	cd .swagger-ui/package && sha256sum swagger-ui-bundle.js swagger-ui.css | sed -E 's/^(\S+) +(\S+)$$/| `\2` | `\1` |/' >> $(abspath $(DOCS))/README.md
	rm -r .swagger-ui

clean: ## remove the environments and what the demo wrote
	rm -rf $(VENV) $(wildcard $(VENV)-*) $(TYPESCRIPT)/node_modules .demo .bench

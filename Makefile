# Two commands show everything: `make demo` and `make test`. Each builds what it needs first.

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# $(VENV)-NAME has the packages of requirements/NAME.txt, and nothing else: the service runs with what it has in
# production, and clients run as other people install them.
export SERVICE_PYTHON = $(abspath $(VENV)-predictor)/bin/python
export CLIENTS_PYTHON = $(abspath $(VENV)-clients)/bin/python
export MODELS_PYTHON = $(abspath $(VENV)-models)/bin/python
export MLFLOW2_PYTHON = $(abspath $(VENV)-mlflow2)/bin/python
export MLFLOW29_PYTHON = $(abspath $(VENV)-mlflow29)/bin/python
export DRIFT_PYTHON = $(abspath $(VENV)-drift)/bin/python
export STORES_PYTHON = $(abspath $(VENV)-stores)/bin/python
# Environments for tests only: `make lock` pins each requirements/NAME.in in NAME.txt.
OTHERS = $(filter-out uv,$(patsubst requirements/%.in,%,$(wildcard requirements/*.in)))
TYPESCRIPT     = tests/clients/typescript

MLFLOW_PORT    ?= 5000
PREDICTOR_PORT ?= 8000
REQUESTS       ?= 100000
WORKERS        ?= 3
SBOM           ?= sbom.json

.PHONY: demo test test-all screenshots fuzz models estimators scale stress bench bench-peers check format dist environments lock lock-peers audit image sbom stack tables figures grpc dashboard swagger-ui clean help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

demo: environments ## train, promote and serve; stays up until Ctrl-C (APPROVAL=1, MLFLOW_PORT=, PREDICTOR_PORT=)
	@$(BIN)/python -m demo --mlflow-port $(MLFLOW_PORT) --predictor-port $(PREDICTOR_PORT) $(if $(APPROVAL),--approval)

test: environments $(VENV)-clients/installed ## tests that need only Python: about five minutes on two cores (WORKERS=, ARGS=)
	@echo "The tests that need only Python, with a real MLflow server: about five minutes on two idle cores"
	$(BIN)/python -m pytest -m "not whole" --numprocesses $(WORKERS) $(ARGS)

test-all: environments $(OTHERS:%=$(VENV)-%/installed) $(TYPESCRIPT)/node_modules/installed ## every test: needs root and the packages of .ci/run; names what it skips
	@echo "All tests, also those that need other programs: about half an hour on two idle cores"
	$(BIN)/python -m pytest --numprocesses $(WORKERS) $(ARGS)

screenshots: environments ## pictures of the page's main states, for docs/screenshots
	SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest tests/page/test_pictures.py

stress: environments ## a thousand swaps by alias and a thousand by stage, under load (ARGS=--help)
	$(BIN)/python -m stress $(ARGS)

bench: environments $(VENV)-models/installed ## measure the speed beside references; needs wrk and two cores (ARGS=--help)
	$(BIN)/python -m benchmarks $(ARGS)

bench-peers: environments ## measure other servers with the same model, each in an environment of its own below .bench
	$(BIN)/python -m benchmarks peers $(ARGS)

models: environments $(VENV)-models/installed ## serve models of other libraries, and write docs/models.md (ARGS=--help)
	$(BIN)/python -m compatibility --python $(MODELS_PYTHON) $(ARGS)

estimators: environments $(VENV)-models/installed ## prove the export of every estimator, and write docs/estimators.md
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(MODELS_PYTHON) -W ignore -m compatibility.estimators $(ARGS)

scale: environments ## prove that 1,000 replicas follow one MLflow through the gateway, and over NATS; needs nginx (ARGS=--help)
	$(BIN)/python -m scale $(ARGS)

fuzz: environments ## send 100,000 requests of odd bytes and thousands from the OpenAPI document (REQUESTS=)
	FUZZ_REQUESTS=$(REQUESTS) SCHEMA_EXAMPLES=500 $(BIN)/python -m pytest -s tests/hostile/test_fuzz.py tests/hostile/test_document.py

tables: environments ## write the documents' tables of settings, metrics and log events from the code
	$(BIN)/python reference_tables.py

figures: environments ## count files, lines, imports, import cycles and frames, for docs/architecture.md
	$(BIN)/python -m tests.figures

grpc: environments ## write the Python of the gRPC protocol's messages from predictor/protocols/open_inference/grpc/*.proto
	cd predictor/protocols/open_inference/grpc && $(abspath $(BIN))/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. open_inference.proto

dashboard: environments ## write Grafana's dashboard from grafana/
	$(BIN)/python -m grafana

check: environments ## check format, lint, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: environments ## format the code, and fix what the linter can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

dist: environments ## build the wheel and the source distribution in dist/, and check their metadata
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/twine check --strict dist/*

audit: environments ## look up known vulnerabilities of the pinned packages
	$(BIN)/python -m deploy.audit

image: ## build both images without a Docker engine: as root, with buildah and debootstrap
	deploy/image.sh predictor
	deploy/image.sh trainer

sbom: environments ## list the contents of the predictor's image in CycloneDX (SBOM=); as root, like `make image`
	$(BIN)/python -m deploy.sbom --image "$$(deploy/image.sh predictor)" --output $(SBOM)

stack: ## start everything in containers, with Docker: PostgreSQL, MLflow, predictor, Prometheus, Grafana
	$(PYTHON) deploy/stack_secrets.py
	docker compose -f deploy/compose.yaml up --build

environments: $(VENV)/installed $(VENV)-predictor/installed ## build the two virtual environments

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

# Generates and compiles a client in TypeScript. Without npm its test is skipped, except in CI.
$(TYPESCRIPT)/node_modules/installed: $(TYPESCRIPT)/package-lock.json
	@if command -v npm >/dev/null; then \
		echo "Installing the generator of a TypeScript client into $(TYPESCRIPT)/node_modules"; \
		npm ci --silent --prefix $(TYPESCRIPT) && touch $@; \
	else echo "npm is not installed: no TypeScript client is generated"; fi

# With hashes, but without download addresses: the package index is chosen at installation.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'
# What an image can have in addition: build it with EXTRAS="grpc s3".
SERVICE_EXTRAS = approvals traces grpc nats record s3 gcs azure
TRAINER_EXTRAS = lightgbm xgboost catboost optuna pkcs11 duckdb
# What the trainer's image has in any case.
TRAINER = --extra trainer --extra postgresql --extra nats
COMPILE_PEERS = $(subst 'make lock','make lock-peers',$(COMPILE))

lock: ## pin the newest versions that pyproject.toml allows
	$(COMPILE) requirements/uv.in -o requirements/uv.txt
	$(COMPILE) pyproject.toml -o requirements/predictor.txt $(ARGS)
	$(COMPILE) pyproject.toml $(SERVICE_EXTRAS:%=--extra %) -c requirements/predictor.txt -o requirements/extras.txt $(ARGS)
	$(COMPILE) pyproject.toml $(TRAINER) -c requirements/predictor.txt -o requirements/trainer.txt $(ARGS)
	$(COMPILE) pyproject.toml $(TRAINER) $(TRAINER_EXTRAS:%=--extra %) -c requirements/trainer.txt -o requirements/trainer-extras.txt $(ARGS)
	$(COMPILE) pyproject.toml $(TRAINER) --extra traces --extra grpc --extra record --extra duckdb --extra lightgbm --extra optuna --extra pkcs11 --extra dev -c requirements/trainer.txt -o requirements/dev.txt $(ARGS)
	for name in $(OTHERS); do $(COMPILE) requirements/$$name.in -o requirements/$$name.txt $(ARGS) || exit 1; done
	cd $(TYPESCRIPT) && npm install --silent --package-lock-only && node lock.cjs

# Each peer alone: one peer's pins must not affect another.
lock-peers: ## pin the servers of `make bench-peers`
	for file in benchmarks/peers/*/requirements.in; do $(COMPILE_PEERS) $$file -o $${file%.in}.txt $(ARGS) || exit 1; done

SWAGGER_UI = 5.35.0
DOCS = predictor/web/docs

swagger-ui: ## update the files of Swagger UI for /docs, from npm (SWAGGER_UI=version)
	mkdir -p .swagger-ui && cd .swagger-ui && tar -xzf "$$(npm pack --silent swagger-ui-dist@$(SWAGGER_UI))"
	cd .swagger-ui/package && cp LICENSE NOTICE swagger-ui-bundle.js.LICENSE.txt $(abspath $(DOCS))
	for file in swagger-ui-bundle.js swagger-ui.css; do gzip -9nc .swagger-ui/package/$$file > $(DOCS)/$$file.gz || exit 1; done
	sed -i -e 's/^swagger-ui-dist [0-9.]*/swagger-ui-dist $(SWAGGER_UI)/' -e '/^| `/d' $(DOCS)/README.md
	cd .swagger-ui/package && sha256sum swagger-ui-bundle.js swagger-ui.css | sed -E 's/^(\S+) +(\S+)$$/| `\2` | `\1` |/' >> $(abspath $(DOCS))/README.md
	rm -r .swagger-ui

clean: ## remove the environments, the demo's files and the built packages
	rm -rf $(VENV) $(wildcard $(VENV)-*) $(TYPESCRIPT)/node_modules .demo .bench dist build *.egg-info

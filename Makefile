# The verbs of nextclick; `make` or `make help` lists them. Each works from a fresh clone.
PYTHON ?= python3
UV ?= uv
BIN := .venv/bin
SOURCES := pipeline components schema serving kubeflow tests requirements setup.py
PACKAGES := pipeline components schema serving kubeflow
LOCK = $(UV) pip compile --quiet --generate-hashes --no-header --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)
LOCK_1.16 = $(LOCK) --python-version 3.10 --python-platform x86_64-manylinux_2_28
LOCK_1.21 = $(LOCK) --python-version 3.11 --universal

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format benchmark schema sample docs lock clean

help: ## list these verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv with the newest set of versions this machine can run (NEXTCLICK_SET=1.16|1.21 forces one)
	@$(PYTHON) requirements/install.py

demo: setup ## run the whole pipeline on the bundled sample and ask the model it pushed for a prediction
	@$(BIN)/nextclick demo

test: setup ## run the test suite, a file a processor (ARGS="-k name" and the like reach pytest)
	@$(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile $(ARGS)

lint: setup ## check format, lint, types and the direction of imports
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/pytest -q tests/test_imports.py

format: setup ## rewrite the code in the project's format
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

benchmark: setup ## time ingest, train, evaluate and serve
	@for part in ingest train evaluate serve; do $(BIN)/nextclick benchmark $$part $(ARGS) || exit; done

schema: setup ## infer a schema from DATA=file to compare with schema/schema.pbtxt
	@$(BIN)/nextclick schema $(addprefix --data ,$(DATA))

sample: setup ## write the bundled sample of clicks again
	@$(BIN)/python -m nextclick.pipeline.sample

docs: setup ## write docs/configuration.md again, from the code
	@$(BIN)/python -m nextclick.pipeline.settings_table > docs/configuration.md

lock: ## pin requirements/*.in again (UPGRADE=1 takes the newest versions that fit)
	@$(LOCK_1.16) requirements/tfx-1.16.in -o requirements/tfx-1.16.txt
	@$(LOCK_1.16) -c requirements/tfx-1.16.txt requirements/dev.in -o requirements/dev-1.16.txt
	@$(LOCK_1.21) requirements/tfx-1.21.in -o requirements/tfx-1.21.txt
	@$(LOCK_1.21) -c requirements/tfx-1.21.txt requirements/dev.in -o requirements/dev-1.21.txt
	@$(LOCK) --python-version 3.10 --universal requirements/uv.in -o requirements/uv.txt

clean: ## remove .venv, caches and build output; nextclick-root stays
	@rm -rf .venv .mypy_root .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	@find $(PACKAGES) tests requirements -name __pycache__ -type d -prune -exec rm -rf {} +

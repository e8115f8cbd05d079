# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Twenty thousand files need not be compiled before the first is imported: Python does so as it goes.
PIP_OPTIONS := --quiet --no-compile -c constraints.txt
IN_PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test tests budget lint format docs bench clean

help:  ## Say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_OPTIONS) torch==$$(sed -n 's/^torch==//p' constraints.txt)
	$(BIN)/python -m pip install $(PIP_OPTIONS) -e '.[dev]'
	@touch $@

demo: $(VENV)/installed  ## Train, evaluate, track and register a model on real data; results in ./demo
	$(BIN)/tabstudio demo --folder demo

test: $(VENV)/installed  ## Run all checks: types and style on the side, while the tests run
	@$(MAKE) --no-print-directory --jobs 2 lint tests

tests: $(VENV)/installed  ## Run the tests
	$(BIN)/python -m pytest $(IN_PARALLEL) --durations 30

budget: $(VENV)/installed  ## Record what each file of tests costs
	$(BIN)/python -m pytest $(IN_PARALLEL) --record-budget

lint: $(VENV)/installed  ## Style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed  ## Rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/installed  ## Write the pages that are made from the code, and build the site strictly into site/
	$(BIN)/python docs/generate.py
	$(BIN)/zensical build --strict --config-file zensical.toml

bench: $(VENV)/installed  ## Measure every figure that the README names (half an hour, alone on the machine)
	$(BIN)/python -m pip install $(PIP_OPTIONS) -e '.[bench]'
	$(BIN)/python -m benchmarks

clean:  ## Remove the environment and what the demo wrote
	rm -rf $(VENV) demo site

# Two commands on a fresh machine: `make demo` and `make test`.  Both make the environment first.
PYTHON ?= python3
VENV ?= .venv
# Test processes at once.  Each may start an engine of its own, some gigabytes: so not one for every core.
TESTS ?= 3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test hostile check docs clean
.DEFAULT_GOAL := demo

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

demo: $(READY)  ## fetch the model, run the whole loop on the bundled demo world, print the table of arms
	$(BIN)/usbrec model get smollm2-135m-instruct
	$(BIN)/usbrec run recipes/demo.yaml --out runs/demo

check: $(READY)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

test: $(READY) check  ## lint, types, and the whole test suite on the real model
	$(BIN)/usbrec model get smollm2-135m-instruct
	$(BIN)/python -m pytest --numprocesses $(TESTS) --dist loadfile --no-loadscope-reorder

hostile: $(READY)  ## every hostile case: kills, faulty endpoints, data, recipes, damaged runs (about three quarters of an hour)
	$(BIN)/usbrec model get smollm2-135m-instruct
	PYTHONPATH=tests $(BIN)/python -m hostile --out docs/experiments/hostile/summary.json

docs: $(READY)  ## write docs/cli.md and docs/recipes.md anew
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) build *.egg-info src/*.egg-info

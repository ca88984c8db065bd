# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One test process per core, eight at most.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

.PHONY: demo test quick gpu lint types docs setup lock clean

demo: $(READY)
	$(BIN)/python tools/demo.py $(ARGS)

# All tests and the examples in docstrings.
test: $(READY)
	$(PYTEST) $(ARGS)

# Tests that neither train nor start another process.
quick: $(READY)
	$(PYTEST) -m "not slow" $(ARGS)

# Tests that need a CUDA device; skipped without one.
gpu: $(READY)
	$(BIN)/python -m pytest -m gpu $(ARGS)

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# The documentation site, in site/; warnings and broken links are errors.
docs: $(READY)
	$(BIN)/mkdocs build --strict

setup: $(READY)

$(READY): requirements/lock.txt requirements/mmcv.txt setup.cfg tools/setup_env.py
	$(PYTHON) tools/setup_env.py --venv $(VENV)

# Resolve the lock file again, for every supported Python.
lock: $(READY)
	$(BIN)/uv pip compile setup.cfg requirements/pins.in --extra dev --universal \
		--python-version 3.10 --no-emit-package mmcv --generate-hashes \
		--custom-compile-command 'make lock' -o requirements/lock.txt

clean:
	rm -rf $(VENV)

# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint setup lock clean

demo: $(READY)
	$(BIN)/python tools/demo.py $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

setup: $(READY)

$(READY): requirements/lock.txt requirements/mmcv.txt setup.cfg tools/setup_env.py
	$(PYTHON) tools/setup_env.py --venv $(VENV)

# Resolve the lock anew, for every supported Python.
lock: $(READY)
	$(BIN)/uv pip compile setup.cfg requirements/pins.in --extra dev --universal \
		--python-version 3.10 --no-emit-package mmcv --generate-hashes \
		--custom-compile-command 'make lock' -o requirements/lock.txt

clean:
	rm -rf $(VENV)

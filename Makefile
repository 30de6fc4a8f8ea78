# Every target works on a fresh clone with only Python 3.11+ and make.
PYTHON ?= python3
TOOLS := .tools
UV := $(TOOLS)/bin/uv
export UV_PYTHON := $(TOOLS)/bin/python
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/.venv
export UV_PYTHON_DOWNLOADS := never
RUN := $(UV) run --no-sync
JOBS ?= 2
URL_OF_file := file://{directory}
URL_OF_sqlite := sqlite:///{directory}/checkpoints.db

.PHONY: help demo test check crash crash-postgres bench bench-curves bench-peers format clean

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "spark-graphs needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/.synced: $(UV) pyproject.toml core/pyproject.toml $(wildcard plugins/*/pyproject.toml)
	$(UV) sync --quiet
	@touch $@

demo: .venv/.synced ## index the standard library's sources, killed and resumed on the way; BACKEND=url KILLS=6
	$(RUN) python examples/survive_kills.py --kills $(or $(KILLS),6) --store "$(BACKEND)"

test: .venv/.synced ## every test, under three minutes on two cores
	$(RUN) pytest -n $(JOBS) $(ARGS)

check: .venv/.synced ## lint, types and import direction
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) pytest -q tests/architecture

crash: .venv/.synced ## SIGKILL a writing process over and over; STORE=file|sqlite DURABILITY=async KILLS=1000 SEED=number
	$(RUN) python -m tests.crash.kill_writers --url '$(or $(URL_OF_$(or $(STORE),file)),$(STORE))' --kills $(or $(KILLS),1000) $(if $(SEED),--seed $(SEED)) $(if $(DURABILITY),--durability $(DURABILITY))

crash-postgres: .venv/.synced ## SIGKILL a PostgreSQL server under writers; KILLS=100 SEED=number
	$(RUN) python -m tests.crash.kill_postgres --kills $(or $(KILLS),100) $(if $(SEED),--seed $(SEED))

bench: .venv/.synced ## what steps and checkpoints cost, beside the physical floor; ROUNDS=7 ONLY="engine memory"
	$(RUN) python -m benchmarks $(ONLY) --rounds $(or $(ROUNDS),7)

bench-curves: .venv/.synced ## draw what a step costs against size, keys, history, graphs and branches; ROUNDS=3
	$(RUN) python -m benchmarks.curves --rounds $(or $(ROUNDS),3)

bench-peers: .venv/.synced ## the same work done by other libraries, each in an environment of its own; ROUNDS=3 ONLY="sqlite files"
	$(RUN) python -m benchmarks.contest $(ONLY) --rounds $(or $(ROUNDS),3)

format: .venv/.synced ## rewrite the code in the project's style
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

clean: ## remove everything that was bootstrapped or built
	rm -rf $(TOOLS) .venv .peers dist .pytest_cache .mypy_cache .ruff_cache

# Every target works on a fresh clone with only Python 3.11+ and make.
PYTHON ?= python3
TOOLS := .tools
UV := $(TOOLS)/bin/uv
export UV_PYTHON := $(TOOLS)/bin/python
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/.venv
export UV_PYTHON_DOWNLOADS := never
# Compiled modules are kept, whatever the caller's environment says: the tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=
RUN := $(UV) run --no-sync
JOBS ?= 2
# Each process begins with a half of its own: so what a file's tests share is made once.
PARALLEL = -n $(JOBS) --dist worksteal
URL_OF_file := file://{directory}
URL_OF_sqlite := sqlite:///{directory}/checkpoints.db
URL_OF_s3 := {s3}
BESIDE_s3 := python -m tests.plugins.support.s3.with_s3
# A step takes longer there: so a writer lives longer before it is killed, and makes fewer checkpoints.
CRASH_s3 := --longest 0.3 --acks 20
DIST := dist
TORCH := $(TOOLS)/torch
S3RVER := $(TOOLS)/s3rver/node_modules/s3rver/bin/s3rver.js

.PHONY: help demo test test-lowest test-newest test-thorough test-install test-torch test-s3-ceph test-s3rver check docs crash crash-postgres faults-s3 prove-waiting race share bench bench-curves bench-peers bench-report examples wheels format clean

help:
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "spark-graphs needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/.synced: $(UV) pyproject.toml core/pyproject.toml $(wildcard plugins/*/pyproject.toml)
	$(UV) sync --quiet
	@touch $@

demo: .venv/.synced ## index the standard library's sources, killed and resumed on the way; BACKEND=url|s3 KILLS=6
	$(RUN) $(BESIDE_$(BACKEND)) python examples/survive_kills.py --kills $(or $(KILLS),6) --store "$(if $(filter s3,$(BACKEND)),$(URL_OF_s3),$(BACKEND))"

test: .venv/.synced ## every test but the thorough ones, in about three minutes on two cores
	$(RUN) pytest $(PARALLEL) $(ARGS)

test-lowest: $(UV) ## the tests with the lowest dependencies that are declared, on each Python that uv finds; PYTHONS="3.11 3.13"
	JOBS=$(JOBS) PYTHONS="$(PYTHONS)" .ci/test-with lowest $(ARGS)

test-newest: $(UV) ## the same with the newest that are allowed
	JOBS=$(JOBS) PYTHONS="$(PYTHONS)" .ci/test-with newest $(ARGS)

test-install: .venv/.synced ## all that can be installed, from built wheels: each plugin alone, everything, and user code under type checkers
	$(RUN) pytest $(PARALLEL) -m "thorough or not thorough" tests/install tests/plugins/types_arrays $(ARGS)

test-thorough: .venv/.synced ## every test, also those that `make test` leaves out, in about ten minutes
	$(RUN) pytest $(PARALLEL) -m "thorough or not thorough" $(ARGS)

test-torch: $(TORCH)/.synced ## the tests of arrays with PyTorch, whose gigabytes it installs into an environment of its own
	$(TORCH)/bin/python -m pytest -n 0 $(or $(ARGS),tests/plugins/types_arrays)

$(TORCH)/.synced: $(UV) pyproject.toml core/pyproject.toml $(wildcard plugins/*/pyproject.toml)
	UV_PROJECT_ENVIRONMENT=$(CURDIR)/$(TORCH) $(UV) sync --quiet
	$(UV) pip install --quiet --python $(TORCH)/bin/python torch
	@touch $@

check: .venv/.synced docs ## lint, types, import direction and the documentation site
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) pytest -q tests/architecture

docs: .venv/.synced ## the documentation as a site, in site/; a link that leads nowhere or a docstring that can't be read fails
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict

test-s3-ceph: .venv/.synced ## the tests of the S3 backend against Ceph: apt-get install radosgw ceph-mon ceph-osd ceph-common
	$(RUN) python -m tests.plugins.support.s3.with_s3 --server ceph pytest -n 0 $(or $(ARGS),tests/plugins tests/crash -k s3)

test-s3rver: .venv/.synced $(S3RVER) ## the S3 backend refuses s3rver, a server that ignores conditions; needs npm
	$(RUN) pytest -n 0 -k s3rver tests/plugins

$(S3RVER):
	npm install --silent --no-audit --no-fund --prefix $(TOOLS)/s3rver s3rver@3.7.1

crash: .venv/.synced ## SIGKILL a writing process over and over; STORE=file|sqlite|s3 DURABILITY=async KILLS=1000 SEED=number
	$(RUN) $(BESIDE_$(STORE)) python -m tests.crash.kill_writers --url '$(or $(URL_OF_$(or $(STORE),file)),$(STORE))' --kills $(or $(KILLS),1000) $(CRASH_$(STORE)) $(if $(SEED),--seed $(SEED)) $(if $(DURABILITY),--durability $(DURABILITY))

crash-postgres: .venv/.synced ## SIGKILL a PostgreSQL server under writers; KILLS=100 SEED=number
	$(RUN) python -m tests.crash.kill_postgres --kills $(or $(KILLS),100) $(if $(SEED),--seed $(SEED))

race: .venv/.synced ## two processes race for every sequence of a graph; STORE=file|sqlite|s3 SEQUENCES=1000
	$(RUN) $(BESIDE_$(STORE)) python -m tests.crash.race_writers --url '$(or $(URL_OF_$(or $(STORE),file)),$(STORE))' --sequences $(or $(SEQUENCES),1000)

share: .venv/.synced ## workers share the runs of one store, and are killed and paused; STORE=file|sqlite|s3 RUNS=200 KILLS=10 PAUSES=5 SEED=number
	$(RUN) $(BESIDE_$(STORE)) python -m tests.crash.sharing_workers --url '$(or $(URL_OF_$(or $(STORE),file)),$(STORE))' --runs $(or $(RUNS),200) --kills $(or $(KILLS),10) --pauses $(or $(PAUSES),5) $(if $(SEED),--seed $(SEED))

prove-waiting: .venv/.synced ## random programs that wait and try again, disturbed and compared with a model; PROGRAMS=2000 REAL=200 MINUTES=60 SEED=number
	$(RUN) $(BESIDE_s3) python -m tests.waiting.prove --programs $(or $(PROGRAMS),2000) --real $(or $(REAL),200) --minutes $(or $(MINUTES),60) --bugs $(if $(SEED),--seed $(SEED))

faults-s3: .venv/.synced ## drive graphs through an S3 server that fails at random; SCHEDULES=10000 SEED=number
	$(RUN) python -m tests.crash.fault_schedules --schedules $(or $(SCHEDULES),10000) $(if $(SEED),--seed $(SEED))

bench: .venv/.synced ## what steps and checkpoints cost, beside the physical floor; ROUNDS=7 ONLY="engine memory"
	$(RUN) python -m benchmarks $(ONLY) --rounds $(or $(ROUNDS),7)

bench-curves: .venv/.synced ## draw what a step costs against size, keys, history, graphs and branches; ROUNDS=3
	$(RUN) python -m benchmarks.curves --rounds $(or $(ROUNDS),3)

bench-peers: .venv/.synced ## the same work done by other libraries, each in an environment of its own; ROUNDS=3 ONLY="sqlite files"
	$(RUN) python -m benchmarks.contest $(ONLY) --rounds $(or $(ROUNDS),3)

bench-report: .venv/.synced ## measure all that docs/performance.md shows, in about eight minutes, and write it there; ROUNDS=3 ONLY="contest costs curves"
	$(RUN) python -m benchmarks.report $(ONLY) --rounds $(or $(ROUNDS),3)

examples: .venv/.synced ## a conversation of 5,000 messages, a map over 10,000 files and a refund agent, all killed and resumed; KILLS=6 BACKEND=file|sqlite
	$(RUN) python examples/survive_kills.py --kills $(or $(KILLS),6) --store '$(URL_OF_$(or $(BACKEND),file))' conversation.py --messages $(or $(MESSAGES),5000)
	$(RUN) python examples/survive_kills.py --kills $(or $(KILLS),6) --store '$(URL_OF_$(or $(BACKEND),file))' map_files.py --files $(or $(FILES),10000)
	$(RUN) python examples/survive_kills.py --kills $(or $(KILLS),6) --store '$(URL_OF_$(or $(BACKEND),file))' refund_agent.py --unattended --payments /dev/null

wheels: $(UV) ## the sdist and the wheel of every distribution, in dist/
	@rm -f $(DIST)/spark_graphs*.whl $(DIST)/spark_graphs*.tar.gz
	$(UV) build --all-packages --out-dir $(DIST)

format: .venv/.synced ## rewrite the code in the project's style
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

clean: ## remove everything that was bootstrapped or built
	rm -rf $(TOOLS) .venv .peers dist site .pytest_cache .mypy_cache .ruff_cache

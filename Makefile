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
# On two cores: many tests wait for processes and servers, so a third process of pytest finds time.
JOBS ?= 3
# Each process begins with a half of its own: so what a file's tests share is made once.
PARALLEL = -n $(JOBS) --dist worksteal
# Where there is no server, pytest says what to install, and ends with 5: there were no tests.
OR_LEFT_OUT := test $$? -eq 5
URL_OF_file := file://{directory}
URL_OF_sqlite := sqlite:///{directory}/checkpoints.db
URL_OF_s3 := {s3}
$(foreach server,postgresql pgbouncer mariadb,$(eval URL_OF_$(server) := {database})$(eval BESIDE_$(server) := python -m tests.plugins.support.with_database $(server)))
BESIDE_s3 := python -m tests.plugins.support.s3.with_s3
# A step takes longer there: so a writer lives longer before it is killed, and makes fewer checkpoints.
CRASH_s3 := --longest 0.3 --acks 20
DIST := dist
TORCH := $(TOOLS)/torch
S3RVER := $(TOOLS)/s3rver/node_modules/s3rver/bin/s3rver.js

.PHONY: help demo test test-lowest test-newest test-rest test-thorough test-install test-ui test-ray test-torch test-pgbouncer test-mariadb test-s3-ceph test-s3rver check docs pictures crash crash-postgres faults-s3 prove-waiting prove-workers race bench bench-curves bench-peers bench-workers bench-report examples wheels format clean

help:
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "spark-graphs needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/.synced: $(UV) pyproject.toml core/pyproject.toml $(wildcard plugins/*/pyproject.toml)
	$(UV) sync --quiet
	@touch $@

demo: .venv/.synced ## index the standard library's sources, killed and resumed on the way; BACKEND=url|s3 KILLS=6 EXECUTOR=process|ray
	$(if $(EXECUTOR),SPARK_EXECUTOR_PARSING=$(EXECUTOR)) $(RUN) $(BESIDE_$(BACKEND)) python examples/survive_kills.py --kills $(or $(KILLS),6) --store "$(if $(filter s3,$(BACKEND)),$(URL_OF_s3),$(BACKEND))"

test: .venv/.synced ## every test but the thorough ones, in three to five minutes on two cores
	$(RUN) pytest $(PARALLEL) $(ARGS)

test-lowest: $(UV) ## the tests with the lowest dependencies that are declared, on each Python that uv finds; PYTHONS="3.11 3.13"
	JOBS=$(JOBS) PYTHONS="$(PYTHONS)" .ci/test-with lowest $(ARGS)

test-newest: $(UV) ## the same with the newest that are allowed
	JOBS=$(JOBS) PYTHONS="$(PYTHONS)" .ci/test-with newest $(ARGS)

test-install: .venv/.synced ## all that can be installed, from built wheels: each plugin alone, everything, and user code under type checkers
	$(RUN) pytest $(PARALLEL) -m "thorough or not thorough" tests/install tests/plugins/types_arrays $(ARGS)

test-ui: .venv/.synced ## the browser view, also in a real browser: apt-get install chromium
	$(RUN) pytest -n 0 -m "thorough or not thorough" $(or $(ARGS),tests/plugins/ui)

test-rest: .venv/.synced ## the tests that `make test` leaves out, but those that start Ray: thorough ones, in six to twelve minutes
	$(RUN) pytest $(PARALLEL) -m thorough $(ARGS)

test-thorough: .venv/.synced ## every test: those of `make test`, and those that it leaves out
	$(RUN) pytest $(PARALLEL) -m "thorough or not thorough" $(ARGS)

test-ray: .venv/.synced ## every test that starts Ray; then runs on a cluster of several raylets, killed at random; RUNS=30 ITEMS=1000 KILLS=12 MINUTES=10 SEED=number
	SPARK_TEST_RAY=1 $(RUN) pytest -n 0 -m ray $(ARGS)
	$(RUN) python -m tests.crash.kill_ray --runs $(or $(RUNS),30) --kills $(or $(KILLS),12) --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))
	$(RUN) python -m tests.crash.kill_ray --items $(or $(ITEMS),1000) --kills $(or $(KILLS),12) --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

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

pictures: .venv/.synced ## the pictures of README, made anew from its first program and from the browser view: apt-get install chromium
	$(RUN) python -m tests.docs.pictures

test-pgbouncer: .venv/.synced ## PostgreSQL behind PgBouncer in transaction mode, raced and killed: apt-get install pgbouncer; KILLS=20
	$(RUN) pytest -n 0 -m "thorough or not thorough" $(or $(ARGS),tests/plugins/sql/test_pgbouncer.py) || $(OR_LEFT_OUT)
	$(MAKE) race crash STORE=pgbouncer SEQUENCES=300 KILLS=$(or $(KILLS),20)
	$(if $(shell command -v pgbouncer),$(RUN) python -m tests.crash.kill_postgres --pgbouncer --kills $(or $(KILLS),20))

test-mariadb: .venv/.synced ## the SQL backend on MariaDB, raced and killed: apt-get install mariadb-server; KILLS=20
	$(RUN) pytest -n 0 -m "thorough or not thorough" $(or $(ARGS),tests/plugins/sql/test_mariadb.py) || $(OR_LEFT_OUT)
	$(MAKE) race crash STORE=mariadb SEQUENCES=300 KILLS=$(or $(KILLS),20)

test-s3-ceph: .venv/.synced ## the tests of the S3 backend against Ceph: apt-get install radosgw ceph-mon ceph-osd ceph-common
	$(RUN) python -m tests.plugins.support.s3.with_s3 --server ceph pytest -n 0 $(or $(ARGS),tests/plugins tests/crash -k s3)

test-s3rver: .venv/.synced $(S3RVER) ## the S3 backend refuses s3rver, a server that ignores conditions; needs npm
	$(RUN) pytest -n 0 -k s3rver tests/plugins

$(S3RVER):
	npm install --silent --no-audit --no-fund --prefix $(TOOLS)/s3rver s3rver@3.7.1

crash: .venv/.synced ## SIGKILL a writing process over and over; STORE=file|sqlite|s3|postgresql|pgbouncer|mariadb DURABILITY=async KILLS=1000 SEED=number
	$(RUN) $(BESIDE_$(STORE)) python -m tests.crash.kill_writers --url '$(or $(URL_OF_$(or $(STORE),file)),$(STORE))' --kills $(or $(KILLS),1000) $(CRASH_$(STORE)) $(if $(SEED),--seed $(SEED)) $(if $(DURABILITY),--durability $(DURABILITY))

crash-postgres: .venv/.synced ## SIGKILL a PostgreSQL server under writers; KILLS=100 SEED=number
	$(RUN) python -m tests.crash.kill_postgres --kills $(or $(KILLS),100) $(if $(SEED),--seed $(SEED))

race: .venv/.synced ## two processes race for every sequence of a graph; STORE=file|sqlite|s3|postgresql|pgbouncer|mariadb SEQUENCES=1000
	$(RUN) $(BESIDE_$(STORE)) python -m tests.crash.race_writers --url '$(or $(URL_OF_$(or $(STORE),file)),$(STORE))' --sequences $(or $(SEQUENCES),1000)

prove-workers: .venv/.synced ## workers share the runs of one PostgreSQL, and are killed and stopped; WORKERS=8 RUNS=1000 MINUTES=0 SEED=number STORE=postgres|pgbouncer|mariadb|file|sqlite|s3
	$(RUN) $(BESIDE_$(STORE)) python -m tests.crash.prove_workers --url '$(or $(URL_OF_$(STORE)),$(STORE),postgres)' --workers $(or $(WORKERS),8) --runs $(or $(RUNS),1000) --minutes $(or $(MINUTES),0) $(if $(SEED),--seed $(SEED))

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

bench-workers: .venv/.synced ## runs per second of one PostgreSQL as workers are added, for docs/scaling.md; RUNS=400
	$(RUN) python -m benchmarks.workers --runs $(or $(RUNS),400)

bench-report: .venv/.synced ## measure all that docs/performance.md shows, in about eight minutes, and write it there; ROUNDS=3 ONLY="contest costs curves"
	$(RUN) python -m benchmarks.report $(ONLY) --rounds $(or $(ROUNDS),3)

examples: .venv/.synced ## an index made in the event loop, in processes and on Ray, and three more programs, all killed and resumed; KILLS=6 BACKEND=file|sqlite
	for executor in loop process ray; do SPARK_EXECUTOR_PARSING=$$executor $(RUN) python examples/survive_kills.py --kills $(or $(KILLS),6) --store '$(URL_OF_$(or $(BACKEND),file))' || exit 1; done
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

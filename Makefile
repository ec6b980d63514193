# Everything a developer runs.  `make` alone lists the targets.

PYTHON       ?= python3
BACKEND      ?= tensorflow
PYTEST_ARGS  ?=
WORKERS      ?= 2
BENCH_OUT    ?= benchmarks/results/speed.json
BENCH_ARGS   ?=

VENV         := .venv
PY           := $(VENV)/bin/python
# -qq hides pip's progress and warnings; its errors stay visible.
PIP          := $(PY) -m pip --disable-pip-version-check -qq install
BACKENDS     := tensorflow jax torch
# The lowest Keras that pyproject.toml allows.
LOWEST_KERAS := $(shell sed -n 's/.*"keras>=\([0-9.]*\)".*/\1/p' pyproject.toml)
LOWEST       := $(VENV)/lowest
# Tests run side by side, each process on one thread: two that share the cores thread by thread are slower than one.
PYTEST       := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)
# The tests that mean the same on every backend.
PORTABLE     := tests/contract tests/golden tests/models tests/data/test_pairing.py tests/test_recording.py tests/cli/test_backends.py
# What the lowest Keras is not asked for: long, and nothing in it depends on the version of Keras alone.
NOT_LOWEST   := $(foreach name,reuse back_off health_monitor,--ignore=tests/contract/test_$(name).py)
LOCK         := pyproject.toml constraints.txt

ifeq ($(filter $(BACKEND),$(BACKENDS)),)
$(error BACKEND=$(BACKEND): choose one of $(BACKENDS))
endif

export TF_CPP_MIN_LOG_LEVEL ?= 3
# Tests of JAX compile much the same again and again: two fifths less time with what they compiled kept.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/$(VENV)/jax-cache
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES ?= -1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help install browser demo test test-all test-lowest test-verdicts lint format bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  BACKEND=tensorflow|jax|torch chooses the backend of test and demo, PYTHON=... the Python of a new $(VENV)."

install: $(VENV)/.installed-$(BACKEND) $(VENV)/.installed-dev  ## make .venv with the backend and the development tools

browser:  ## install Debian's chromium, where there is none, for the tests of the report
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	  echo "Installing chromium"; \
	  root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$root apt-get update -qq && \
	    $$root apt-get install -y -qq --no-install-recommends chromium fonts-liberation >/dev/null

demo: $(VENV)/.installed-$(BACKEND)  ## train on the packaged digits, print the table and where the figures are
	$(VENV)/bin/flipgrad run digits --backend $(BACKEND)

ifeq ($(BACKEND),tensorflow)
test: $(VENV)/.installed-tensorflow $(VENV)/.installed-dev  ## the test suite; BACKEND=jax or torch: what depends on the backend
	KERAS_BACKEND=tensorflow $(PYTEST)
else
test: $(VENV)/.installed-$(BACKEND) $(VENV)/.installed-dev
	KERAS_BACKEND=$(BACKEND) $(PYTEST) $(PORTABLE)
endif

test-all: $(VENV)/.installed-tensorflow $(VENV)/.installed-dev  ## also the long trainings, every backend and the lowest Keras
	KERAS_BACKEND=tensorflow $(PYTEST) -m "slow or not slow"
	$(MAKE) test BACKEND=jax
	$(MAKE) test BACKEND=torch
	$(MAKE) test-lowest

test-lowest: $(VENV)/.installed-tensorflow $(VENV)/.installed-dev $(VENV)/.lowest-$(LOWEST_KERAS)  ## what depends on the backend, on the lowest Keras allowed
	@PYTHONPATH=$(CURDIR)/$(LOWEST) KERAS_BACKEND=tensorflow $(PY) -c \
	  'import keras; print("Keras", keras.__version__); assert keras.__version__ == "$(LOWEST_KERAS)"'
	PYTHONPATH=$(CURDIR)/$(LOWEST) KERAS_BACKEND=tensorflow $(PYTEST) $(NOT_LOWEST) $(PORTABLE)

test-verdicts: $(VENV)/.installed-tensorflow $(VENV)/.installed-dev  ## every verdict on trainings made sick on purpose, over five seeds
	KERAS_BACKEND=tensorflow $(PYTEST) -m "slow or not slow" tests/health/test_verdicts.py

lint: $(VENV)/.installed-dev  ## ruff and mypy, changing nothing
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(VENV)/.installed-dev  ## let ruff fix and format the code
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(VENV)/.installed-tensorflow  ## measure the speed on this machine; BENCH_ARGS="--help" lists the options
	$(PY) benchmarks/speed.py --out $(BENCH_OUT) $(BENCH_ARGS)
	$(PY) benchmarks/monitoring.py --out benchmarks/results/monitoring.json

clean:  ## remove .venv and caches; runs/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment for all backends.  A stamp is older than pyproject.toml or constraints.txt when they have changed.

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: $(PYTHON) was not found; install Python 3.11 to 3.13, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "make: Python 3.11 to 3.13 is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
	    "name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "make: $(PYTHON) cannot make environments;" \
	    "install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || { echo "Making $(VENV)"; $(PYTHON) -m venv $(VENV); } || { \
	  rm -rf $(VENV); echo "make: $(VENV) could not be made with $(PYTHON); see above" >&2; exit 1; }
	@touch $@

$(VENV)/.installed-%: $(LOCK) | $(VENV)/.made
	@echo "Installing flipgrad[$*] into $(VENV)"
	@$(PIP) -c constraints.txt -e '.[$*]'
	@touch $@

# Only Keras itself; put in front with PYTHONPATH, it hides the installed one.
$(VENV)/.lowest-%: | $(VENV)/.made
	@echo "Installing Keras $* into $(LOWEST)"
	@rm -rf $(LOWEST)
	@$(PIP) --no-deps --target $(LOWEST) keras==$*
	@touch $@

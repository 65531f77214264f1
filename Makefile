# Two commands for a newcomer: `make quickstart` and `make test`. Both set the environment up first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= 2
# On Linux the plain index carries CUDA builds; this one carries the CPU build of the same version.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

export OMP_NUM_THREADS := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: environment quickstart test lint format

environment: $(VENV)/.ready

$(VENV)/.ready: envs/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 environment"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'setuptools>=77'
	@case "$$(uname -s)" in \
	  Linux) $(BIN)/python -m pip install --quiet --retries 0 --extra-index-url $(TORCH_INDEX) --requirement envs/torch-cpu.txt ;; \
	esac
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

quickstart: environment
	snakemake --cores $(CORES) --configfile config/quickstart.yaml

test: environment
	python -m pytest -n 2

lint: environment
	ruff check . && ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint

format: environment
	ruff check --fix . && ruff format .
	snakefmt Snakefile workflow

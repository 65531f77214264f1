# Two commands for a newcomer: `make quickstart` and `make test`. Both set the environment up first.

PYTHON ?= python3
VENV := .venv
GPAW_VENV := .venv-gpaw
BIN := $(VENV)/bin
CORES ?= 2
# On Linux the plain index carries CUDA builds; this one carries the CPU build of the same version.
# `make environment TORCH=cuda` takes the plain one (docs/gpu.md).
TORCH ?= cpu
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

export OMP_NUM_THREADS := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: environment quickstart test test-all slurm-test lint format benchmark gpaw

environment: $(VENV)/.ready

$(VENV)/.ready: envs/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 environment"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'setuptools>=77'
	@case "$(TORCH) $$(uname -s)" in \
	  "cpu Linux") $(BIN)/python -m pip install --quiet --retries 0 --extra-index-url $(TORCH_INDEX) --requirement envs/torch-cpu.txt ;; \
	esac
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

quickstart: environment
	snakemake --cores $(CORES) --configfile config/quickstart.yaml
	snakemake --cores $(CORES) --configfile config/quickstart.yaml -- results/certificate.json

# A file's tests share what they run; the files keep the order of tests/conftest.py.
PYTEST := python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=25

test: environment
	$(PYTEST)

# With the slow variants of the end-to-end tests.
test-all: environment
	$(PYTEST) -m "slow or not slow"

# As root, on a machine without a SLURM of its own: starts a cluster, and disturbs a run on it in every way.
# SLURM_TESTS=tests/slurm runs the whole quickstart on it too, which takes half an hour more, a local run included.
SLURM_TESTS ?= tests/slurm/test_disturbances.py
slurm-test: environment
	python -m pytest -s $(SLURM_TESTS)

lint: environment
	ruff check . && ruff format --check .
	mypy src
	snakefmt --check Snakefile workflow
	snakemake --lint

format: environment
	ruff check --fix . && ruff format .
	snakefmt Snakefile workflow

# What every stage costs on this machine, beside public tools.
benchmark: environment
	python benchmarks/run.py

# Optional real DFT (dft.backend: gpaw), in an environment of its own; see envs/gpaw/requirements.txt.
gpaw: $(GPAW_VENV)/.ready

$(GPAW_VENV)/.ready: envs/gpaw/requirements.txt envs/gpaw/siteconfig.py
	@printf '#include <Python.h>\n#include <xc.h>\n#include <cblas.h>\nint main() { return 0; }\n' \
	  | g++ -x c++ - -I "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')" -lxc -lopenblas -o /dev/null \
	  || { echo "GPAW is compiled here and needs a C++ compiler, libxc, OpenBLAS and Python's headers. On Debian and Ubuntu: sudo apt install g++ python3-dev libxc-dev libopenblas-dev"; exit 1; }
	@$(PYTHON) -m venv $(GPAW_VENV) || { echo "On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	GPAW_CONFIG=$(CURDIR)/envs/gpaw/siteconfig.py $(GPAW_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement envs/gpaw/requirements.txt
	$(GPAW_VENV)/bin/python -I src/matwheel/dft/gpaw_process.py --environment PBE
	@touch $@

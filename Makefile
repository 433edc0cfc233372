# Everything runs in .venv, which the first target that needs it makes: `make demo` and `make test`
# are all a fresh machine with Python and a C++ compiler needs.

PYTHON ?= python3
TORCH ?= 2.11.0
VENV ?= .venv

# Exact packages, with their hashes, for a torch that tools/lock.sh has written them for; with LOCK=
# the newest that fit.
LOCK ?= $(wildcard requirements/torch-$(TORCH).txt)

# Of pyproject.toml: all that a test, an example or the bench imports.
EXTRAS ?= demo examples bench bench-jax docs interop keras

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet \
  $(if $(LOCK),--constraint $(LOCK) --constraint requirements/common.txt)
# Shell globs, not a list by hand: a new kernel is built without a change here.
SOURCES := $(shell find csrc build_support -type f -not -name '*.pyc') setup.py pyproject.toml

# One test process a core: most of the time goes to compilers, and to kernels that are executed.
IN_PARALLEL := --numprocesses auto --dist worksteal

.PHONY: help demo test slow-test lint format bench docs dist clean

help:
	@echo 'make demo    train a small model on real data, print accuracies, draw learning curves'
	@echo 'make test    build and run the test suite, but for what takes many minutes'
	@echo 'make slow-test  the rest of it: planted faults, kernels in bfloat16'
	@echo 'make lint    ruff, mypy --strict, clang-format'
	@echo 'make format  let ruff and clang-format rewrite the files'
	@echo 'make bench   how fast it is, beside its rivals, on the GPU or else the CPU'
	@echo 'make docs    the documentation, into build/site'
	@echo 'make dist    the source distribution, and from it a wheel for this torch, into dist'
	@echo 'make clean   remove what was built, and $(VENV)'
	@echo
	@echo 'Variables: TORCH=$(TORCH) (the torch version), PYTHON=$(PYTHON), VENV=$(VENV),'
	@echo '           LOCK=$(LOCK) (pinned packages; empty: the newest),'
	@echo '           PYTEST_ARGS (such as "-k forward"), BENCH_ARGS (such as "--quick")'

demo: $(VENV)/installed $(VENV)/extras
	$(BIN)/python -m per_step_dense demo

test: $(VENV)/installed $(VENV)/extras $(VENV)/wheels
	$(BIN)/python -m pytest $(IN_PARALLEL) -m "not slow" $(PYTEST_ARGS)

slow-test: $(VENV)/installed $(VENV)/extras
	$(BIN)/python -m pytest $(IN_PARALLEL) -m slow $(PYTEST_ARGS)

lint: $(VENV)/installed $(VENV)/extras
	PATH=$(abspath $(BIN)):$$PATH sh tools/lint.sh

format: $(VENV)/installed $(VENV)/extras
	PATH=$(abspath $(BIN)):$$PATH sh tools/lint.sh --fix

bench: $(VENV)/installed $(VENV)/extras
	$(BIN)/python -m bench $(BENCH_ARGS)

docs: $(VENV)/installed $(VENV)/extras
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/site
	@echo 'build/site/index.html'

# Its version says what the wheel is for. `python -m build` makes the wheel of the unpacked source.
dist: $(VENV)/dev
	rm -rf dist
	PER_STEP_DENSE_LOCAL_VERSION=1 $(BIN)/python -m build --no-isolation
	$(BIN)/python -m twine check --strict dist/*

# torch first, and of the version asked for: the extension is built against it.
$(VENV)/torch-$(TORCH):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(if $(LOCK),--requirement requirements/pip.txt,--upgrade pip)
	@echo 'Installing torch $(TORCH) into $(VENV): a download of some GB, a minute or several'
	$(INSTALL) torch==$(TORCH)
	rm -f $(VENV)/torch-*
	touch $@

$(VENV)/dev: $(VENV)/torch-$(TORCH) pyproject.toml $(wildcard requirements/*)
	$(INSTALL) --group dev torch==$(TORCH)
	touch $@

# The package itself cannot have a hash.
$(VENV)/extras: $(VENV)/dev
	$(BIN)/python tools/requirements.py $(EXTRAS) >$@.txt
	$(INSTALL) --requirement $@.txt torch==$(TORCH)
	touch $@

$(VENV)/installed: $(VENV)/dev $(SOURCES)
	@echo 'Compiling the extension: some minutes'
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@

# Of mbrl the wheel alone, for a test to read: pip finds no set of versions that it depends on.
$(VENV)/wheels: $(VENV)/dev
	$(BIN)/python -m pip download --quiet --no-deps --dest $@ --requirement requirements/mbrl.txt
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info per_step_dense/_C*.so

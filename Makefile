# make demo    the main job: photo, motion and camera to finished frames; writes build/demo/
# make test    every test, in the backend's Python and in Blender's
# make bench   the benchmarks, which compare with a peer or a limit
# make extension   the extension: one zip for every Blender, checked, and its repository listing, in build/extension/

PYTHON ?= python3.11
PYTHON_5_2 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.13*/bin/python3.13) $(shell command -v python3.13 2>/dev/null))
BACKEND := .venv/bin/python
BLENDER := .venv-blender-5.0/bin/python
PIP := -m pip install -q --disable-pip-version-check

.PHONY: demo test test-backend test-blender bench extension lint clean

# torch first and alone: a range would bring gigabytes of CUDA
.venv/.ready: constraints.txt backend/pyproject.toml shared/pyproject.toml
	$(PYTHON) -m venv .venv
	$(BACKEND) $(PIP) torch==2.13.0
	$(BACKEND) $(PIP) -c constraints.txt -e shared -e 'backend[smplx,train,demo,test]'
	touch $@

.venv-blender-4.5/.ready: shared/pyproject.toml
	$(PYTHON) -m venv .venv-blender-4.5
	.venv-blender-4.5/bin/python $(PIP) bpy==4.5.15 pytest pytest-timeout -e shared
	touch $@

.venv-blender-5.0/.ready: shared/pyproject.toml
	$(PYTHON) -m venv .venv-blender-5.0
	.venv-blender-5.0/bin/python $(PIP) bpy==5.0.1 pytest pytest-timeout -e shared
	touch $@

.venv-blender-5.2/.ready: shared/pyproject.toml
	$(PYTHON_5_2) -m venv .venv-blender-5.2
	.venv-blender-5.2/bin/python $(PIP) bpy==5.2.3 pytest pytest-timeout -e shared
	touch $@

# ARGS takes the demo's options, for example: make demo ARGS="--photo me.jpg --frames 24"
demo: .venv/.ready .venv-blender-5.0/.ready
	$(BACKEND) packaging/demo/demo.py --blender-python $(BLENDER) $(ARGS)

# Blender 5.2 needs Python 3.13; where there is none, 4.5 and 5.0 are tested
VERSIONS := 4.5 5.0 $(if $(PYTHON_5_2),5.2)
TEST_BLENDER := $(addprefix test-blender-,$(VERSIONS))

# Two suites at a time, each on a core: more threads of torch would only be in each other's way
test:
	@$(if $(PYTHON_5_2),,echo "no Python 3.13 found: Blender 5.2 is left out";)
	$(MAKE) -j4 .venv/.ready $(VERSIONS:%=.venv-blender-%/.ready)
	OMP_NUM_THREADS=1 $(MAKE) -j2 test-backend $(TEST_BLENDER) lint

lint: .venv/.ready
	$(BACKEND) -m ruff check .
	$(BACKEND) -m ruff format --check .
	.venv/bin/pyright

test-backend: .venv/.ready .venv-blender-5.0/.ready
	$(BACKEND) -m pytest tests/shared tests/backend tests/parity tests/faults tests/e2e

test-blender: $(TEST_BLENDER)

test-blender-%: .venv/.ready .venv-blender-%/.ready
	@echo "Blender $*"
	.venv-blender-$*/bin/python -m pytest tests/blender

bench: .venv/.ready
	set -e; for b in tests/bench/bench_*.py; do $(BACKEND) $$b; done

extension: .venv/.ready
	$(BACKEND) packaging/build_extension.py

clean:
	rm -rf build .venv .venv-blender-4.5 .venv-blender-5.0 .venv-blender-5.2

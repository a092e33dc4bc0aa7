# Two commands on a fresh machine: `make demo` and `make test`. Both need only Python 3.10 to 3.13 and internet access for pip.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
.DEFAULT_GOAL := help
.PHONY: help wheel demo test test-all cover check faults fuzz bench docs clean

help:
	@echo "make demo   the whole of it on synthetic photographs, into demo/"
	@echo "make test   all tests but those that take minutes each: make test-all"
	@echo "make cover  lines that the tests leave out"
	@echo "make wheel  the wheel and the source distribution, into dist/"
	@echo "make check  ruff, ruff format, mypy"
	@echo "make bench  benchmarks against named peers, one table: IDRID=... FULLRES=... PREPARED=... RUN=..."
	@echo "make docs   the documentation as a site, into site/"
	@echo "make faults kill, fill disks, set clocks: what is lost (minutes; Linux)"
	@echo "make fuzz   10,000 broken and hostile files for everything that reads one, into fuzz/ (hours)"

# A stamp is newer than its requirements once they are installed; a new pin installs again.
$(VENV)/.installed: requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13) and 'Python 3.10 to 3.13 is needed; found ' + sys.version.split()[0] + '. Name another: make PYTHON=python3.12')"
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt requirements-onnx.txt requirements-ray.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

# keras_dr-VERSION-py3-none-any.whl and the source distribution, in dist/
wheel: $(VENV)/.installed-dev
	$(PY) -m build --quiet --outdir dist .

demo: $(VENV)/.installed
	$(PY) cli.py demo demo

# Two processes, each with its own trained run: half the time on two cores, and 3 GB of memory each.
test: $(VENV)/.installed-dev
	$(PY) -m pytest -q -n 2 --dist loadfile

test-all: $(VENV)/.installed-dev
	$(PY) -m pytest -q -n 2 --dist loadfile -m ""

# Children and commands that the tests start are counted too; what coverage writes, a fuzzed loader must not.
cover: $(VENV)/.installed-dev
	mkdir -p coverage
	$(PY) -m coverage run -m pytest -q -n 2 --dist loadfile --ignore tests/fuzz
	$(PY) -m coverage combine -q
	$(PY) -m coverage report

check: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# Data are named on the command line of make, which puts them into the environment.
bench: $(VENV)/.installed
	$(PY) benchmarks/run.py

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

faults: $(VENV)/.installed-dev
	$(PY) tests/faults/drill.py --kills 30

fuzz: $(VENV)/.installed-dev
	$(PY) tests/fuzz/hunt.py --out fuzz

clean:
	rm -rf $(VENV) build dist keras_dr.egg-info coverage demo fuzz site .pytest_cache .mypy_cache .ruff_cache

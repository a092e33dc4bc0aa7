# Two commands on a fresh machine: `make demo` and `make test`. Needs Python 3.10 to 3.13 and a network for pip.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
.DEFAULT_GOAL := help
.PHONY: help demo test check fuzz clean

help:
	@echo "make demo   the whole of it on synthetic photographs, into demo/"
	@echo "make test   all tests"
	@echo "make check  ruff, ruff format, mypy"
	@echo "make fuzz   10,000 broken and hostile files for everything that reads one, into fuzz/ (hours)"

# A stamp is newer than its requirements once they are installed; a new pin installs again.
$(VENV)/.installed: requirements.txt
	$(PYTHON) -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13) and 'Python 3.10 to 3.13 is needed; found ' + sys.version.split()[0] + '. Name another: make PYTHON=python3.12')"
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

demo: $(VENV)/.installed
	$(PY) cli.py demo demo

test: $(VENV)/.installed-dev
	$(PY) -m pytest -q

check: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

fuzz: $(VENV)/.installed-dev
	$(PY) tests/fuzz/hunt.py --out fuzz

clean:
	rm -rf $(VENV) demo fuzz .pytest_cache .mypy_cache .ruff_cache

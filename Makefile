# Two commands on a fresh machine: `make demo` and `make test`. Both need only Python 3.10 to 3.13 and internet access for pip.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
.DEFAULT_GOAL := help
.PHONY: help wheel sbom web web-demo demo test test-all cover check arm arm-short faults fuzz bench docs clean

help:
	@echo "make demo      run every step on synthetic photographs and write demo/"
	@echo "make test      run the tests, except those that take minutes each"
	@echo "make test-all  run all tests"
	@echo "make cover     report the lines that no test runs"
	@echo "make wheel     build the wheel and the source distribution in dist/"
	@echo "make sbom      list the packages of the device and of the workstation as CycloneDX in dist/"
	@echo "make web       build the web page again from web/ (Node 20, npm and a network)"
	@echo "make web-demo  grade photographs in the browser with the shipped grader"
	@echo "make check     run ruff, ruff format and mypy"
	@echo "make arm       compare this machine with an emulated 64-bit Arm processor (half an hour; Debian or Ubuntu): IDRID=... ARM_CACHE=..."
	@echo "make bench     compare the speed with other libraries: IDRID=... FULLRES=... PREPARED=... RUN=..."
	@echo "make docs      build the documentation as a site in site/"
	@echo "make faults    kill commands, fill disks and change clocks, and check that nothing is lost (minutes; Linux)"
	@echo "make fuzz      give each loader 10,000 broken and hostile files, and write fuzz/ (hours)"

# The stamp file is newer than its requirements after an installation; a changed requirement installs again.
$(VENV)/.installed: requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13) and 'Python 3.10 to 3.13 is needed, but this is Python ' + sys.version.split()[0] + '. Name another: make PYTHON=python3.12')"
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt requirements-onnx.txt requirements-ray.txt requirements-dicom.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

# Write keras_dr-VERSION-py3-none-any.whl and the source distribution to dist/.
wheel: $(VENV)/.installed-dev
	$(PY) -m build --quiet --outdir dist .

# The page's scripts, the JPEG decoder and the runtime, which are in the repository because users have no Node.
web:
	cd web && npm ci --no-audit --no-fund && npx tsc --noEmit && bash jpeg/build.sh && node build.mjs

web-demo: $(VENV)/.installed
	$(PY) cli.py web idrid-lite build/web-demo --overwrite
	$(PY) -m edge_demo serve build/web-demo --open

demo: $(VENV)/.installed
	$(PY) cli.py demo demo

# Two processes, each of which trains its own run: half the time on two cores, and 3 GB of memory per process.
test: $(VENV)/.installed-dev
	$(PY) -m pytest -q -n 2 --dist loadfile

test-all: $(VENV)/.installed-dev
	$(PY) -m pytest -q -n 2 --dist loadfile -m ""

# Child processes and commands that the tests start are counted too. The fuzz tests are left out: they report every file
# that a loader writes, and coverage writes files.
cover: $(VENV)/.installed-dev
	mkdir -p coverage
	$(PY) -m coverage run -m pytest -q -n 2 --dist loadfile --ignore tests/fuzz
	$(PY) -m coverage combine -q
	$(PY) -m coverage report

check: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The device's environment holds the wheel alone; a CycloneDX list names every package in it, with its version and licence.
# Where this project itself was installed from, a path of this machine, is left out.
sbom: wheel
	$(PY) -m venv --clear dist/.sbom
	$(PY) -m venv --clear --without-pip dist/.device
	dist/.sbom/bin/python -m pip --python dist/.device/bin/python install --quiet --disable-pip-version-check dist/keras_dr-*.whl
	dist/.sbom/bin/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0
	dist/.sbom/bin/cyclonedx-py environment --output-reproducible --of JSON -o dist/.sbom/device.json dist/.device/bin/python
	dist/.sbom/bin/cyclonedx-py environment --output-reproducible --of JSON -o dist/.sbom/workstation.json $(PY)
	sed 's#file://[^"]*/##' dist/.sbom/device.json > dist/sbom-device.json
	sed 's#file://[^"]*/##' dist/.sbom/workstation.json > dist/sbom-workstation.json
	rm -rf dist/.device dist/.sbom

# The emulation is set up in a folder that is kept; it needs apt-get, dpkg-deb and the keyring of Debian's archive.
ARM_CACHE ?= .arm
arm: $(VENV)/.installed-dev
	$(PY) tests/arm/parity.py --cache $(ARM_CACHE) $(if $(IDRID),--idrid "$(IDRID)")

arm-short: $(VENV)/.installed-dev
	$(PY) tests/arm/parity.py --cache $(ARM_CACHE) --short

# The data are named on make's command line, which sets them as environment variables.
bench: $(VENV)/.installed
	$(PY) benchmarks/run.py

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

faults: $(VENV)/.installed-dev
	$(PY) tests/faults/drill.py --kills 30

fuzz: $(VENV)/.installed-dev
	$(PY) tests/fuzz/hunt.py --out fuzz

clean:
	rm -rf $(VENV) build dist keras_dr.egg-info coverage demo fuzz site .arm .pytest_cache .mypy_cache .ruff_cache

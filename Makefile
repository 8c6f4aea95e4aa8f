# `make run` shows what the project does, `make test` that it works, `make check` that it may be
# merged. `make help` lists the rest.

.DEFAULT_GOAL := help
.PHONY: help run test check check-tests check-parts format lint types imports docs test-slow coverage wheel \
	bench bench-data bench-training licences pages lock audit environment extras clean

# Absolute paths appear nowhere, so the checkout may lie in a folder with spaces in its name.
VENV := .venv
RUN := $(VENV)/bin/python -m
SOURCES := reproducible_ml experiments
# Processes that run tests side by side; tests/conftest.py says how many. OPTIONS="-n0" takes none.
PYTEST := $(RUN) pytest -n logical --dist worksteal
# PYTHON=/path/to/python3.10 chooses the Python that .venv is made with.
export PYTHON

help:  ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 24

run: environment  ## serialize the bundled digits, train the WGAN on them, say where everything lies
	@$(RUN) experiments.mnist_wgan with digits

test: environment  ## the test suite, long rounds left out; OPTIONS="-x tests/models" go to pytest
	@$(PYTEST) $(OPTIONS)

check: extras lint imports  ## everything that CI checks
	@$(MAKE) --no-print-directory -j2 check-tests check-parts

# One session for all tests: it collects them once.
check-tests:
	@$(MAKE) --no-print-directory test OPTIONS="-m 'slow or not slow' $(OPTIONS)"

# Beside the tests, which wait for it nowhere: it waits for network and disk.
check-parts:
	@nice -n 5 $(MAKE) --no-print-directory types
	@nice -n 5 $(MAKE) --no-print-directory docs
	@nice -n 5 $(MAKE) --no-print-directory wheel

format: environment  ## put every file into the project's format
	@$(RUN) ruff check --fix --quiet .
	@$(RUN) ruff format .

lint: environment  ## name what is not in the project's format or breaks its rules
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .

types: extras  ## check the types, strictly
	@$(RUN) mypy $(SOURCES)

imports: environment  ## check which package imports which
	@$(VENV)/bin/lint-imports

test-slow: extras  ## only the long rounds of the test suite
	@$(PYTEST) -m slow $(OPTIONS)

# Not in `make check`: counting lines makes the suite a third slower.
coverage: extras  ## `make test`, and the share of lines and branches that it runs: 90% at least
	@$(MAKE) --no-print-directory test \
		OPTIONS="--cov --cov-report=term-missing:skip-covered --cov-fail-under=90 $(OPTIONS)"

wheel: environment  ## build sdist and wheel, install and use them; PYTHONS="3.10 3.12" in these too
	@sh scripts/check_wheel.sh $(VENV) $(PYTHONS)

docs: extras  ## the documentation site, in build/docs; warnings are errors
	@$(RUN) sphinx -W --keep-going --quiet -b html docs build/docs
	@echo "build/docs/index.html"

bench: bench-data bench-training  ## both measurements against the peers

bench-data: extras  ## measure writing and reading records
	@$(RUN) benchmarks.data

bench-training: extras  ## measure training steps
	@$(RUN) benchmarks.training

licences: environment  ## write docs/licences.md from the metadata of what .venv holds
	@$(VENV)/bin/python scripts/licences.py

pages: environment  ## write the tables of docs/gan-types.md from GAN_TYPES
	@$(VENV)/bin/python scripts/gan_types_page.py

# What the three locks have in common. The hashes are those of every file that the index has of a version.
COMPILE = uv pip compile --quiet --universal --python-version 3.10 --generate-hashes $(LOCK) \
	--custom-compile-command "make lock"

# All extras but gpu, whose packages of CUDA would come to every checkout.
LOCKED := beam search yaml parquet tfds notebook docs dev bench

lock:  ## make the locks again from setup.py (needs uv); LOCK=--upgrade takes newer packages
	@$(COMPILE) $(addprefix --extra ,$(LOCKED)) --output-file requirements-extras.txt setup.py
	@$(COMPILE) --extra dev --constraint requirements-extras.txt --output-file requirements.txt setup.py
	@printf 'pip>=21.3\nsetuptools\nwheel\n' | $(COMPILE) --constraint requirements-extras.txt \
		--output-file requirements-build.txt -
	@sh scripts/constraints.sh requirements-extras.txt >constraints.txt

audit:  ## name known vulnerabilities of what the locks pin (needs an index and pip-audit's data)
	@sh scripts/audit.sh $(VENV)

environment:  ## .venv with what `make run` and `make test` need
	@sh scripts/make_venv.sh $(VENV) requirements.txt

extras:  ## .venv with Beam, the documentation tools and the benchmark peers as well
	@sh scripts/make_venv.sh $(VENV) requirements-extras.txt

clean:  ## remove .venv, builds and caches; data, runs and models stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Every target sets up what it needs in .venv; a second run finds it ready.

VENV := .venv
BIN := $(VENV)/bin
PORT := 8501

# The first Python that is new enough and can make a virtual environment; looked for when needed.
PYTHON = $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	"$$p" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v "$$p" && break; done)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test check nightly bench format lock clean

help:
	@echo "make run     start the dashboard on http://127.0.0.1:$(PORT) (PORT=8502 for another port)"
	@echo "make test    run every test"
	@echo "make check   format, lint, types, import laws and the fast tests"
	@echo "make nightly 20,000 damaged traces through the reader (SEED=7 for the same ones again)"
	@echo "make bench   run the benchmarks and print one table"
	@echo "make setup   make .venv with everything that run and test need"
	@echo "make format  rewrite the code in the project's format"
	@echo "make lock    pin the newest allowed requirements for all platforms"
	@echo "make clean   remove .venv and every cache"

setup: $(VENV)/.test $(VENV)/.compiled

run: $(VENV)/.run $(VENV)/.compiled
	@$(BIN)/python -c 'import socket; socket.create_server(("127.0.0.1", $(PORT))).close()' 2>/dev/null \
	|| { echo "Port $(PORT) of 127.0.0.1 is not free: stop what runs there, or choose another with \`make run PORT=8502\`." >&2; exit 1; }
	@exec $(BIN)/streamlit run app.py --server.address 127.0.0.1 --server.port $(PORT)

test: setup
	@$(BIN)/python -m pytest -ra

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -q -m "not slow and not browser and not gpu" tests/unit tests/worker

# Other mutants every day; a failure names its seed and number.
SEED = $(shell date +%Y%m%d)

nightly: setup
	@$(BIN)/python -m tests.trace_fuzz --count 20000 --seed $(SEED)

bench: setup
	@$(BIN)/python -m benchmarks

format: setup
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format .

LOCK := uv pip compile --universal --python-version 3.11 --no-header --no-emit-index-url \
	--no-emit-find-links --upgrade --quiet pyproject.toml

lock: setup
	@$(BIN)/python -m pip install --quiet uv
	$(BIN)/$(LOCK) --output-file requirements.txt
	$(BIN)/$(LOCK) --extra test --constraints requirements.txt --output-file requirements-test.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache test-output *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" \
	|| { echo "ortlab needs Python 3.11 or newer with its venv module (Debian and Ubuntu: apt-get install python3 python3-venv), and none was found." >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON) ..."
	@"$(PYTHON)" -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

# Stamps: what is written after the step, so that an interrupted step is done again.
$(VENV)/.run: requirements.txt pyproject.toml $(BIN)/python
	@echo "Installing what ortlab needs (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --requirement requirements.txt
	@$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

$(VENV)/.test: requirements-test.txt $(VENV)/.run
	@echo "Installing what the tests need ..."
	@$(BIN)/python -m pip install --quiet --requirement requirements-test.txt
	@touch $@

# Workers write no bytecode: compiled once here, each of them starts faster.
$(VENV)/.compiled: $(shell find ortlab pages -name '*.py' 2>/dev/null) $(VENV)/.run
	@$(BIN)/python -m compileall -q ortlab pages
	@touch $@

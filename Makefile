# Two commands for a fresh machine: `make demo` and `make test`. Python 3.11 or later is all they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MINUTES ?= 30
SEED ?= 0
RUNS ?= 10000

.PHONY: demo test check format bench bench-peers chaos model mosquitto micropython outbox-chaos footprint clean

demo: $(READY)  ## Watch a dozen jobs run, be retried, delayed and fail.
	$(BIN)/python -m examples.demo

test: $(READY) mosquitto micropython  ## Everything: style, types, all tests.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

check: $(READY)  ## What every commit passes: style, types, fast tests.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow" tests

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) mosquitto  ## Speed of this machine, printed.
	$(BIN)/python -m benchmarks

outbox-chaos: $(READY) mosquitto  ## 10,000 dispatches, links cut and producers killed: make outbox-chaos SEED=7
	$(BIN)/python -m tests.edge.chaos --seed $(SEED)

footprint: $(READY) mosquitto  ## Megabytes of an installation and of idle processes, and which wheels there are.
	$(BIN)/python -m benchmarks.footprint
	$(BIN)/python -m benchmarks.wheels

bench-peers: $(READY) mosquitto  ## The same for other job queues on Redis, into docs/performance.md.
	$(BIN)/python -m benchmarks.peers

chaos: $(READY) mosquitto  ## Kill things at random: make chaos MINUTES=30 SEED=7
	$(BIN)/python -m tests.faults --minutes $(MINUTES) --seed $(SEED)

model: $(READY)  ## The real code in a simulated world, with deaths anywhere: make model RUNS=10000 SEED=0
	$(BIN)/python -m tests.model --runs $(RUNS) --seed $(SEED) --processes $$(nproc)

mosquitto:  ## Install mosquitto where that is possible without asking.
	@PATH="$$PATH:/usr/sbin"; if command -v mosquitto >/dev/null && command -v mosquitto_pub >/dev/null; \
	then exit 0; fi; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then SUDO=; \
	elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then SUDO="sudo -n"; \
	else echo "mosquitto is not installed, and cannot be without your help: its tests are left out"; \
	exit 0; fi; \
	$$SUDO apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install -y -qq mosquitto mosquitto-clients >/dev/null \
	|| echo "mosquitto could not be installed"

micropython:  ## Install the interpreter of tiny devices beside the tests, where that is possible.
	@sh tests/tools/micropython.sh $(VENV)/micropython $(abspath $(BIN)/python) >/dev/null 2>&1 \
	|| echo "MicroPython could not be installed: its test is left out"

$(READY): pyproject.toml broker/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ./broker -e '.[broker,dev]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

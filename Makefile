RECIPE ?= recipes/demo-int4-gptq.yaml
PYTHON ?= python3
FORMAT ?= genai

NAME := $(basename $(notdir $(RECIPE)))
ARTIFACT := artifacts/$(NAME)
CLIPS := $(addprefix calibration/asterisk-parity/,agent-pass.flac vm-savefolder.flac \
  queue-thereare.flac vm-tocancel.flac tt-weasels.flac)
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help build test lint bench bundle quantizers clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

build: .venv/.ready ## an artifact from RECIPE (default: the demo in int4), proven and tried out
	@$(BIN)/quantkit build $(RECIPE) --out $(ARTIFACT)
	@$(BIN)/quantkit transcribe $(ARTIFACT) $(CLIPS) --references calibration/asterisk-parity/manifest.jsonl

test: .venv/.ready ## every test
	@$(BIN)/python -m pytest

lint: .venv/.ready ## ruff, mypy and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: build ## speed, memory and size of the artifact of RECIPE
	@$(BIN)/quantkit bench $(ARTIFACT) $(CLIPS:%=--audio %)

bundle: build ## the artifact of RECIPE in another runtime's layout, FORMAT (genai or sherpa)
	@$(BIN)/quantkit bundle $(ARTIFACT) --format $(FORMAT) --out $(ARTIFACT)-$(FORMAT)

SCHEMES := int4-olive-kquant int8-ort-dynamic int8-dynamic fp32 int8-rtn int4-rtn int4-kquant int4-gptq \
  mixed-budget mixed-budget-3bit

quantizers: .venv/.ready ## Olive's quantizers and ours: time, memory, errors, damage to the demo
	@$(BIN)/python -m quantkit.bench.quantizers recipes/demo-int4-gptq.yaml --outputs
	@$(BIN)/python -m quantkit.bench.schemes $(SCHEMES:%=recipes/demo-%.yaml)

clean: ## remove artifacts, the stage store and the tools' caches; the environment stays
	rm -rf artifacts .quantkit build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find quantkit tests demo -name __pycache__ -type d -prune -exec rm -rf {} +

# torch first: what depends on it would otherwise choose another build of it.
.venv/.ready: pyproject.toml .constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet -c .constraints.txt -e '.[build,eval,clients,cluster,hub,dev]'
	@touch $@

# Two targets matter to a newcomer: `make demo` and `make test`. Both set the machine up first.

SHELL := /bin/bash
ENV := . scripts/env.sh &&

.PHONY: help setup build demo test lint fmt fuzz chain-spec

help:
	@echo 'make demo         set up, build, and watch a model learn on a chain (about 8 minutes after the build)'
	@echo 'make test         set up, build, run every test'
	@echo 'make setup        install what building needs; says what it does'
	@echo 'make build        the node, the runtime and the workers'
	@echo 'make lint         dependencies, formatting, clippy and documentation, warnings denied'
	@echo 'make fmt          format everything'
	@echo 'make fuzz         fuzz every decoder and verifier (ARGS="RUNS TARGET...")'
	@echo 'make chain-spec   write the chain specifications again'

setup:
	@scripts/setup.sh

build: setup
	@$(ENV) cargo build --locked --workspace $(TARGETS)
	@$(ENV) cd tiles && cargo build --locked --workspace $(TARGETS)

demo: build
	@$(ENV) scripts/demo.py $(ARGS)

# Together with the tests, which are compiled while the runtime for WASM leaves a core idle.
test: TARGETS := --lib --bins --examples --tests
test: build
	@scripts/test.sh

lint: setup
	@scripts/lint.sh

fmt:
	@$(ENV) cargo fmt --all && (cd tiles && cargo fmt --all) && cd tests/bench/tree && cargo fmt

fuzz: setup
	@scripts/fuzz.sh $(ARGS)

chain-spec: build
	@chain-spec/build.sh

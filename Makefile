.DEFAULT_GOAL := help
SHELL := /bin/sh
.SHELLFLAGS := -eu -c
LAB ?= 1

RUN = .venv/bin/
CODE = actions probes reports experiments src lab tests benchmarks

.PHONY: help setup format check test test-unit verify-all demo lab-up lab-down lab-status report build clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: .venv/.synced ## Find or bring uv and Python >= 3.12, and install everything, pinned by hash

.venv/.synced: pyproject.toml uv.lock toolchain.sh
	@python=$$(./toolchain.sh python); uv=$$(./toolchain.sh uv); \
	    UV_PYTHON=$$python $$uv sync --frozen --quiet
	@touch $@

format: setup ## Format the code
	@$(RUN)ruff format $(CODE)
	@$(RUN)ruff check --fix $(CODE)

check: setup ## Format, lint, types and layout
	$(RUN)ruff format --check $(CODE)
	$(RUN)ruff check $(CODE)
	$(RUN)mypy
	$(RUN)pytest -q tests/test_layout.py

test: setup ## Unit and integration tests, and every experiment and every planted defect on real labs, side by side
	$(RUN)pytest -q -n 3

test-unit: setup ## Unit tests only: no socket, no process
	$(RUN)pytest -q -n auto -m "not integration"

verify-all: setup ## The long matrix: every defect against every experiment
	$(RUN)python benchmarks/verify_all.py

demo: lab-up ## Three experiments on the lab: kill pods, drop a zone, slow the PIX gateway
	@$(RUN)python -m lab --lab $(LAB) defect none
	@codes=; for one in kill-wallet-pods drop-zone slow-gateway; do \
	    code=0; $(RUN)holdfast run experiments/$$one.yaml || code=$$?; codes="$$codes $$code"; \
	done; for code in 5 4 1 3 6 2; do case "$$codes" in *$$code*) exit $$code;; esac; done

lab-up: setup ## Start the whole wallet platform on this machine
	@$(RUN)python -m lab --lab $(LAB) up

lab-down: setup ## Stop it; leaves no process and no port
	@$(RUN)python -m lab --lab $(LAB) down

lab-status: setup ## Every piece with its address, version and memory
	@$(RUN)python -m lab --lab $(LAB) status

report: setup ## Render the newest run's report again and say where it lies
	@$(RUN)holdfast report "$$(ls -d runs/*/*/ | sort -t/ -k3 | tail -n 1)"

build: setup ## Build the sdist and the wheel
	@python=$$(./toolchain.sh python); uv=$$(./toolchain.sh uv); \
	    UV_PYTHON=$$python $$uv build --quiet && ls -l dist

clean: ## Remove what was built here; run folders stay
	@rm -rf build dist .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info src/*.egg-info

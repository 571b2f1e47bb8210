# One vocabulary for people and for workflows. `make` alone prints the menu.

PROFILE ?= full
PARAMS  ?=
PYTHON  ?= $(firstword $(foreach name,python3 python python3.14 python3.13 python3.12 python3.11,$(shell $(name) -c "import sys; 11 <= sys.version_info[1] <= 14 and sys.version_info[0] == 3 and print('$(name)')" 2>/dev/null)) python3)
VENV    := .venv
BIN     := $(if $(filter Windows_NT,$(OS)),Scripts,bin)

# Inside the conda environment its own Python is used and nothing but the project itself is added.
ifeq ($(WINE_ENV),conda)
PY    := python
READY := artifacts/.conda-ready
else
PY    := $(VENV)/$(BIN)/python
READY := $(VENV)/.ready
endif

# Tracking: quiet, and recorded offline unless W&B knows who you are.
export WANDB_DIR             ?= $(CURDIR)/artifacts
export WANDB_SILENT          ?= true
export WANDB_CONSOLE         ?= off
export WANDB_ERROR_REPORTING ?= false
export WANDB_DISABLE_GIT     ?= true
export WANDB_DISABLE_CODE    ?= true
ifeq ($(WANDB_API_KEY)$(shell grep -s wandb "$(HOME)/.netrc"),)
export WANDB_MODE            ?= offline
endif

# What a person typed reaches the recipes through the environment, so that no quote in it can become a command.
export VERSION REASON A B

# Notebooks reach git without outputs, and are compared and merged cell by cell: settings of this clone, nothing global.
define git-settings
	@if git rev-parse --git-dir >/dev/null 2>&1; then \
	  git config filter.nbstripout.clean "$(PY) -m nbstripout"; \
	  git config diff.jupyternotebook.command "$(PY) -m nbdime.vcs.git.diffdriver diff"; \
	  git config merge.jupyternotebook.driver "$(PY) -m nbdime.vcs.git.mergedriver merge %O %A %B %L %P"; \
	fi
endef

compile = $(PY) -m uv pip compile pyproject.toml --universal --generate-hashes --python-version 3.11 --no-header \
          --no-emit-index-url --no-annotate --quiet --output-file requirements/$(1).txt

RUN := $(PY) notebooks/run.py --profile $(PROFILE)

.DEFAULT_GOAL := help
.PHONY: help pipeline data eda train evaluate compare serve api ui lab promote rollback sync test check bench images \
        deploy format lock environment

help:  ## this menu
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

pipeline: $(READY)  ## the main job: all notebooks, verdict and reports (PROFILE=quick or full)
	@$(RUN) 01_data 02_eda 03_training 04_evaluation $(PARAMS)

data: $(READY)  ## fetch, check and split the wines: a dataset version
	@$(RUN) 01_data $(PARAMS)

eda: $(READY)  ## what a modeller must know: a report
	@$(RUN) 02_eda $(PARAMS)

train: $(READY)  ## train, calibrate and export: a model version, the candidate (PARAMS="-p seed 7")
	@$(RUN) 03_training $(PARAMS)

evaluate: $(READY)  ## judge the candidate against production: promote or decline
	@$(RUN) 04_evaluation $(PARAMS)

compare: $(READY)  ## a report on two model versions (A=vN B=vM)
	@test -n "$$A" && test -n "$$B" || { echo "Say which two versions: make compare A=v0 B=v1" >&2; exit 2; }
	@$(RUN) compare -p a "$$A" -p b "$$B" $(PARAMS)

serve: $(READY)  ## API on :8000 and page on :8501, until Ctrl-C
	@$(MAKE) --no-print-directory --jobs 2 api ui

api: $(READY)  ## the API alone on http://localhost:8000
	@echo "API: http://localhost:8000 (documentation: http://localhost:8000/docs)"
	@$(PY) -m uvicorn wine_serving.app:app --host 127.0.0.1 --port 8000 --no-access-log

ui: $(READY)  ## the page alone on http://localhost:8501
	@echo "Page: http://localhost:8501"
	@$(PY) -m streamlit run wine_ui/app.py --server.port 8501 --server.address 127.0.0.1 --server.headless true

lab: $(READY)  ## JupyterLab on the notebooks
	@$(PY) -m jupyterlab notebooks

promote: $(READY)  ## a person moves production (VERSION=vN REASON="…")
	@test -n "$$VERSION" && test -n "$$REASON" || { echo 'Say which version and why: make promote VERSION=v1 REASON="…"' >&2; exit 2; }
	@$(PY) -m wine_serving promote "$$VERSION" --reason "$$REASON"

rollback: $(READY)  ## production goes back to the version before
	@$(PY) -m wine_serving rollback --reason "$$REASON"

sync: $(READY)  ## push runs and versions made in the folder to W&B (WINE_REGISTRY=wandb:ENTITY/PROJECT)
	@$(PY) -m wine_serving sync

test: $(READY)  ## all tests that need no root and no network
	@$(PY) -m pytest -n 2 --dist worksteal

check: $(READY)  ## lint, format, types, notebooks clean
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy
	@$(PY) -m nbstripout --verify notebooks/*.ipynb

format: $(READY)  ## let ruff lay out the code
	@$(PY) -m ruff check --fix
	@$(PY) -m ruff format

bench: $(READY)  ## benchmark the serving path and the pipeline
	@$(PY) -m tests.bench

images: $(READY)  ## both container images, by docker, podman or buildah
	@$(PY) .github/images.py

deploy: $(READY)  ## release both services to Cloud Run
	@$(PY) .github/release.py

lock: $(READY)  ## resolve the requirements again
	@$(call compile,dev) --extra serving --extra wandb --extra ui --extra notebooks --extra dev
	@$(call compile,api) --extra serving --constraint requirements/dev.txt
	@$(call compile,api-wandb) --extra serving --extra wandb --constraint requirements/dev.txt
	@$(call compile,ui) --extra ui --constraint requirements/dev.txt

environment: $(READY)  ## only set up the environment

# The one file that make tracks: the environment, made again when the locks change.
$(VENV)/.ready: requirements/dev.txt
	@$(PYTHON) -c "import sys; v = sys.version.split()[0]; (3, 11) <= sys.version_info < (3, 15) or sys.exit(f'Python 3.11 to 3.14 is needed, and $(PYTHON) is {v}: install one of them, or name it: make PYTHON=python3.12 …')"
	@echo "Setting up $(VENV): a minute or two, once"
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(git-settings)
	@touch $@

artifacts/.conda-ready: requirements/dev.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(git-settings)
	@mkdir -p artifacts && touch $@

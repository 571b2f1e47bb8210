# One vocabulary for people and for workflows. `make` alone prints the menu.

PROFILE ?= full
PARAMS  ?=
VENV    := .venv

# Inside the conda environment its own Python is used and nothing but the project itself is added. Elsewhere a file in
# .venv says that it is complete; a Python asked for by name has its own, so that asking for another one is noticed.
ifeq ($(WINE_ENV),conda)
PY      := python
READY   := in-conda
else
PY      := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)/python
READY   := $(VENV)/.ready$(if $(PYTHON),-$(lastword $(notdir $(PYTHON))))
PYTHON  ?= $(firstword $(foreach name,python3 python python3.14 python3.13 python3.12 python3.11,$(if $(filter 3.11.% 3.12.% 3.13.% 3.14.%,$(shell $(name) --version 2>&1; :)),$(name))) python3)
endif

# Tracking: quiet, and recorded offline unless W&B knows who you are.
export WANDB_DIR             ?= $(CURDIR)/artifacts
export WANDB_SILENT          ?= true
export WANDB_CONSOLE         ?= off
export WANDB_ERROR_REPORTING ?= false
export WANDB_DISABLE_GIT     ?= true
export WANDB_DISABLE_CODE    ?= true
# onnxruntime keeps what runs here to itself, in whatever notebook it is imported first.
export ORT_DISABLE_TELEMETRY ?= 1
WANDB_HOST := $(firstword $(subst :, ,$(notdir $(or $(WANDB_BASE_URL),api.wandb.ai))))
ifeq ($(WANDB_API_KEY)$(WANDB_IDENTITY_TOKEN_FILE)$(shell grep -sF "$(WANDB_HOST)" "$${NETRC:-$$HOME/.netrc}" "$$HOME/_netrc"),)
export WANDB_MODE            ?= offline
endif

# What a person typed reaches the recipes through the environment and unexpanded: no quote or dollar in it is a command.
export GIVEN_VERSION = $(value VERSION)
export GIVEN_REASON  = $(value REASON)
export GIVEN_A       = $(value A)
export GIVEN_B       = $(value B)

# PORT belongs to the containers; here both ports are fixed, and the page asks the API beside it.
unexport PORT
API_PORT := 8000
UI_PORT  := 8501
export WINE_API_URL ?= http://localhost:$(API_PORT)
API := $(PY) -m uvicorn wine_serving.app:app --host 127.0.0.1 --port $(API_PORT) --no-access-log
UI  := $(PY) -m streamlit run wine_ui/app.py --server.address 127.0.0.1 --server.port $(UI_PORT) \
       --server.headless true --browser.gatherUsageStats false

# Cell ids and tags stay; the patch release of the Python that ran a notebook is no news.
STRIP := -m nbstripout --keep-id --extra-keys metadata.language_info.version

# Notebooks reach git without outputs, and are compared and merged cell by cell: settings of this clone, nothing global.
GIT_SETTINGS = if [ -e .git ]; then python=$$($(PY) -c 'import sys; print("\"%s\"" % sys.executable.replace("\\", "/"))') && \
    git config filter.nbstripout.clean "$$python $(STRIP)" && git config filter.nbstripout.smudge cat && \
    git config filter.nbstripout.required true && \
    git config diff.jupyternotebook.command "$$python -m nbdime.vcs.git.diffdriver diff" && \
    git config merge.jupyternotebook.driver "$$python -m nbdime.vcs.git.mergedriver merge %O %A %B %L %P"; fi

PIP := $(PY) -m pip install --quiet --disable-pip-version-check

compile = $(PY) -m uv pip compile pyproject.toml --universal --generate-hashes --python-version 3.11 --no-header \
          --no-emit-index-url --no-annotate --quiet --output-file requirements/$(1).txt $(PARAMS)

RUN := $(PY) notebooks/run.py --profile $(PROFILE)

# What releases with images asks for no environment of its own.
ANY_PYTHON = $(or $(PYTHON),$(PY))
export API_IMAGE UI_IMAGE PUSH

.DEFAULT_GOAL := help
.PHONY: help pipeline data eda train evaluate compare serve api ui lab promote rollback sync test check bench images \
        smoke deploy deploy-back cloud export restore save summary decision format lock environment

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
	@[ -n "$$GIVEN_A" ] && [ -n "$$GIVEN_B" ] || { echo "Say which two versions: make compare A=v0 B=v1" >&2; exit 2; }
	@$(RUN) compare -p a "$$GIVEN_A" -p b "$$GIVEN_B" $(PARAMS)

serve: $(READY)  ## API on :8000 and page on :8501, until Ctrl-C
	@echo "API:  http://localhost:$(API_PORT) (documentation: http://localhost:$(API_PORT)/docs)"
	@echo "Page: http://localhost:$(UI_PORT)"
	@trap 'kill $$api $$ui 2>/dev/null; wait' EXIT; trap 'exit 0' INT TERM; \
	$(API) & api=$$!; $(UI) & ui=$$!; \
	while kill -0 $$api && kill -0 $$ui; do sleep 1; done 2>/dev/null; \
	echo "One of the two has stopped, so the other is stopped too" >&2; exit 1

api: $(READY)  ## the API alone on http://localhost:8000
	@echo "API: http://localhost:$(API_PORT) (documentation: http://localhost:$(API_PORT)/docs)"
	@$(API)

ui: $(READY)  ## the page alone on http://localhost:8501
	@echo "Page: http://localhost:$(UI_PORT)"
	@$(UI)

lab: $(READY)  ## JupyterLab on the notebooks
	@$(PY) -m jupyterlab notebooks

promote: $(READY)  ## a person moves production (VERSION=vN REASON="…")
	@[ -n "$$GIVEN_VERSION" ] && [ -n "$$GIVEN_REASON" ] || \
	{ echo 'Say which version and why: make promote VERSION=v1 REASON="…"' >&2; exit 2; }
	@$(PY) -m wine_serving promote "$$GIVEN_VERSION" --reason "$$GIVEN_REASON"

rollback: $(READY)  ## production goes back to the version before
	@$(PY) -m wine_serving rollback --reason "$$GIVEN_REASON"

sync: $(READY)  ## push runs and versions made in the folder to W&B (WINE_REGISTRY=wandb:ENTITY/PROJECT)
	@$(PY) -m wine_serving sync

# Several tests at once share the cores, so that none of them takes all: forests and matrix products use one thread.
test: $(READY)  ## all tests that need no root and no network
	@OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 LOKY_MAX_CPU_COUNT=1 $(PY) -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile \
	--no-loadscope-reorder

check: $(READY)  ## lint, format, types, notebooks clean
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy
	@$(PY) $(STRIP) --verify notebooks/*.ipynb

format: $(READY)  ## let ruff lay out the code
	@$(PY) -m ruff check --fix
	@$(PY) -m ruff format

bench: $(READY)  ## benchmark the serving path and the pipeline
	@$(PY) -m tests.bench

images: export  ## both container images, by docker, podman or buildah (VERSION=vN PUSH=HOST/PATH)
	@$(ANY_PYTHON) .github/containers.py build

smoke:  ## start both images and ask them what a release asks
	@$(ANY_PYTHON) .github/containers.py smoke

deploy:  ## release both services to Cloud Run, or change nothing
	@$(ANY_PYTHON) .github/release.py release

deploy-back:  ## both services return to the pair that served before
	@$(ANY_PYTHON) .github/release.py back

cloud:  ## once for each Google project: what deployments need
	@.github/setup-cloud.sh

# Steps of the workflows: what the API image carries, what outlives a runner, what a verdict means.
export: $(READY)
	@rm -rf artifacts/image
	@$(PY) -m wine_serving export artifacts/image "wine-quality:$${GIVEN_VERSION:-production}"

restore save: $(READY)
	@$(PY) .github/registry_asset.py $@

summary:
	@$(ANY_PYTHON) .github/what_to_deploy.py summary

decision: $(READY)
	@$(PY) .github/what_to_deploy.py decision

# uv does not read pip's settings: whoever has an index of their own there means it for this, too.
lock: $(READY)  ## write requirements/ from pyproject.toml again (PARAMS=--upgrade for newer versions)
	@set -e; UV_DEFAULT_INDEX=$${UV_DEFAULT_INDEX:-$$($(PY) -m pip config get global.index-url 2>/dev/null || true)}; \
	export UV_DEFAULT_INDEX; \
	$(call compile,dev) --extra serving --extra wandb --extra ui --extra notebooks --extra dev; \
	$(call compile,api) --extra serving --constraint requirements/dev.txt; \
	$(call compile,api-wandb) --extra serving --extra wandb --constraint requirements/dev.txt; \
	$(call compile,ui) --extra ui --constraint requirements/dev.txt

environment: $(READY)  ## only set up the environment

ifeq ($(WINE_ENV),conda)
.PHONY: $(READY)
$(READY):
	@$(PY) -c 'import importlib.metadata as m, pathlib; \
	exit(pathlib.Path.cwd().as_uri() not in m.distribution("wine-quality").read_text("direct_url.json"))' 2>/dev/null || \
	{ $(PIP) --no-deps --no-build-isolation --editable . && $(GIT_SETTINGS); }
else
# The one file that make tracks: the environment, brought up to date when the lock changes. Without that file whatever
# is in .venv is the remains of an attempt.
$(READY): requirements/dev.txt
	@[ -e $@ ] || { python="$(PYTHON)"; \
	version=$$($$python --version 2>/dev/null) || version="not there"; \
	case "$$version" in "Python 3.11."*|"Python 3.12."*|"Python 3.13."*|"Python 3.14."*) ;; \
	*) echo "Python 3.11 to 3.14 is needed, and $$python is $${version#Python }:" \
	"install one of them, or name it: make PYTHON=python3.12 …" >&2; exit 1;; esac; \
	echo "Setting up $(VENV) with $$version: a minute or two, once"; \
	$$python -m venv --clear $(VENV); }
	@$(PIP) --no-deps --require-hashes --only-binary :all: --requirement requirements/dev.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@$(GIT_SETTINGS)
	@touch $(VENV)/.ready $@
endif

# One vocabulary for people and for workflows; `make` alone prints the menu. What a person types is data: make would expand it, and
# run what `$(shell …)` in it says. Its text is taken instead, and reaches Python through the environment, where nothing in it is run.
$(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(eval override $(name) := $$(value $(name)))$(eval export $(name))))

PROFILE  ?= full
API_PORT ?= 8000
UI_PORT  ?= 8501
export ACTION ATTESTED_BY ONLY PROFILE PARAMS EXTRA_CSV VERSION REASON A B API_PORT UI_PORT PUSH INPUT OUTPUT MODEL SPACE TRIALS LOG GRADES CSV N
export WINE_API_URL ?= http://localhost:$(value API_PORT)
export PYTHONIOENCODING := $(patsubst x%,%,$(firstword $(subst :, ,x$(value PYTHONIOENCODING)))):replace
unexport PORT PYTHONDONTWRITEBYTECODE  # that is the containers'; each notebook's Python starts faster on compiled code

# Inside conda its own Python is used, elsewhere .venv, which says in which folder it was made and for which Python. One
# that belongs elsewhere (copied, moved, made with another Python than PYTHON names) is set up anew.
override CONDA := $(filter conda,$(value WINE_ENV))
override PY    := $(if $(CONDA),python,.venv/$(if $(filter Windows_NT,$(value OS)),Scripts,bin)/python)
override READY := $(if $(CONDA),in-conda,.venv/.ready)
override MADE  := $(if $(CONDA),,$(shell cat .venv/.python 2>/dev/null))
ifneq ($(CONDA)$(shell cat .venv/.ready 2>/dev/null)|$(MADE),$(CURDIR)|$(or $(value PYTHON),$(MADE)))
.PHONY: $(READY)
endif
override FOUND = $(or $(shell for each in python3 python python3.14 python3.13 python3.12 python3.11 "$$(uv python find 2>/dev/null)"; do "$$each" \
  -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null && echo "$$each" && break; done),$(error Python 3.11 to 3.14 is needed: install it))
override ANY_PYTHON = "$${PYTHON:-$(if $(wildcard $(PY)),$(PY),$(FOUND))}"  # what releases asks for no environment of its own
override RUN := $(PY) notebooks/run.py --profile="$$PROFILE" --typed="$$PARAMS"$(if $(value EXTRA_CSV), -p extra_csv "$$EXTRA_CSV")
override API := $(PY) -m uvicorn wine_serving.app:app --host 127.0.0.1 --port "$$API_PORT" --no-access-log
override UI  := $(PY) -m streamlit run wine_ui/app.py --server.address 127.0.0.1 --server.port "$$UI_PORT" \
                --server.headless true --browser.gatherUsageStats false

.PHONY: $(shell sed -n 's/^\([a-z -]*\):.*/\1/p' Makefile 2>/dev/null)

help:  ## this menu
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

# Notebooks
pipeline: $(READY)  ## the main job: all notebooks, verdict and reports (PROFILE=quick or full, EXTRA_CSV=cellar.csv)
	@$(RUN) 01_data 02_eda 03_training 04_evaluation $(if $(filter quick,$(value PROFILE)),,--afterwards 05_audit)
data: $(READY)  ## fetch, check and split the wines: a dataset version (GRADES=wine-quality-grades:latest)
eda: $(READY)  ## what a modeller must know: a report
train: $(READY)  ## train, calibrate and export: a model version, the candidate (PARAMS="-p seed 7")
evaluate: $(READY)  ## judge the candidate against production: promote or decline
audit: $(READY)  ## what informs and decides nothing, on the newest candidate: a report (LOG=…: what it had answered)
monitor: $(READY)  ## does production still do what it was promoted for? (LOG=artifacts/log/ GRADES=…)
override STAGES := data=01_data eda=02_eda train=03_training evaluate=04_evaluation audit=05_audit monitor=07_monitoring
data eda train evaluate audit monitor:
	@$(RUN) $(patsubst $@=%,%,$(filter $@=%,$(STAGES)))
audit monitor: override RUN += $(if $(value LOG),-p log "$$LOG")
pipeline data monitor: override RUN += $(if $(value GRADES),-p grades "$$GRADES")
compare: $(READY)  ## a report on two model versions (A=vN B=vM)
	@[ -n "$$A" ] && [ -n "$$B" ] || { echo "Say which two versions: make compare A=v0 B=v1" >&2; exit 2; }
	@$(RUN) compare -p a "$$A" -p b "$$B"
reproduce: $(READY)  ## rebuild a version from its record, and say whether it is the same (VERSION=vN)
	@$(PY) notebooks/reproduce.py "$$VERSION"
search: scale  ## try many settings on training wines: a leaderboard, and PROFILE=found (TRIALS=64 SPACE=notebooks/search.yaml)
	@$(RUN) 06_search$(if $(value TRIALS), -p n_trials "$$TRIALS")$(if $(value SPACE), -p space "$$SPACE")
score: scale  ## score a table of any size (INPUT=wines.parquet OUTPUT=scored, MODEL=wine-quality:v3), on Dask
	@exec $(PY) -m wine_serving score --model="$$MODEL" --output="$$OUTPUT" -- "$$INPUT"
lab: $(READY)  ## JupyterLab on the notebooks
	@$(PY) notebooks/tracking.py notebooks

# Serving
serve: $(READY)  ## API on :8000 and page on :8501, until Ctrl-C
	@echo "API: http://localhost:$$API_PORT (documentation: http://localhost:$$API_PORT/docs), page: http://localhost:$$UI_PORT$${STREAMLIT_SERVER_BASE_URL_PATH:+/$${STREAMLIT_SERVER_BASE_URL_PATH#/}}"
	@trap 'kill $$api $$ui 2>/dev/null; wait' EXIT; trap 'exit 0' INT TERM; \
	$(API) & api=$$!; $(UI) & ui=$$!; \
	while kill -0 $$api && kill -0 $$ui; do sleep 1; done 2>/dev/null; \
	echo "One of the two has stopped, so the other is stopped too" >&2; exit 1
api: $(READY)  ## the API alone on http://localhost:8000
	@echo "API: http://localhost:$$API_PORT (documentation: http://localhost:$$API_PORT/docs)" && $(API)
ui: $(READY)  ## the page alone on http://localhost:8501
	@echo "Page: http://localhost:$$UI_PORT$${STREAMLIT_SERVER_BASE_URL_PATH:+/$${STREAMLIT_SERVER_BASE_URL_PATH#/}}" && $(UI)

# Production
promote: $(READY)  ## a person moves production (VERSION=vN REASON="…")
	@$(PY) -m wine_serving promote --reason="$$REASON" -- "$$VERSION"
rollback: $(READY)  ## production goes back to the version before
	@$(PY) -m wine_serving rollback --reason="$$REASON"
log:  ## production's predictions of late, as `make monitor` takes them, into artifacts/log/ (GCP_PROJECT=… SINCE=7d)
	@SINCE="$${SINCE:-7d}" .github/production-log.sh
sample: $(READY)  ## name wines to be tasted, drawn at random, and remember having asked (N=30 LOG=…)
	@$(PY) notebooks/tasting.py sample -- "$${N:-30}" "$$LOG"
grades: $(READY)  ## join tasters' grades to predictions: a version of wine-quality-grades (CSV=… LOG=…)
	@$(PY) notebooks/tasting.py grades -- "$$CSV" "$$LOG"
sync: $(READY)  ## push runs and versions made in the folder to W&B (WINE_REGISTRY=wandb:ENTITY/PROJECT)
	@$(PY) -m wine_serving sync

# Quality. Several tests at once share the cores, so that none of them takes all: each computes in one thread.
test: scale  ## all tests that need no root and no network
	@OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 LOKY_MAX_CPU_COUNT=1 \
	$(PY) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
check: $(READY)  ## lint, format, types, notebooks clean
	@$(PY) -m ruff check && $(PY) -m ruff format --check && $(PY) -m mypy && $(PY) requirements/environment.py check-notebooks
format: $(READY)  ## let ruff lay out the code
	@$(PY) -m ruff check --fix && $(PY) -m ruff format
bench: scale  ## benchmark the serving path and the pipeline (ONLY=gates, serving, monitoring, …: that alone)
	@$(PY) -m tests.bench
lock: $(READY)  ## write requirements/ from pyproject.toml again (PARAMS=--upgrade for newer versions)
	@$(PY) requirements/lock.py $$PARAMS
environment: $(READY)  ## only set up the environment
scale: $(READY)
	@$(PY) requirements/environment.py scale

# Containers and releases
images: export  ## both container images, by docker, podman or buildah (VERSION=vN); PUSH=HOST/PATH asks and pushes them
images containers:
	@$(ANY_PYTHON) .github/containers.py build
smoke: $(READY)  ## start both images, and one that loads from a W&B of this machine, and ask them what a release asks
	@$(PY) .github/containers.py smoke && $(PY) -m tests.stand_ins.wandb_server $(PY) .github/containers.py wandb
deploy:  ## release both services to Cloud Run, or change nothing
	@exec $(ANY_PYTHON) .github/release.py release
deploy-back:  ## both services return to the pair before; again: further back (REASON="…" moves production, too)
	@exec $(ANY_PYTHON) .github/release.py back
verify:  ## what is about to be deployed was built and attested by the workflow (ATTESTED_BY=OWNER/NAME)
	@.github/verify.sh
cloud:  ## once for each Google project: what deployments need
cloud-remove:  ## take back what `make cloud` made; says what is left
cloud cloud-remove:
	@.github/setup-cloud.sh $@

# Steps of the workflows: what the API image carries, what outlives a runner, what a verdict means
export: $(READY)
	@rm -rf artifacts/image && $(PY) -m wine_serving export artifacts/image "wine-quality:$${VERSION:-production}"
restore pack save:
	@$(ANY_PYTHON) .github/registry_asset.py $@
carry-out decision base comment: $(READY)
summary carry-out decision base comment:
	@$(ANY_PYTHON) notebooks/what_follows.py $@

$(READY): requirements/dev.txt pyproject.toml wine_serving/provenance.py
	@$(FOUND) requirements/environment.py

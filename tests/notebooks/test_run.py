"""The main job, as `make pipeline PROFILE=quick` does it: notebooks through papermill, registry, verdict, reports."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd
import pytest
import yaml
from playwright.sync_api import Browser, Page, expect

from tests import servers, tiny
from tests.browser import DESKTOP, PHONE, barriers
from tests.cells import Cells, environment
from tests.conftest import ROOT
from tests.forked import Forks
from tests.runners import SCRIPT
from wine_serving.bundle import Bundle
from wine_serving.registry import DATASET, EVALUATION, MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import encode_columns

pytestmark = pytest.mark.timeout(900)  # notebooks in kernels of their own
STAGES = ("01_data", "02_eda", "03_training", "04_evaluation")
INTERACTIVE = (*STAGES[1:], "compare", STAGES[0])
FOREST = {"n_estimators": 15, "min_samples_leaf": 10}  # half the time of the profile's, and as good
FEW = {"n_resamples": 100}  # what tests need not know exactly
QUICK = yaml.safe_load((ROOT / "notebooks" / "profiles" / "quick.yaml").read_text())


class Pipeline(NamedTuple):
    """A finished run: its registry, its reports and what it printed."""

    registry: FolderRegistry
    reports: Path
    printed: str


def typed(parameters: Mapping[str, object]) -> list[str]:
    """The options that give notebooks these values."""
    return [word for name, value in parameters.items() for word in ("-p", name, str(value))]


def run(
    registry: FolderRegistry, reports: Path, *arguments: str, forks: Forks | None = None
) -> subprocess.CompletedProcess[str]:
    """The runner on this registry, as make starts it, or forked. Offline, as in `.ci/run`, it would take longer."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("WINE_", "WANDB_"))}
    variables = {"WINE_REGISTRY": f"folder:{registry.root}", "WANDB_MODE": "disabled", "WANDB_DIR": str(reports.parent)}
    variables["MPLBACKEND"] = "agg"  # as many a machine without a screen has it: figures belong in reports all the same
    words = ["--profile", "quick", "--reports", str(reports), *arguments]
    if forks:
        return forks.run(SCRIPT, *words, env=given | variables | {"JUPYTER_PATH": str(forks.kernels)})
    command = [sys.executable, str(ROOT / "notebooks" / "run.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=given | variables)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The first run on an empty registry; all tests of this module look at it."""
    place = tmp_path_factory.mktemp("pipeline")
    registry = FolderRegistry(place / "registry")
    done = run(registry, place / "reports", *STAGES, *typed(FOREST | FEW | {"n_trees": 2}))
    assert done.returncode == 0, done.stderr
    return Pipeline(registry, place / "reports", done.stdout)


@pytest.fixture(scope="module")
def continued(pipeline: Pipeline, runners: Forks, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A copy that has gone on: the next version, judged with its verdict.json elsewhere, and compared."""
    place = tmp_path_factory.mktemp("continued")
    registry, reports = copied(pipeline, place)
    with environment(registry.root):
        Cells("03_training", seed=1, **QUICK["03_training"] | FOREST).run()
    elsewhere = FEW | {"a": "v0", "b": "v1", "reports": place / "elsewhere"}
    done = run(registry, reports, "04_evaluation", "compare", *typed(elsewhere), forks=runners)
    assert done.returncode == 0, done.stderr
    return Pipeline(registry, reports, done.stdout)


def copied(pipeline: Pipeline, place: Path) -> tuple[FolderRegistry, Path]:
    """Its registry and its reports."""
    for name in ("registry", "reports"):
        shutil.copytree(pipeline.reports.parent / name, place / name)
    return FolderRegistry(place / "registry"), place / "reports"


@pytest.fixture
def own(pipeline: Pipeline, tmp_path: Path) -> Pipeline:
    """A copy that a test may change."""
    return Pipeline(*copied(pipeline, tmp_path), pipeline.printed)


def test_run_ends_with_verdict_metrics_and_where_the_report_is(pipeline: Pipeline) -> None:
    """What a person at the terminal wants to know."""
    assert "Verdict: promote" in pipeline.printed
    assert "Promoted: v0 is now production" in pipeline.printed
    for metric in ("RMSE", "MSE", "MAE", "R²"):
        assert re.search(rf"{metric} 0\.\d{{3}} \(0\.\d{{3}} to 0\.\d{{3}}\)", pipeline.printed)
    assert f"Report: {pipeline.reports / '04_evaluation.html'}" in pipeline.printed
    assert pipeline.registry.aliases(MODEL) == {"candidate": "v0", "latest": "v0", PRODUCTION: "v0"}


def test_verdict_is_data(pipeline: Pipeline) -> None:
    """In the reports, beside the model version, and in the published evaluation: the same."""
    verdict = json.loads((pipeline.reports / "verdict.json").read_text())
    assert {"verdict", "promoted", "reasons", "gates", "dataset", "candidate", "production"} <= set(verdict)
    assert {"mse", "rmse", "mae", "r2", "coverage"} <= set(verdict["candidate"]["metrics"])
    for metric in verdict["candidate"]["metrics"].values():
        assert metric["low"] <= metric["value"] <= metric["high"]
    assert verdict["production"] is None
    assert verdict["decided_before"] == 0
    published = pipeline.registry.fetch(f"{EVALUATION}:v0")
    kept = json.loads((published / "verdict.json").read_text())
    assert kept == verdict | {"report": None, "promoted": None}  # it is that itself, from before production moved
    assert pipeline.registry.record(f"{MODEL}:v0").evaluation == verdict | {"report": f"{EVALUATION}:v0"}


def test_prediction_is_traced_back_to_ucis_files(pipeline: Pipeline) -> None:
    """Version → training run and notebook → dataset version → digests of UCI's files; forwards, and how to repeat."""
    model = pipeline.registry.record(f"{MODEL}:{PRODUCTION}")
    assert model.run
    assert model.run.notebook == "03_training"
    dataset = pipeline.registry.record(model.inputs[0])
    assert {name: each["sha256"][:8] for name, each in dataset.metadata["sources"].items()} == {
        "winequality-red.csv": "4a402cf0",
        "winequality-white.csv": "76c3f809",
    }
    assert pipeline.registry.used_by(dataset.ref) == [f"{MODEL}:v0", f"{EVALUATION}:v0"]
    assert "make reproduce VERSION=v0" in (pipeline.reports / "03_training.html").read_text()


def test_cards_travel_with_their_versions(pipeline: Pipeline) -> None:
    """Source, licence, digests, counts and oddities; what the model is for and what not."""
    card = (pipeline.registry.fetch(f"{DATASET}:latest") / "DATASET_CARD.md").read_text()
    for said in ("CC BY 4.0", "4a402cf0", "6497 rows are 5320 distinct wines", "Known oddities", "| test |"):
        assert said in card
    assert "must not be used for" in (pipeline.registry.fetch(f"{MODEL}:latest") / "MODEL_CARD.md").read_text()


def test_same_again_publishes_nothing_and_says_unchanged(own: Pipeline) -> None:
    """Identical results are recognised by digest, not by time."""
    before = {name: len(own.registry.records(name)) for name in (DATASET, MODEL, EVALUATION)}
    with environment(own.registry.root):
        Cells("01_data").run()
        Cells("03_training", **QUICK["03_training"] | FOREST).run()
        cells = Cells("04_evaluation", **QUICK["04_evaluation"] | FEW, reports=str(own.reports)).run()
    assert cells["judgement"].told()[0] == "Verdict: unchanged"
    assert {name: len(own.registry.records(name)) for name in before} == before
    assert len(own.registry.history(MODEL)) == 1
    assert json.loads((own.reports / "verdict.json").read_text())["decided_before"] == 1
    assert "this test split has decided once before" in cells["opening"]


def test_verdict_that_is_published_is_the_one_that_was_reached(pipeline: Pipeline, continued: Pipeline) -> None:
    """Not an older one that lies in the reports: its copy may go anywhere."""
    old, kept = (json.loads((each.reports / "verdict.json").read_text()) for each in (pipeline, continued))
    assert old["candidate"]["version"] == "v0"
    reached = json.loads((continued.reports.parent / "elsewhere" / "verdict.json").read_text())
    published = continued.registry.records(EVALUATION)[-1]
    assert reached["candidate"]["version"] == "v1"
    assert published.metadata == reached | {"report": None}
    assert continued.registry.record(f"{MODEL}:v1").evaluation == reached | {"report": published.ref}
    assert f"Verdict: {reached['verdict']}" in continued.printed
    assert kept == old


@pytest.mark.delivery
def test_every_verdict_ends_well(continued: Pipeline, tmp_path: Path) -> None:
    """Exit code 0, whatever it is: `promote` is the first run's of this module."""
    registry, reports = copied(continued, tmp_path)
    wide: dict[str, object] = {"margin": 0.1, "color_margin": 0.2, "rare_color_margin": 0.2}  # few trees differ much
    asked: dict[str, dict[str, object]] = {
        "equivalent": wide,
        "decline": wide | {"max_megabytes": 0.001},
        "hold": wide | {"min_wines": 5000},
        "unchanged": {"candidate": f"{MODEL}:v0"},
    }
    for verdict, given in asked.items():
        done = run(registry, reports, "04_evaluation", *typed(FEW | given))
        assert (done.returncode, f"Verdict: {verdict}" in done.stdout) == (0, True), done.stdout + done.stderr


def test_failing_cell_leaves_its_report_and_nothing_else(
    own: Pipeline, runners: Forks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A non-zero exit, executed notebook and page up to that cell, no version, no alias moved, and the run failed.

    On GitHub an error stands at that cell's line.
    """
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    aliases = own.registry.aliases(MODEL)
    stages = ("03_training", "04_evaluation")
    done = run(own.registry, own.reports, *stages, "-p", "dataset", f"{DATASET}:v99", forks=runners)
    assert done.returncode == 1
    assert f"03_training stopped: {DATASET} has no version v99" in done.stderr
    assert re.search(
        r"^::error file=notebooks/03_training.ipynb,line=\d+,title=03_training stopped::", done.stdout, re.MULTILINE
    )
    assert "04_evaluation" not in done.stdout
    page = (own.reports / "03_training.html").read_text()
    assert "This cell stopped the notebook" in page
    assert "has no version v99" in page
    assert own.registry.aliases(MODEL) == aliases
    assert len(own.registry.records(MODEL)) == 1


def test_served_scores_are_those_that_were_judged(pipeline: Pipeline, tmp_path: Path) -> None:
    """Every wine of the test split: the API's batch, its singles, and the bundle that the evaluation loads agree."""
    wines = pd.read_parquet(pipeline.registry.fetch(f"{DATASET}:v0") / "test.parquet")
    bundle = Bundle.load(pipeline.registry.fetch(f"{MODEL}:v0"))
    judged = [float(score) for score in bundle.predict(encode_columns(wines))]
    rows = tiny.as_wines(wines)
    with (
        servers.api(tmp_path / "log", WINE_REGISTRY=f"folder:{pipeline.registry.root}") as server,
        server.client() as client,
    ):
        batch = client.post("/predict/batch", json={"wines": rows}).raise_for_status().json()["predictions"]
        singles = [client.post("/predict", json=row).raise_for_status().json() for row in rows]
    assert [each["quality"] for each in batch] == judged
    ids = {"model_version", "request_id", "prediction_id"}
    said = [[{name: each[name] for name in each.keys() - ids} for each in answers] for answers in (singles, batch)]
    assert said[0] == said[1]


@pytest.fixture
def small(folder: FolderRegistry, tiny_bundle: Path, tmp_path: Path) -> FolderRegistry:
    """A registry with few wines and a model of them in production."""
    dataset = tiny.publish_dataset(folder, tmp_path / "wines")
    aliases = ["candidate", PRODUCTION]
    folder.publish(tiny_bundle, MODEL, kind="model", aliases=aliases, inputs=[dataset.ref])
    return folder


def left_alone(registry: FolderRegistry) -> bool:
    """Whether all notebooks have run there and moved nothing but what newest means."""
    newest = registry.aliases(MODEL), registry.aliases(DATASET)
    return newest == ({"candidate": "v0", PRODUCTION: "v0", "latest": "v1"}, {"latest": "v1"})


def test_defaults_promote_nothing_and_leave_candidate_where_it_is(small: FolderRegistry, tmp_path: Path) -> None:
    """Each notebook to its end with every value that it declares, on few wines."""
    with environment(small.root):
        for name in INTERACTIVE:
            Cells(name, **({"reports": str(tmp_path / "reports")} if name == "04_evaluation" else {})).run()
    assert left_alone(small)


@pytest.mark.delivery
def test_notebooks_run_interactively_with_their_defaults(small: FolderRegistry, tmp_path: Path) -> None:
    """From their own folder, as JupyterLab starts them, on few wines; nothing is promoted and `candidate` stays."""
    project = tmp_path / "project"  # a copy, as they write into its reports
    for room in ("notebooks", "wine_serving"):
        shutil.copytree(ROOT / room, project / room, ignore=shutil.ignore_patterns("__pycache__"))
    notebooks = [project / "notebooks" / f"{name}.ipynb" for name in INTERACTIVE]
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "nbmake.pytest_plugin",
        "--nbmake",
        "-q",
        *notebooks,
    ]
    variables = {"WINE_REGISTRY": f"folder:{small.root}", "WANDB_MODE": "disabled", "PYTHONPATH": str(project)}
    variables |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}  # those are of the tests around
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | variables, cwd=project)
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout
    assert left_alone(small)


def test_next_version_has_its_place_in_history_and_is_compared(continued: Pipeline) -> None:
    """What changed, a trend, and a link to either report; then both versions side by side."""
    front = (continued.reports / "index.html").read_text()
    assert "seed 0 → 1" in front
    assert re.search(r'aria-label="RMSE of each candidate minus[^"]*: v1 minus v0 -?0\.\d{3} \(', front)
    assert all(f'href="history/{version}/04_evaluation.html"' in front for version in ("v0", "v1"))
    page = (continued.reports / "compare.html").read_text()
    for said in ("parameter seed", "v1 minus v0", "apart"):
        assert said in page
    assert "hyperparameter max_depth" not in page, "it is unset in both"


# Reports


class Source(HTMLParser):
    """What a page refers to, its pictures, and its headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.headings: list[str] = []
        self._in_heading = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the browser would fetch."""
        given = dict(attrs)
        if tag == "img":
            self.pictures.append(given)
        if tag in ("img", "script", "iframe", "source", "video", "audio"):
            self.fetched.append(given.get("src") or "")
        if tag == "link":
            self.fetched.append(given.get("href") or "")
        self._in_heading = tag in ("h1", "h2")

    def handle_data(self, data: str) -> None:
        """Note headings."""
        if self._in_heading and data.strip():
            self.headings.append(data.strip())


@pytest.fixture(params=[*STAGES, "index"])
def page(request: pytest.FixtureRequest, pipeline: Pipeline) -> str:
    """Each page's text."""
    path = pipeline.reports / f"{request.param}.html"
    assert path.stat().st_size < 3_000_000
    return path.read_text()


def test_page_needs_no_network(page: str) -> None:
    """All that it shows is inside."""
    assert [address for address in Source(page).fetched if address and not address.startswith("data:")] == []
    assert not re.search(r"@import|url\((?!['\"]?data:)", page)


def test_every_picture_has_a_text(page: str) -> None:
    """For who cannot see it."""
    assert all(len(picture.get("alt") or "") > 10 for picture in Source(page).pictures)


def test_evaluation_shows_the_verdict_before_anything_else(pipeline: Pipeline) -> None:
    """The question, the verdict, each gate as a row, the models side by side and one picture come first."""
    text = (pipeline.reports / "04_evaluation.html").read_text()
    first = ("Should this candidate", 'class="verdict promote"', "threshold", "<img", "Ingredients")
    places = [text.index(said) for said in first]
    assert places == sorted(places)


def test_code_is_folded_but_there(pipeline: Pipeline) -> None:
    """Every cell's source can be opened and is found by searching."""
    text = (pipeline.reports / "03_training.html").read_text()
    assert text.count('<details class="code">') > 10
    assert "RandomForestRegressor" in text


def test_front_page_leads_to_everything(pipeline: Pipeline) -> None:
    """Production and who approved it, the dataset, and each evaluation with a link that works."""
    text = (pipeline.reports / "index.html").read_text()
    assert f"In production: {MODEL}:v0" in text
    assert re.search(r"Since \d{4}-\d\d-\d\d \d\d:\d\d UTC, by \S+: ", text)
    links = re.findall(r'href="([^"#]+)"', text)
    assert "history/v0/04_evaluation.html" in links
    assert all((pipeline.reports / link).is_file() for link in links if not link.startswith("http"))


# Reports as a reviewer opens them: from disk, in a browser

Sight = tuple[tuple[int, int], Literal["light", "dark"]]
SIGHTS: list[Sight] = [(PHONE, "dark"), (DESKTOP, "light")]  # as it is loaded, and turned; axe takes seconds each


@pytest.fixture
def opened(chromium: Browser, pipeline: Pipeline) -> Iterator[Callable[..., Page]]:
    """Open a report; no script of it may fail, and nothing may be fetched."""
    trouble: list[str] = []
    contexts = []

    def go(name: str, size: tuple[int, int] = DESKTOP) -> Page:
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: trouble.append(request.url) if asks_network(request.url) else None)
        page.goto((pipeline.reports / f"{name}.html").as_uri())
        return page

    yield go
    for context in contexts:
        context.close()
    assert trouble == []


def asks_network(address: str) -> bool:
    """Whether this leads elsewhere than to the disk or the page itself."""
    return not address.startswith(("file:", "data:"))


@pytest.mark.browser
@pytest.mark.parametrize("name", [*STAGES, "index"])
def test_report_fits_screen_and_phone_and_everybody(opened: Callable[..., Page], name: str) -> None:
    """No sideways scrolling, every picture drawn, and nothing that axe counts against WCAG 2.1 AA, light or dark."""
    page = opened(name, PHONE)
    for size, scheme in SIGHTS:
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert page.evaluate("[...document.images].filter(each => !each.naturalWidth).length") == 0
        assert barriers(page) == []


@pytest.mark.browser
def test_first_screen_holds_the_decision(opened: Callable[..., Page]) -> None:
    """Verdict, every gate, both models with their difference, and the picture: without scrolling."""
    page = opened("04_evaluation")
    for what in ("p.verdict", "tr:has-text('time for one wine')", "th:has-text('difference')"):
        expect(page.locator(f".celltag_headline {what}").first).to_be_in_viewport(ratio=1)
    picture = page.locator(".celltag_headline img")
    expect(picture).to_be_in_viewport(ratio=1)
    assert "all wines -0." in (picture.get_attribute("alt") or "")


@pytest.mark.browser
def test_tables_sort_by_keyboard(opened: Callable[..., Page]) -> None:
    """A column's head is a button: once up, once more down, and it says so."""
    page = opened("04_evaluation")
    head = page.locator(".celltag_headline th:has-text('gate')")
    cells = page.locator(".celltag_headline table:has-text('threshold') tbody td:first-child")
    gates = sorted(cells.all_inner_texts(), key=str.casefold)
    for direction, order in (("ascending", gates), ("descending", gates[::-1])):
        head.get_by_role("button").press("Enter")
        expect(head).to_have_attribute("aria-sort", direction)
        assert [each.casefold()[0] for each in cells.all_inner_texts()] == [each.casefold()[0] for each in order]


@pytest.mark.browser
def test_contents_lead_to_every_section_and_code_unfolds(opened: Callable[..., Page]) -> None:
    """All headings are listed; one button opens all code."""
    page = opened("03_training")
    page.get_by_text("Contents", exact=True).click()
    page.get_by_role("link", name="Exporting to ONNX").click()
    expect(page.get_by_role("heading", name="Exporting to ONNX")).to_be_in_viewport()
    assert page.locator("nav li").count() == page.locator("main h2").count()
    code = page.get_by_text("permutation_importance", exact=True).first
    expect(code).to_be_hidden()
    page.get_by_role("button", name="Show all code").click()
    expect(code).to_be_visible()


@pytest.mark.browser
def test_printed_page_leaves_out_what_cannot_be_pressed(opened: Callable[..., Page]) -> None:
    """On paper there are no contents to click, and every column is there."""
    page = opened("04_evaluation", (700, 990))
    page.emulate_media(media="print")
    expect(page.get_by_role("navigation")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 700


TABLES = (
    "[...document.querySelectorAll('table')].map(t => [...t.rows].map(r => [...r.cells].map(c => c.innerText.trim())))"
)


@pytest.mark.browser
@pytest.mark.parametrize("name", ["02_eda", "03_training", "04_evaluation"])
def test_every_metric_has_its_interval(opened: Callable[..., Page], name: str) -> None:
    """No bare figure under a metric's name, but for what the paper published."""
    metric = re.compile(r"(?i)\b(Δ?rmse|mse|mae|mad|r2|r²|accuracy|within_one|kappa|coverage|exact grade|within one)\b")
    bare = re.compile(r"-?\d*\.\d+")
    tables = opened(name).evaluate(TABLES)
    found = [
        (name_of, cell)
        for head, *rows in tables
        for row in rows
        for column, cell in zip(head, row, strict=False)
        if (name_of := f"{row[0]} {column}") and metric.search(name_of) and "paper" not in " ".join(row)
    ]
    assert [each for each in found if bare.fullmatch(each[1])] == []
    assert sum(" to " in cell for _, cell in found) > 10

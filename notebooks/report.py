"""Reports from executed notebooks: self-contained HTML pages, the published evaluation, and the front page."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import redaction
from jinja2 import Environment, FileSystemLoader
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from pygments.formatters import HtmlFormatter

from wine_serving.errors import VersionNotFound
from wine_serving.registry import DATASET, EVALUATION, LATEST, MODEL, PRODUCTION, Record, Registry, open_registry
from wine_serving.settings import Settings

TEMPLATES = Path(__file__).parent / "templates"


def render(executed: Path) -> Path:
    """Write the page of an executed notebook beside it: one file that needs no network."""
    notebook = nbformat.read(executed, 4)
    notebook.cells.sort(key=place)
    exporter = HTMLExporter(template_name="report", extra_template_basedirs=[str(TEMPLATES)])
    report = page_parts() | {"title": title_of(notebook), "caption": caption}
    body, _ = exporter.from_notebook_node(notebook, resources={"report": report})
    page = executed.with_suffix(".html")
    redaction.write(page, body)
    return page


def place(cell: Any) -> int:
    """What a reader sees first: the question, then what a cell tagged `headline` answers, then the way there."""
    if cell.cell_type == "markdown" and cell.source.startswith("# "):
        return 0
    return 1 if "headline" in cell.metadata.get("tags", []) else 2


def page_parts() -> dict[str, Any]:
    """What every page carries inside: style, script and the colours of code."""
    light = HtmlFormatter(style="default", nobackground=True).get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark", nobackground=True).get_style_defs(".highlight")
    return {
        "style": (TEMPLATES / "report.css").read_text(encoding="utf-8"),
        "script": (TEMPLATES / "report.js").read_text(encoding="utf-8"),
        "highlighting": f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}",
    }


def title_of(notebook: Any) -> str:
    """The first heading."""
    lines = (line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines())
    return next((line.lstrip("# ") for line in lines if line.startswith("# ")), "Report")


def caption(cell: Any) -> str:
    """A figure's text for who cannot see it: the titles that its cell gives its axes."""
    found = [part.split('"')[1] for part in cell.source.split("title=")[1:] if part.startswith(('"', 'f"'))]
    return "; ".join(found) or "Figure: described in the text above it"


@contextmanager
def pages_so_far() -> Iterator[Path | None]:
    """A folder with the notebook that is being executed, as far as it has come, and its page; None in JupyterLab."""
    executed = os.environ.get("PAPERMILL_OUTPUT_PATH")
    if executed is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        render(Path(shutil.copy(executed, folder)))
        yield Path(folder)


def write_front_page(reports: Path) -> None:
    """Write index.html: production and who decided it, the dataset, every evaluation with its report, and the cards."""
    registry = open_registry(Settings.from_environment().registry)
    evaluations = registry.records(EVALUATION)
    for record in evaluations:
        target = reports / "history" / record.version
        if not target.exists():
            shutil.copytree(registry.fetch(record.ref), target)
    production, dataset = found(registry, f"{MODEL}:{PRODUCTION}"), found(registry, f"{DATASET}:{LATEST}")
    moves = registry.history(MODEL)
    points, marks = trend(evaluations)
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    page = environment.get_template("index.html.j2").render(
        report=page_parts(),
        production=production,
        decision=moves[-1] if moves else None,
        dataset=dataset,
        evaluations=with_changes(registry, evaluations)[::-1],
        trend=points,
        marks=marks,
        moves=moves[::-1],
        cards={
            title: markdown2html((registry.fetch(record.ref) / name).read_text(encoding="utf-8"))
            for title, record, name in [
                ("Model card", production, "MODEL_CARD.md"),
                ("Dataset card", dataset, "DATASET_CARD.md"),
            ]
            if record
        },
        pages={path.stem: title_of(nbformat.read(path, 4)) for path in sorted(reports.glob("*.ipynb"))},
    )
    redaction.write(reports / "index.html", page)


def found(registry: Registry, ref: str) -> Record | None:
    """The record of a version, or None."""
    try:
        return registry.record(ref)
    except VersionNotFound:
        return None


def with_changes(registry: Registry, evaluations: list[Record]) -> list[dict[str, Any]]:
    """Each evaluation with what differs from the candidate before it: parameters, estimator, dataset."""
    models = {record.version: record for record in registry.records(MODEL)}
    before: dict[str, Any] = {}
    listed = []
    for record in evaluations:
        model = models.get(record.metadata["candidate"]["version"])
        now = {"dataset": model.inputs[0], **model.metadata.get("parameters", {})} if model and model.inputs else {}
        changes = [
            f"{name} {before[name]} → {value}" for name, value in now.items() if before.get(name, value) != value
        ]
        listed.append({"record": record, "changes": changes if before else ["the first"]})
        before = now or before
    return listed


def trend(evaluations: list[Record]) -> tuple[list[dict[str, Any]], list[dict[str, float]]]:
    """Each candidate's test RMSE as a point of a plot 210 pixels high, oldest first, and the marks of its axis."""
    measured = [
        (record, metric) for record in evaluations if (metric := record.metadata["candidate"]["metrics"].get("rmse"))
    ][-20:]
    if not measured:
        return [], []
    low, high = min(each["low"] for _, each in measured), max(each["high"] for _, each in measured)

    def height(value: float) -> float:
        return round(180 - 150 * (value - low) / (high - low), 1)

    points = [
        {
            "x": 90 + 60 * number,
            "y": height(each["value"]),
            "top": height(each["high"]),
            "bottom": height(each["low"]),
            "value": each["value"],
            "version": record.metadata["candidate"]["version"],
            "verdict": record.metadata["verdict"],
        }
        for number, (record, each) in enumerate(measured)
    ]
    return points, [{"value": value, "y": height(value)} for value in (low, (low + high) / 2, high)]

"""Reports from executed notebooks: self-contained HTML pages, the published evaluation, and the front page."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, FileSystemLoader
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from wine_serving.errors import VersionNotFound
from wine_serving.registry import DATASET, EVALUATION, MODEL, PRODUCTION, Registry, open_registry
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
    page.write_text(body, encoding="utf-8")
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


def publish_evaluation(reports: Path) -> None:
    """Publish verdict, executed notebook and page as an evaluation version, unless nothing was decided."""
    verdict = json.loads((reports / "verdict.json").read_text(encoding="utf-8"))
    if verdict["verdict"] == "unchanged":
        return
    models = [f"{MODEL}:{verdict[role]['version']}" for role in ("candidate", "production") if verdict[role]]
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("verdict.json", "04_evaluation.ipynb", "04_evaluation.html"):
            shutil.copy(reports / name, scratch)
        registry = open_registry(Settings.from_environment().registry)
        inputs = [f"{DATASET}:{verdict['dataset']['version']}", *models]
        record = registry.publish(Path(scratch), EVALUATION, kind="report", metadata=verdict, inputs=inputs)
    registry.attach_evaluation(models[0], verdict | {"report": record.ref})


def write_front_page(reports: Path) -> None:
    """Write index.html: what is in production and who decided it, and every evaluation with its report."""
    registry = open_registry(Settings.from_environment().registry)
    evaluations = registry.records(EVALUATION)
    for record in evaluations:
        target = reports / "history" / record.version
        if not target.exists():
            shutil.copytree(registry.fetch(record.ref), target)
    history = registry.history(MODEL)
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    page = environment.get_template("index.html.j2").render(
        report=page_parts(),
        production=production(registry),
        decision=history[-1] if history else None,
        evaluations=list(reversed(evaluations)),
        pages=sorted(path.name for path in reports.glob("*.html") if path.name != "index.html"),
    )
    (reports / "index.html").write_text(page, encoding="utf-8")


def production(registry: Registry) -> Any:
    """The record of the version in production, or None."""
    try:
        return registry.record(f"{MODEL}:{PRODUCTION}")
    except VersionNotFound:
        return None

"""The front page of all reports: what is in production and why, what was judged before, the cards."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import redaction
from jinja2 import Environment, FileSystemLoader
from last_look import last_look
from nbconvert.filters import markdown2html
from pages import TEMPLATES, page_parts, title_of

from wine_serving.errors import VersionNotFound
from wine_serving.registry import DATASET, EVALUATION, LATEST, MODEL, PRODUCTION, Record, Registry, open_registry
from wine_serving.settings import Settings
from wine_serving.verdict import Verdict

REPORT = "04_evaluation.html"


class Evaluation(NamedTuple):
    """An evaluation as the front page lists it."""

    record: Record
    verdict: Verdict
    changes: list[str]  # from the candidate before it: parameters, estimator, dataset


def write_front_page(reports: Path) -> None:
    """Write index.html: production and who decided it, the dataset, every evaluation with its report, and the cards."""
    registry = open_registry(Settings.from_environment().registry)
    records = registry.records(EVALUATION)
    for record in records:
        target = reports / "history" / record.version
        if not target.exists():
            shutil.copytree(registry.fetch(record.ref), target)
    reported = {record.version for record in records if (reports / "history" / record.version / REPORT).is_file()}
    production, dataset = found(registry, f"{MODEL}:{PRODUCTION}"), found(registry, f"{DATASET}:{LATEST}")
    known = [found(registry, ref) for ref in (production.inputs if production else ())]
    moves = registry.history(MODEL)
    evaluations = with_changes(registry, records)
    points, marks = trend([each.verdict for each in evaluations], {move.version for move in moves})
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    page = environment.get_template("index.html.j2").render(
        report=page_parts(),
        production=production,
        decision=moves[-1] if moves else None,
        ages=[age(each, datetime.now(UTC)) for each in known if each],
        dataset=dataset,
        evaluations=evaluations[::-1],
        reported=reported,  # what was judged in JupyterLab has no page
        trend=points,
        marks=marks,
        moves=moves[::-1],
        look=last_look(production),
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


def age(dataset: Record, now: datetime) -> str:
    """How old a dataset is, in words."""
    days = (now - dataset.created).days
    old = "less than a day" if days < 1 else "one day" if days == 1 else f"{days} days"
    return f"{dataset.ref} was put together on {dataset.created:%Y-%m-%d}: {old} old when this page was written"


def with_changes(registry: Registry, records: list[Record]) -> list[Evaluation]:
    """The evaluations, each with what differs from the candidate before it."""
    models = {record.version: record for record in registry.records(MODEL)}
    before: dict[str, Any] = {}
    listed = []
    for record in records:
        verdict = Verdict.read(record.metadata)
        model = models.get(verdict.candidate.version)
        now = {"dataset": model.inputs[0], **model.metadata.get("parameters", {})} if model and model.inputs else {}
        changes = [
            f"{name} {before[name]} → {value}" for name, value in now.items() if before.get(name, value) != value
        ]
        listed.append(Evaluation(record, verdict, changes if before else ["the first"]))
        before = now or before
    return listed


def trend(verdicts: list[Verdict], promoted: set[str]) -> tuple[list[dict[str, Any]], list[dict[str, float]]]:
    """Each candidate's test RMSE as a point of a plot 210 pixels high, oldest first, and the marks of its axis.

    `promoted` are the versions that production has moved to.
    """
    measured = [(verdict, metric) for verdict in verdicts if (metric := verdict.candidate.metrics.get("rmse"))][-20:]
    if not measured:
        return [], []
    low, high = min(metric.low for _, metric in measured), max(metric.high for _, metric in measured)

    def height(value: float) -> float:
        return round(180 - 150 * (value - low) / ((high - low) or 1), 1)

    points = [
        {
            "x": 90 + 60 * number,
            "y": height(metric.value),
            "top": height(metric.high),
            "bottom": height(metric.low),
            "value": metric.value,
            "version": verdict.candidate.version,
            "verdict": verdict.verdict,
            "promoted": verdict.candidate.version in promoted,
        }
        for number, (verdict, metric) in enumerate(measured)
    ]
    return points, [{"value": value, "y": height(value)} for value in (low, (low + high) / 2, high)]

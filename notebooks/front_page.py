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
from wine_serving.verdict import Metric, Verdict

ALL = "all wines"
REPORT = "04_evaluation.html"


class Evaluation(NamedTuple):
    """An evaluation as the front page lists it."""

    record: Record
    verdict: Verdict
    changes: list[str]  # from the candidate before it: parameters, estimator, dataset

    @property
    def difference(self) -> str:
        """Its paired difference to the production that it met, in words."""
        if not (found := paired(self.verdict)):
            return "met none"
        each, n = found
        return f"{each} on {n} wines" if n else str(each)


def write_front_page(reports: Path) -> None:
    """Write index.html: production and who decided it, the dataset, every evaluation with its report, and the cards."""
    registry = open_registry(Settings.from_environment().registry)
    records = registry.records(EVALUATION)
    for record in records:
        target = reports / "history" / record.version
        if not target.exists():
            shutil.copytree(registry.fetch(record.ref), target)
    reported = {record.version for record in records if (reports / "history" / record.version / REPORT).is_file()}
    production, newest = found(registry, f"{MODEL}:{PRODUCTION}"), found(registry, f"{DATASET}:{LATEST}")
    known = [each for ref in (production.inputs if production else ()) if (each := found(registry, ref))]
    dataset = known[0] if known else newest
    moves = registry.history(MODEL)
    evaluations = with_changes(registry, records)
    points, marks = trend([each.verdict for each in evaluations], {move.version for move in moves})
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    page = environment.get_template("index.html.j2").render(
        report=page_parts(),
        percent=percent,
        production=production,
        decision=moves[-1] if moves else None,
        metrics=Verdict.read(production.evaluation).candidate.metrics if production and production.evaluation else {},
        ages=[age(each, datetime.now(UTC)) for each in known],
        dataset=dataset,
        newest=newest,
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


def percent(share: Metric) -> str:
    """A share with its interval, as people say it.

    >>> percent(Metric(value=0.9, low=0.881, high=0.917))
    '90 % (88 to 92 %)'
    """
    return f"{100 * share.value:.0f} % ({100 * share.low:.0f} to {100 * share.high:.0f} %)"


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


def paired(verdict: Verdict) -> tuple[Metric, int | None] | None:
    """The RMSE of a candidate minus that of the production it met, and on how many wines; None where it met none."""
    asked = {gate.name.partition(":")[0]: gate for gate in verdict.gates}  # 1.0 has it in its gates only
    gate, seen = (asked.get(name) for name in ("not worse than production", "wines seen by neither model"))
    n = int(seen.value) if seen and seen.value else None
    if (met := verdict.difference) and met.other == "production" and (found := met.slices.get(ALL)):
        return found, met.wines.get(ALL, n)
    if gate is None or gate.value is None or gate.low is None or gate.high is None:
        return None
    return Metric(value=gate.value, low=gate.low, high=gate.high), n


def trend(verdicts: list[Verdict], promoted: set[str]) -> tuple[list[dict[str, Any]], list[dict[str, float]]]:
    """Each candidate's paired difference as a point of a plot 230 pixels high, oldest first, and the marks of its axis.

    Test wines change with the dataset, so that errors of two evaluations do not compare: differences on the same wines
    do. `promoted` are the versions that production has moved to.
    """
    pairs = {  # once each, however often it was evaluated
        (verdict.candidate.version, verdict.production.version): (verdict, *found)
        for verdict in verdicts
        if verdict.production and (found := paired(verdict))
    }
    met = [*pairs.values()][-20:]
    if not met:
        return [], []
    reach = max(max(abs(each.low), abs(each.high)) for _, each, _ in met) or 1.0

    def height(value: float) -> float:
        return round(100 - 80 * value / reach, 1)

    points = [
        {
            "x": 90 + 90 * number,
            "y": height(each.value),
            "top": height(each.high),
            "bottom": height(each.low),
            "figure": each,
            "wines": n,
            "version": verdict.candidate.version,
            "against": verdict.production and verdict.production.version,
            "verdict": verdict.verdict,
            "promoted": verdict.candidate.version in promoted,
        }
        for number, (verdict, each, n) in enumerate(met)
    ]
    return points, [{"value": value, "y": height(value)} for value in (-reach, 0.0, reach)]

"""The front page reads verdicts as what they are, also those of the past."""

import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from front_page import age, paired, trend, write_front_page  # notebooks/front_page.py

from tests import frozen
from wine_serving.registry import DATASET, EVALUATION, MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry
from wine_serving.verdict import Difference, Metric, Verdict

LINE = Metric(value=-0.1, low=-0.2, high=0.1)


@pytest.fixture
def kept(tmp_path: Path) -> FolderRegistry:
    """A registry that was made before verdicts were typed."""
    return FolderRegistry(frozen.unpack_registry(tmp_path / "kept"))


def test_verdicts_of_format_1_are_listed(kept: FolderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its figures, and a link that works."""
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{kept.root}")
    write_front_page(tmp_path)
    page = (tmp_path / "index.html").read_text()
    records = kept.records(EVALUATION)
    assert records
    for record in records:
        verdict = Verdict.read(record.metadata)
        assert f'class="{verdict.verdict}"' in page
        (link,) = [name for name in ("04_evaluation.html", "verdict.json") if f"{record.version}/{name}" in page]
        assert (tmp_path / "history" / record.version / link).is_file()


def test_trend_is_of_paired_differences_with_their_wines(kept: FolderRegistry) -> None:
    """Errors on different wines never stand beside each other; every interval lies within the plot, about zero."""
    verdicts = [Verdict.read(record.metadata) for record in kept.records(EVALUATION)]
    met = [each for each in verdicts if each.production]
    points, marks = trend([*verdicts, verdicts[-1]], {met[0].candidate.version})  # evaluated again, it is one point
    assert [(each["version"], each["against"], each["wines"]) for each in points] == [("v1", "v0", 1068)]
    assert points[0]["promoted"]
    assert str(points[0]["figure"]) == "-0.014 (-0.023 to -0.005)"
    low, zero, high = marks
    assert zero["value"] == 0 == low["value"] + high["value"]
    for point in points:
        assert high["y"] <= point["top"] <= point["y"] <= point["bottom"] <= low["y"]
    assert points[0]["y"] > zero["y"], "below zero the candidate is better"


def test_what_met_another_than_production_is_in_no_trend(kept: FolderRegistry) -> None:
    """A first candidate meets a straight line only."""
    first, second = (Verdict.read(record.metadata) for record in kept.records(EVALUATION))
    assert paired(first) is None
    assert trend([first], set()) == ([], [])
    typed = second.model_copy(update={"difference": Difference(other="ridge", slices={"all wines": LINE}), "gates": ()})
    assert paired(typed) is None
    asked = Difference(other="production", slices={"all wines": LINE}, wines={"all wines": 900})
    assert paired(second.model_copy(update={"difference": asked})) == (LINE, 900)


def test_production_is_told_with_its_figures_and_its_own_dataset(
    kept: FolderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RMSE and coverage with intervals, since when and by whom; a newer dataset does not take its card's place."""
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{kept.root}")
    newer = tmp_path / "newer"
    shutil.copytree(kept.fetch(f"{DATASET}:v0"), newer)
    (newer / "DATASET_CARD.md").write_text("# Other wines\n")
    metadata = dict(kept.record(f"{DATASET}:v0").metadata)
    kept.publish(newer, DATASET, kind="dataset", metadata=metadata, aliases=["latest"])
    write_front_page(tmp_path)
    page = (tmp_path / "index.html").read_text()
    evaluation = kept.record(f"{MODEL}:{PRODUCTION}").evaluation
    assert evaluation
    metrics = Verdict.read(evaluation).candidate.metrics
    assert f"by {metrics['rmse'].shown(2)} (RMSE)" in page
    assert f"holds {100 * metrics['coverage'].value:.0f} % (" in page
    move = kept.history(MODEL)[-1]
    assert f"Since {move.when:%Y-%m-%d %H:%M} UTC, by {move.by}: " in page
    assert f"Its dataset: {DATASET}:v0" in page
    assert f"The newest dataset is {DATASET}:v1" in page
    assert "Other wines" not in page


def test_age_of_the_data_behind_production_is_told(
    kept: FolderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the day on which the dataset was made that it was trained on."""
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{kept.root}")
    write_front_page(tmp_path)
    dataset = kept.record(kept.record(f"{MODEL}:{PRODUCTION}").inputs[0])
    told = f"Its data: {dataset.ref} was put together on {dataset.created:%Y-%m-%d}: "
    assert re.search(re.escape(told) + r"(\d+ days|one day|less than a day) old", (tmp_path / "index.html").read_text())
    ages = {days: age(dataset, dataset.created + timedelta(days=days, hours=1)) for days in (0, 1, 40)}
    assert [": less than a day old" in ages[0], ": one day old" in ages[1], ": 40 days old" in ages[40]] == [True] * 3

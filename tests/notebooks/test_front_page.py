"""The front page reads verdicts as what they are, also those of the past."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from front_page import age, trend, write_front_page  # notebooks/front_page.py

from tests import frozen
from wine_serving.registry import EVALUATION, MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry
from wine_serving.verdict import Verdict


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
        assert str(verdict.candidate.metrics["rmse"]) in page
        assert f'class="{verdict.verdict}"' in page
        (link,) = [name for name in ("04_evaluation.html", "verdict.json") if f"{record.version}/{name}" in page]
        assert (tmp_path / "history" / record.version / link).is_file()


def test_trend_keeps_the_order_and_scale_of_the_figures(kept: FolderRegistry) -> None:
    """Better is lower on the page, and every interval lies within the plot."""
    verdicts = [Verdict.read(record.metadata) for record in kept.records(EVALUATION)]
    points, marks = trend(verdicts, {verdicts[0].candidate.version})
    assert [point["promoted"] for point in points] == [True, *[False] * (len(verdicts) - 1)]
    assert [point["version"] for point in points] == [
        record.metadata["candidate"]["version"] for record in kept.records(EVALUATION)
    ]
    for point in points:
        assert 0 <= point["top"] <= point["y"] <= point["bottom"] <= 210
    assert [mark["value"] for mark in marks] == sorted(mark["value"] for mark in marks)


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

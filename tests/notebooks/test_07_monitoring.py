"""07_monitoring: the answer that follows from a log and from grades, and where it is kept."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grades
import looks
import pandas as pd
import pytest

from tests import tiny
from tests.cells import Cells, environment
from wine_serving.bundle import Bundle
from wine_serving.errors import LogRefused
from wine_serving.monitoring import Monitoring
from wine_serving.registry import MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import INPUTS, TARGET, encode_columns

LAST = int(looks.week_of(datetime.now(UTC).timestamp())) - 1  # the last whole week


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> FolderRegistry:
    """Production is a small forest on made-up wines."""
    place = tmp_path_factory.mktemp("monitored")
    registry = FolderRegistry(place / "registry")
    data = tiny.publish_dataset(registry, place / "data")
    tiny.write_bundle(place / "bundle")
    registry.publish(place / "bundle", MODEL, kind="model", aliases=[PRODUCTION], inputs=[data.ref])
    return registry


@pytest.fixture(scope="module")
def bundle(registry: FolderRegistry) -> Bundle:
    """What is in production."""
    return Bundle.load(registry.fetch(f"{MODEL}:{PRODUCTION}"))


def lines(bundle: Bundle, wines: pd.DataFrame, week: int = LAST, **other: Any) -> list[dict[str, Any]]:
    """The log of a week in which users asked about these wines."""
    when = datetime.fromtimestamp(looks.MONDAY + week * looks.WEEK, UTC) + timedelta(days=1)
    scores = bundle.predict(encode_columns(wines)).tolist()
    written: list[dict[str, Any]] = []
    for wine, score in zip(tiny.as_wines(wines), scores, strict=True):
        said = {"quality": score, "interval": {"low": score - 1, "high": score + 1, "level": 0.9}, "warnings": []}
        output = {**said, "grade": {"value": round(score), "share": 0.5}, "prediction_id": f"{week}-{len(written)}"}
        line = {"time": when.isoformat(), "message": "prediction", "format": 2, "request_id": "id", "purpose": "user"}
        written.append(line | {"model_version": "v0", "input": wine, "output": output} | other)
    return written


def monitored(
    registry: FolderRegistry, place: Path, log: list[dict[str, Any]] | None, *, before: str | None = None, **given: Any
) -> Cells:
    """The notebook to its end, or before the cell of that tag."""
    if log is not None:
        (place / "log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in log))
        given["log"] = str(place / "log.jsonl")
    with environment(registry.root):
        return Cells("07_monitoring", reports=str(place / "reports"), **given).run(before=before)


def answered(place: Path) -> Monitoring:
    """What it wrote."""
    return Monitoring.read((place / "reports" / "monitor.json").read_bytes())


def test_unchanged_wines_are_as_promoted_and_production_remembers(
    registry: FolderRegistry, bundle: Bundle, tmp_path: Path
) -> None:
    """Enough wines of five weeks, as they always were; a demonstration afterwards changes nothing of it."""
    wines = tiny.made_up_wines(1000, seed=3)
    log = [each for week in range(4) for each in lines(bundle, wines[week * 200 :][:200], LAST - week)]
    log += lines(bundle, wines[800:], LAST - 4, model_version="v7")
    monitored(registry, tmp_path, log)
    found = answered(tmp_path)
    assert (found.answer, found.n_wines, found.simulated) == ("as_promoted", 1000, False)
    assert len(found.looks) == 3 * 24 + 4
    assert "200 predictions were served by v7." in found.sentence
    assert "no look at inputs can see a change of taste" in found.sentence
    kept = registry.record(f"{MODEL}:v0").monitoring
    assert kept == found.for_record()
    demonstrated = monitored(registry, tmp_path, None)
    assert demonstrated["result"].simulated
    assert demonstrated["answer"] == "inputs_changed"
    assert answered(tmp_path) == found
    assert registry.record(f"{MODEL}:v0").monitoring == kept


def test_three_wines_in_another_unit_are_an_alarm(bundle: Bundle, registry: FolderRegistry, tmp_path: Path) -> None:
    """However few they are; with what it does to the scores."""
    wines = tiny.made_up_wines(12, seed=4).query("color == 'white'")[:3]
    monitored(registry, tmp_path, lines(bundle, wines.assign(volatile_acidity=wines["volatile_acidity"] / 10)))
    found = answered(tmp_path)
    assert (found.answer, found.n_wines) == ("inputs_changed", 3)
    assert {each.name for each in found.alarms if each.window == "the week"} >= {"Volatile acidity of white wines"}
    assert found.effect is not None
    assert registry.record(f"{MODEL}:v0").monitoring == found.for_record()


def test_few_wines_or_none_are_too_few(bundle: Bundle, registry: FolderRegistry, tmp_path: Path) -> None:
    """Also where one is asked about again and again, or where nobody but the page itself asks; refusals are counted."""
    again = pd.concat([tiny.made_up_wines(12, seed=4)] * 50)
    assumed = lines(bundle, again.assign(alcohol=10.5), assumed=["alcohol"])
    curves = lines(bundle, tiny.made_up_wines(300, seed=5).assign(alcohol=20.0), purpose="what_if")
    refused = {"message": "refused", "status": 422, "fields": ["ph"], "time": assumed[0]["time"], "request_id": "no"}
    checks = [refused | {"purpose": "check", "request_id": "neither"}]
    cells = monitored(registry, tmp_path, [*assumed, *curves, refused | {"purpose": "user"}, *checks])
    assert cells["weekly"]["requests refused"].tolist() == [1]
    found = answered(tmp_path)
    assert (found.answer, found.n_wines) == ("too_few", 12)
    assert {each.n for each in found.looks if each.name.startswith("Alcohol")} == {0}
    monitored(registry, tmp_path, [])
    assert (answered(tmp_path).answer, answered(tmp_path).n_wines) == ("too_few", 0)


def test_asked_grades_find_a_taste_that_has_moved(registry: FolderRegistry, bundle: Bundle, tmp_path: Path) -> None:
    """Those that came unasked do not, as who sent them has chosen the wines; nor do those that come after `until`."""
    wines = tiny.made_up_wines(100, seed=6)
    log = lines(bundle, wines)
    given = pd.DataFrame(
        {
            "prediction_id": [each["output"]["prediction_id"] for each in log],
            "version": "v0",
            **{name: wines[name] for name in INPUTS},
            "assumed": "",
            "score": [each["output"]["quality"] for each in log],
            "low": [each["output"]["interval"]["low"] for each in log],
            "high": [each["output"]["interval"]["high"] for each in log],
            "predicted_at": pd.Timestamp(log[0]["time"]),
            "grade": wines[TARGET] - 1.0,
            "graded_at": pd.Timestamp.now("UTC"),
            "source": "panel.csv",
        }
    )
    grades.change(registry, lambda before: pd.concat([before, given]), {})
    unasked = monitored(registry, tmp_path, log, before="errors")
    assert (len(unasked["asked"]), len(unasked["volunteered"])) == (0, 100)
    grades.change(registry, lambda before: before.assign(asked_at=pd.Timestamp(log[0]["time"])), {})
    monitored(registry, tmp_path, log)
    found = answered(tmp_path)
    assert (found.n_grades, found.answer) == (100, "worse")
    assert "Mean error" in {each.name for each in found.alarms}
    older = monitored(registry, tmp_path, log, until=found.until.strftime("%Y-%m-%d"), before="errors")
    assert (len(older["asked"]), older["end"]) == (0, found.until)


def test_a_day_that_has_not_begun_is_refused(registry: FolderRegistry) -> None:
    """Nobody knows yet what comes in then."""
    later = datetime.now(UTC) + timedelta(days=2)
    with environment(registry.root), pytest.raises(LogRefused, match="lies in the future"):
        Cells("07_monitoring", until=f"{later:%Y-%m-%d}").run(before="demonstration")

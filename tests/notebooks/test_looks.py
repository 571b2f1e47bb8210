"""looks: what monitoring asks each week, how often it errs, and that its simulation asks the very same."""

import looks
import numpy as np
import pandas as pd
import pytest

from tests import frozen
from tests.bench import monitoring


@pytest.fixture(scope="module")
def wines(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """UCI's distinct wines."""
    registry = frozen.unpack_registry(tmp_path_factory.mktemp("kept"))
    return monitoring.all_wines(registry / "wine-quality-data" / "v0")


@pytest.mark.parametrize("n", [30, 300])
def test_simulation_asks_what_is_asked_each_week(wines: pd.DataFrame, n: int) -> None:
    """D and p of every question that is anywhere near to an alarm, in windows where something has changed."""
    changed = monitoring.moved(monitoring.in_another_unit(wines), "alcohol", 0.7)
    population = monitoring.Population(wines, monitoring.Change(changed, share=0.5, red=0.5))
    draw = population.draw(np.random.default_rng(0), n, 2, 0)
    tables = [each.assign(unusual=unlike) for each, unlike in zip((wines, changed), population.unusual, strict=True)]
    both = [table.iloc[draw.weeks.ravel()].reset_index(drop=True) for table in tables]
    window = both[0].where(~pd.Series(draw.otherwise.ravel()), both[1], axis=0).astype({"unusual": bool})
    asked = looks.inputs(window, wines.iloc[draw.reference], tables[0].iloc[draw.calibration], budget=0.05)
    measured, chances = population.counted(draw).pooled(2).look(near=0.05)
    near = (asked["p"] < 0.01).to_numpy()
    assert near.sum() >= 4
    assert measured[1] == pytest.approx(asked["measured"].to_numpy())
    assert chances[1][near] == pytest.approx(asked["p"].to_numpy()[near], rel=1e-6)
    assert (chances[1][~near] > 0.009).all()

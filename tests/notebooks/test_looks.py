"""looks: what monitoring asks each week, how often it errs, and that its simulation asks the very same."""

import gates
import looks
import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp, ttest_ind

from tests import frozen, tiny
from tests.bench import monitoring
from tests.bench.gates import all_wines
from tests.conftest import ROOT
from wine_serving.schema import SEGMENT, SEGMENTS


@pytest.fixture(scope="module")
def wines(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """UCI's distinct wines."""
    registry = frozen.unpack_registry(tmp_path_factory.mktemp("kept"))
    return all_wines(registry / "wine-quality-data" / "v0")


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


def test_simulation_asks_what_is_asked_of_grades() -> None:
    """Each p of a look at 50 grades, where tasters have moved."""
    random = np.random.default_rng(1)
    errors = random.normal(0, 0.7, (3, 400))
    red = random.random((3, 400)) < 0.3
    new, test, known = (monitoring.Tasted(*each) for each in zip(errors, red, strict=True))
    reach = {color: half_width(known, color) for color in SEGMENTS}
    tables = [
        pd.DataFrame({SEGMENT: np.where(each.red, *SEGMENTS), "error": each.errors}).assign(
            inside=lambda table: table["error"].abs() <= table[SEGMENT].map(reach)
        )
        for each in (new._replace(errors=new.errors - 0.3), test)
    ]
    calibrated = {color: int((known.red == (color == SEGMENTS[0])).sum()) for color in SEGMENTS}
    asked = looks.grades(tables[0][:50], tables[1], calibrated, monitoring.LEVEL, budget=0.05)
    at, moved = np.array([50]), new.errors - 0.3
    columns = [monitoring.by_mean(moved, test.errors, at), monitoring.by_size(abs(moved), abs(test.errors), at)]
    columns += [monitoring.by_coverage(new._replace(errors=moved), known, of, at) for of in (True, False)]
    assert np.concatenate(columns) == pytest.approx(asked["p"].to_numpy())


def half_width(known: monitoring.Tasted, color: str) -> float:
    """Of the intervals of a colour."""
    return gates.half_width(np.abs(known.errors[known.red == (color == SEGMENTS[0])]), monitoring.LEVEL)


def test_an_unchanged_year_is_quiet_and_a_change_is_found(wines: pd.DataFrame) -> None:
    """The committed simulation, in small: some quiet years, and what is found in nearly every case."""
    random, quiet = np.random.default_rng(2), monitoring.Population(wines)
    weeks = 52 + monitoring.STARTING
    found = [monitoring.alarms(quiet.weeks(random, 200, weeks, weeks))[:, -52:].any() for _ in range(24)]
    assert sum(found) <= 4, "one in 150 such counts is higher where one year in twenty gives a false alarm"
    moved = monitoring.Population(wines, monitoring.Change(monitoring.moved(wines, "residual_sugar", 0.5)))
    assert all(monitoring.alarms(moved.weeks(random, 200, 1, 0)).any() for _ in range(10))


@pytest.mark.parametrize("n", [150, 600])
def test_smallest_move_that_is_told_is_seen_in_eight_of_ten(n: int) -> None:
    """The hardest move of that size to see: a share of the wines goes from just below the middle to just above."""
    random, step = np.random.default_rng(3), 1e-5
    share = looks.seen(n, 2000, step) or 1.0
    window, reference = random.random((150, n)), random.random((150, 2000))
    window[(window > 0.5 - share) & (window < 0.5)] += share
    cases = [ks_2samp(*both).pvalue <= step for both in zip(window, reference, strict=True)]
    assert 0.7 < np.mean(cases) < 0.9


def test_number_of_grades_that_are_needed_is_enough_in_eight_of_ten() -> None:
    """For a mean error that has moved; no number is where the test split itself is too small."""
    random, step = np.random.default_rng(4), 0.001
    test = random.normal(0, 0.68, 1000)
    n = looks.needed(0.4, test, step)
    cases = [ttest_ind(random.normal(0.4, 0.68, n), test, equal_var=False).pvalue <= step for _ in range(200)]
    assert 0.7 < np.mean(cases) < 0.9
    assert looks.needed(0.01, test, step) is None


def test_floor_lets_only_moves_of_no_account_pass() -> None:
    """However sure they are; a single week has none."""
    reference = tiny.made_up_wines(4000).assign(unusual=False)
    window = tiny.made_up_wines(9000, seed=1).assign(unusual=False, alcohol=lambda each: each["alcohol"] + 0.08)
    by_floor = {
        floor: looks.inputs(window, reference, reference, 0.05, floor).query("outcome == 'alarm'")["name"].tolist()
        for floor in (0.0, looks.FLOOR)
    }
    assert "Alcohol of white wines" in by_floor[0.0]
    assert by_floor[looks.FLOOR] == []


def test_effect_is_a_move_of_scores_and_another_grade_for_some() -> None:
    """With what chance alone would make of the latter."""
    random = np.random.default_rng(5)
    reference, same, higher = (
        pd.DataFrame({"score": random.normal(m, 0.5, n)}) for m, n in ((6, 3000), (6, 200), (6.5, 200))
    )
    (still, by_chance), (moved, _) = looks.effect(same, reference, 0), looks.effect(higher, reference, 0)
    assert still["score"].low < 0 < still["score"].high
    assert still["grades"].value < 2 * by_chance
    assert moved["score"].low > 0.3
    assert moved["grades"].low > 2 * by_chance


def test_rmse_of_few_grades_has_no_interval() -> None:
    """It would be worth nothing."""
    errors = pd.Series(np.random.default_rng(6).normal(0, 0.7, 100))
    assert "to" in looks.rmse(errors).split()
    assert looks.rmse(errors[:99]).endswith("on too few for an interval")


def test_published_rates_keep_what_is_promised() -> None:
    """In upper and lower ends of exact intervals, or by what was found, as is said of each."""
    quiet = looks.rates("unchanged")
    assert len(quiet) == 6
    assert all(rate.high <= 0.05 for rate in quiet.values())
    assert all(of >= 2000 for _, of in looks.SIMULATED["unchanged"].values())
    found = looks.rates("found")
    for name, least in PROMISED.items():
        assert found[name].value >= least, name


def test_what_is_published_is_what_was_simulated() -> None:
    """MONITORING.md has every figure that the notebook has."""
    told = (ROOT / ".github" / "MONITORING.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in looks.as_lines() if line not in told] == []


PROMISED = {
    "half a standard deviation, 200 wines, in the first week": 0.9,
    "a quarter of a standard deviation, 1000 wines, in the first week": 0.9,
    "a quarter of a standard deviation, 200 wines, within the first 4 weeks": 0.85,
    "a quarter of a standard deviation, 200 wines, within 4 weeks after 9 quiet ones": 0.5,
    "20 points more red wines, 200 wines, in the first week": 0.85,
    "a tenth in another unit, 200 wines, in the first week": 0.85,
    "a taste that moves by 0.4, 100 grades": 0.9,
    "a taste that moves by 0.2, 300 grades": 0.85,
}

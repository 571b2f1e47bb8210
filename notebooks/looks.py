"""What monitoring looks at each week: inputs against those of production's dataset, grades against its test split.

A look is a table with one question a row. All looks of a year share a budget, the chance of any false alarm in it; the
questions of one look share its part by Holm's procedure (1979). How often that errs, and what it finds, was simulated
on real wines (tests/bench/monitoring.py): the counts stand in looks.json, and `rates` puts them into words.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import logged
import near_duplicates
import numpy as np
import pandas as pd
from grades import PREDICTED, typed
from numpy.typing import ArrayLike, NDArray
from resampling import Estimate, mean_estimate
from scipy.stats import betabinom, binomtest, fisher_exact, ks_2samp, mannwhitneyu, norm, ttest_ind

from wine_serving.schema import FEATURES, SEGMENT, SEGMENTS, TARGET_RANGE
from wine_serving.verdict import Metric

SIMULATED: Final[dict[str, dict[str, list[int]]]] = json.loads(Path(__file__).with_name("looks.json").read_bytes())
WEEK: Final = 7 * 24 * 3600  # seconds
MONDAY: Final = 4 * 24 * 3600  # the first one of 1970
WINDOWS: Final = {"the week": 1, "the last 4 weeks": 4, "the last 13 weeks": 13}  # in weeks
LOOKS: Final = 52 * len(WINDOWS)  # a year
FLOOR: Final = 0.05  # share of wines below which a move over several weeks is of no account, however sure it is
EXACT: Final = 100  # wines on the smaller side, from which on the limiting law of D is exact enough
COUNTS: Final = (30, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500, 10_000)
GRADE_LOOKS: Final = 12  # a year; up to 2,000 grades there are no more of COUNTS
POWER: Final = 0.8
SURE: Final = 100  # grades below which no interval of RMSE is told
KINDS: Final = {  # of what was simulated
    "unchanged": "unchanged years with an alarm",
    "found": "changes that are found",
    "of no account": "small changes that alarm",
    "others": "unchanged weeks with an alarm by other rules",
}
ROWS: Final = ("name", "n", "statistic", "measured", "p", "why")


def distinct(wines: pd.DataFrame) -> pd.DataFrame:
    """The first of all wines that are hardly two wines: who asks twice must not count twice."""
    return wines[~pd.Series(near_duplicates.groups(wines), index=wines.index).duplicated()] if len(wines) else wines


def week_of(seconds: ArrayLike) -> NDArray[np.int64]:
    """The number of the UTC week, Monday to Sunday, that holds a moment in seconds since 1970.

    >>> week_of([0, MONDAY - 1, MONDAY]).tolist()
    [-1, -1, 0]
    """
    return np.floor((np.asarray(seconds, float) - MONDAY) / WEEK).astype(np.int64)


def seconds(moments: pd.Series) -> NDArray[np.float64]:
    """Since 1970, of moments that know their time zone."""
    found: NDArray[np.float64] = moments.dt.as_unit("us").astype("int64").to_numpy() / 1e6
    return found


def is_assumed(wines: pd.DataFrame, measurement: str) -> pd.Series:
    """Which wines' value of a measurement nobody has taken."""
    return wines["assumed"].map(lambda names: measurement in names.split(",")).astype(bool)


def opened(named: str) -> logged.Log:
    """The predictions in the files that a person names; files in which there is nothing at all hold none."""
    files = logged.files(named)
    if all(path.stat().st_size == 0 for path in files):
        return logged.Log(empty_log(), [f"{named} is empty: nobody asked for a prediction, or nothing was logged"])
    return logged.read(named)


def empty_log() -> pd.DataFrame:
    """A log without predictions."""
    return typed(pd.DataFrame(columns=PREDICTED))[PREDICTED].assign(purpose=pd.Series(dtype=str))


def holm(chances: ArrayLike, budget: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The step that each of some chances has to keep to, and whether it and all that are smaller do.

    >>> [each.tolist() for each in holm([0.03, 0.001, 0.2], 0.06)]
    [[0.03, 0.02, 0.06], [True, True, False]]
    """
    given = np.asarray(chances, float)
    order = np.argsort(given, kind="stable")
    steps, rejected = np.empty(len(given)), np.empty(len(given), bool)
    steps[order] = budget / np.arange(len(given), 0, -1)
    rejected[order] = np.minimum.accumulate(given[order] <= steps[order])
    return steps, rejected


def inputs(
    window: pd.DataFrame, reference: pd.DataFrame, calibration: pd.DataFrame, budget: float, floor: float = 0.0
) -> pd.DataFrame:
    """The look at the wines of a window: each measurement by colour, the share of colours, that of unusual wines.

    All have the columns of INPUTS and `unusual`. Training wines are seldom unusual, as they say what is: so the share
    of unusual ones is held against calibration wines. `floor` is the least that counts.
    """
    rows = [of_measurement(window, reference, color, each) for color in SEGMENTS for each in FEATURES]
    rows += [of_colors(window, reference), of_unusual(window, calibration)]
    return answered(rows, budget, floor)


def of_measurement(window: pd.DataFrame, reference: pd.DataFrame, color: str, feature: Any) -> dict[str, Any]:
    """Kolmogorov and Smirnov's D: the largest share of wines by which two distributions are apart."""
    ours, theirs = (
        table.loc[table[SEGMENT] == color, feature.name].dropna().to_numpy(float) for table in (window, reference)
    )
    row = {"name": f"{feature.label} of {color} wines", "n": len(ours), "statistic": "D"}
    if not len(ours) or not len(theirs):
        return row
    small = min(len(ours), len(theirs)) < EXACT
    found = ks_2samp(ours, theirs, method="exact" if small else "asymp")
    middle, before = np.median(ours), np.median(theirs)
    why = f"median {middle:.4g} {feature.unit}, where it was {before:.4g}"
    return row | {"measured": float(found.statistic), "p": float(found.pvalue), "why": why.replace(" ,", ",")}


def of_colors(window: pd.DataFrame, reference: pd.DataFrame) -> dict[str, Any]:
    """The share of the first colour, by Fisher's exact test."""
    first = SEGMENTS[0]
    counts = [[int((t[SEGMENT] == first).sum()), int((t[SEGMENT] != first).sum())] for t in (window, reference)]
    row = {"name": f"Share of {first} wines", "n": len(window), "statistic": "difference of shares"}
    return row | of_shares(counts, "two-sided", f"of the wines are {first}")


def of_unusual(window: pd.DataFrame, calibration: pd.DataFrame) -> dict[str, Any]:
    """Whether more wines than before are unlike those of the training, by Fisher's exact test."""
    counts = [[int(table["unusual"].sum()), int((~table["unusual"]).sum())] for table in (window, calibration)]
    row = {"name": "Share of wines with warnings", "n": len(window), "statistic": "difference of shares"}
    return row | of_shares(counts, "greater", "of the wines have a warning")


def of_shares(counts: list[list[int]], alternative: str, what: str) -> dict[str, Any]:
    """Two shares, as counts of yes and no."""
    if not all(map(sum, counts)):
        return {}
    ours, theirs = (yes / (yes + no) for yes, no in counts)
    p = float(fisher_exact(counts, alternative=alternative).pvalue)
    return {"measured": ours - theirs, "p": p, "why": f"{ours:.1%} {what}, where that was {theirs:.1%}"}


def grades(asked: pd.DataFrame, test: pd.DataFrame, calibrated: Mapping[str, int], level: float, budget: float) -> Any:
    """The look at asked grades: mean error, size of errors, and coverage by colour.

    Both tables have SEGMENT, `error` (grade minus score) and `inside`, whether the interval held the grade; intervals
    rest on so many `calibrated` wines of a colour.
    """
    ours, theirs = (table["error"].to_numpy(float) for table in (asked, test))
    enough = len(ours) > 1 and len(theirs) > 1
    rows: list[dict[str, Any]] = [
        {"name": "Mean error", "n": len(ours), "statistic": "difference of means"},
        {"name": "Size of errors", "n": len(ours), "statistic": "chance that a new one is larger"},
    ]
    if enough:
        mean, before = ours.mean(), theirs.mean()
        p = float(ttest_ind(ours, theirs, equal_var=False).pvalue)
        why = f"grades are {mean:+.2f} from the scores on average, where that was {before:+.2f}"
        rows[0] |= {"measured": mean - before, "p": p, "why": why}
        larger = mannwhitneyu(np.abs(ours), np.abs(theirs), alternative="greater", method="asymptotic")
        share = float(larger.statistic) / (len(ours) * len(theirs))
        why = f"{share:.0%} of the errors are larger than those of the test split, where half would be"
        rows[1] |= {"measured": share, "p": float(larger.pvalue), "why": why}
    rows += [of_coverage(asked, color, calibrated.get(color, 0), level) for color in SEGMENTS]
    return answered(rows, budget)


def of_coverage(asked: pd.DataFrame, color: str, n: int, level: float) -> dict[str, Any]:
    """Whether fewer grades lie inside than split-conformal intervals promise, by the Beta-Binomial law."""
    inside = asked.loc[asked[SEGMENT] == color, "inside"]
    row = {"name": f"Coverage of {color} wines", "n": len(inside), "statistic": "share inside"}
    k = int(np.ceil(level * (n + 1)))
    if not len(inside) or k > n:
        return row
    p = float(betabinom.cdf(int(inside.sum()), len(inside), k, n + 1 - k))
    return row | {"measured": float(inside.mean()), "p": p, "why": f"{inside.mean():.0%} inside, promised {level:.0%}"}


def answered(rows: list[dict[str, Any]], budget: float, floor: float = 0.0) -> pd.DataFrame:
    """The questions of one look with Holm's steps and their outcomes; what nothing could be measured for has no p."""
    table = pd.DataFrame([{"measured": np.nan, "p": np.nan, "why": "there is none"} | row for row in rows])[[*ROWS]]
    table["step"], alarm = holm(table["p"].fillna(1), budget)
    found = alarm & (table["measured"].abs() >= floor)
    table["outcome"] = np.where(table["p"].isna(), "nothing", np.where(found, "alarm", "holds"))
    return table


def seen(n: int, n_reference: int, step: float) -> float | None:
    """The smallest share of a colour's wines whose move is found in 8 of 10 cases; None where none would be.

    >>> round(seen(150, 3961, 1e-5), 2), seen(3, 1359, 1e-5)
    (0.23, None)
    """
    if not n or not n_reference:
        return None
    share = (np.sqrt(np.log(2 / step) / 2) + 0.35) * np.sqrt(1 / n + 1 / n_reference)
    return float(share) if share <= 1 else None


def needed(change: float, errors: ArrayLike, step: float) -> int | None:
    """How many asked grades find a mean error that has changed by so much in 8 of 10 cases; None where none do."""
    spread, n = float(np.std(np.asarray(errors, float), ddof=1)), np.size(errors)
    sure = (norm.isf(step / 2) + norm.ppf(POWER)) * spread
    left = (change / sure) ** 2 - 1 / n
    return int(np.ceil(1 / left)) if left > 0 else None


def counted(n: int) -> int:
    """Of how many grades the look is that n grades allow: only at a few counts, so that looking often costs nothing.

    >>> counted(29), counted(99), counted(100)
    (0, 75, 100)
    """
    return max((count for count in COUNTS if count <= n), default=0)


def following(n: int) -> int:
    """At how many grades the next look is.

    >>> following(29), following(100)
    (30, 150)
    """
    return next((count for count in COUNTS if count > n), n + 1)


def rmse(errors: pd.Series) -> str:
    """Of so many errors, with a 95 % interval where they are a hundred at least."""
    if errors.empty:
        return "none"
    squared = mean_estimate(errors**2, range(len(errors)))
    value, error = np.sqrt(squared.value), squared.error / 2 / np.sqrt(squared.value or 1)
    return str(Estimate(value, error).interval()) if len(errors) >= SURE else f"{value:.2f}, on too few for an interval"


def effect(window: pd.DataFrame, reference: pd.DataFrame, seed: int, n: int = 2000) -> tuple[dict[str, Metric], float]:
    """How far the mean score is from the reference's, the share of wines with another grade, and by chance.

    It is the smallest share that would have to get another grade to make one distribution of grades into the other.
    """
    ours, theirs = (table["score"].to_numpy(float) for table in (window, reference))
    one, other = (mean_estimate(each, range(len(each))) for each in (ours, theirs))
    moved = Estimate(one.value - other.value, float(np.hypot(one.error, other.error)))
    grades_of = [np.bincount(np.rint(each).astype(int), minlength=TARGET_RANGE[1] + 1) for each in (ours, theirs)]
    random = np.random.default_rng(seed)

    def apart(first: Any, second: Any) -> Any:
        return np.abs(first / len(ours) - second / len(theirs)).sum(axis=-1) / 2

    def drawn(shares: list[NDArray[np.float64]]) -> Any:
        return apart(*(random.multinomial(len(x), p, n) for x, p in zip((ours, theirs), shares, strict=True)))

    share = float(apart(*grades_of))
    low, high = np.quantile(drawn([each / each.sum() for each in grades_of]), (0.025, 0.975))
    both = grades_of[0] + grades_of[1]
    by_chance = float(drawn([both / both.sum()] * 2).mean())
    other_grade = Metric(value=share, low=min(share, float(low)), high=max(share, float(high)))
    return {"score": moved.interval(), "grades": other_grade}, by_chance


def as_lines() -> list[str]:
    """All that was simulated, as rows of a table in Markdown."""
    return [f"| {title}: {name} | {rate} |" for kind, title in KINDS.items() for name, rate in rates(kind).items()]


def rates(kind: str) -> dict[str, Metric]:
    """What was simulated of a kind: the share of cases with an alarm, with its exact 95 % interval (1934)."""
    found = {}
    for name, (count, of) in SIMULATED.get(kind, {}).items():
        ends = binomtest(count, of).proportion_ci(method="exact")
        found[name] = Metric(value=count / of, low=float(ends.low), high=float(ends.high))
    return found

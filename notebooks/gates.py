"""The gates of promotion: what a candidate must show, one small function each.

Each looks at a `Case` and gives a `Gate` that says what was asked, what was measured, how sure that is, and why the
bound is where it is; or None where it does not apply. A new gate is a function here and its name in `GATES`.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from resampling import ENDS, Bootstrap, Floats
from scipy.stats import betabinom

from wine_serving.bundle import MODEL_FILE, Bundle
from wine_serving.schema import INPUTS, SEGMENT, SEGMENTS, TARGET, encode_columns
from wine_serving.verdict import METRIC_NAMES, Gate, Metric

ALL: Final = "all wines"
BANDS: Final = {  # of grades: the extreme ones are too rare to stand alone
    "grade 4 and less": (0, 4),
    "grade 5": (5, 5),
    "grade 6": (6, 6),
    "grade 7": (7, 7),
    "grade 8 and more": (8, 10),
}
COLORS: Final = {f"{segment} wines": segment for segment in SEGMENTS}
Mask = NDArray[np.bool_]

CALLS: Final = 200  # predictions of one wine that are timed


@dataclass(frozen=True)
class Case:
    """What is judged: the candidate beside whom it is compared with, on the test wines that none of them has seen.

    Roles are "candidate", "mean", "ridge", "production" where there is one to compare with, and any other name for a
    version that was promoted before. A candidate that cannot be loaded has no predictions, and the mean stands for it
    wherever something is drawn.
    """

    bundles: Mapping[str, Bundle]
    defect: str  # why the candidate cannot be served; empty when it can
    splits: Mapping[str, pd.DataFrame]  # of the candidate's dataset
    test: pd.DataFrame
    predictions: Mapping[str, Floats]  # of the test wines
    resamples: Bootstrap  # of the test wines
    rival: str  # the role that it is compared with first: production, or else a straight line
    best: str | None  # the role that did best among other versions that were promoted on this dataset
    bounds: Mapping[str, Any]  # the evaluation's parameters

    @property
    def judged(self) -> str:
        """The role that is judged."""
        return "candidate" if "candidate" in self.predictions else "mean"

    @cached_property
    def slices(self) -> dict[str, Mask]:
        """Which test wines belong to a slice: all, those of a colour, those of a band of grades; none is empty."""
        masks = {ALL: np.full(len(self.test), True)}
        masks |= {name: (self.test[SEGMENT] == color).to_numpy() for name, color in COLORS.items()}
        masks |= {name: self.test[TARGET].between(*ends).to_numpy() for name, ends in BANDS.items()}
        return {name: rows for name, rows in masks.items() if rows.any()}

    @cached_property
    def _known(self) -> dict[tuple[str, str], dict[str, Floats]]:
        return {}

    def samples(self, role: str, part: str = ALL) -> dict[str, Floats]:
        """Each metric of a role on a slice, as it is and for every resample; coverage where there are intervals."""
        if (role, part) not in self._known:
            actual, rows = self.test[TARGET].to_numpy(float), self.slices[part]
            found = self.resamples.metrics(actual, self.predictions[role], rows)
            if bundle := self.bundles.get(role):
                reach = self.test[SEGMENT].map(bundle.metadata.calibration.half_width).to_numpy()
                inside = np.abs(actual - self.predictions[role]) <= reach
                found["coverage"] = self.resamples.means(inside, rows)
            self._known[role, part] = found
        return self._known[role, part]

    def measure(self, role: str, part: str = ALL, only: Collection[str] = METRIC_NAMES) -> dict[str, Metric]:
        """The metrics of a role on a slice, each with the interval that suits it."""
        rows = self.slices[part]
        samples = self.samples(role, part)
        return {name: self.resamples.measured(name, samples[name], rows) for name in only if name in samples}

    def difference(self, other: str, part: str = ALL, metric: str = "rmse") -> Metric:
        """The paired difference of a metric, of who is judged minus `other`, on the same wines."""
        ours, theirs = (self.samples(role, part)[metric] for role in (self.judged, other))
        return self.resamples.interval(ours - theirs)

    @property
    def candidate(self) -> Bundle:
        """The bundle that is judged."""
        return self.bundles["candidate"]


def loads(case: Case) -> Gate:
    """It is served by the very class that judges it here."""
    why = "what cannot be loaded, or answers otherwise than at its training, is not judged any further"
    return Gate(name="loads, and answers golden wines", outcome="fails" if case.defect else "holds", why=why)


def enough_wines(case: Case) -> Gate:
    """Too few cannot decide anything."""
    why = "on fewer wines the interval of a difference is wider than any margin here"
    return Gate.judge(
        "wines seen by neither model", float(len(case.test)), "at least", case.bounds["min_wines"], why, "wines"
    )


def better_than(other: str, case: Case) -> Gate:
    """Than what costs nothing."""
    why = "a model that is not clearly better than one that costs nothing is not worth the effort"
    return Gate.judge(f"better than {other}", case.difference(other), "upper below", 0, why, "ΔRMSE")


def not_worse_than_production(case: Case) -> Gate | None:
    """On the same wines."""
    if case.rival != "production":
        return None
    why = "refits that differ only in their seed differ by a fraction of it, and no taster could tell it"
    measured = case.difference("production")
    return Gate.judge("not worse than production", measured, "upper below", case.bounds["margin"], why, "ΔRMSE")


def not_worse_than_best(case: Case) -> Gate | None:
    """Of all versions that were ever promoted on this dataset."""
    if case.best is None:
        return None
    why = "the margin holds against the best that ever stood, too, so that many small steps down cannot add up"
    name, measured = f"not worse than {case.best}, best so far", case.difference(case.best)
    return Gate.judge(name, measured, "upper below", case.bounds["margin"], why, "ΔRMSE")


def not_worse_on(part: str, case: Case) -> Gate | None:
    """A slice declines only when its whole interval lies beyond its margin."""
    if case.rival != "production" or part not in case.slices:
        return None
    if part in COLORS:
        bound, why = case.bounds["color_margin"], "some multiples of what two fair refits differ by on one colour"
    else:
        bound, why = (
            case.bounds["band_margin"],
            "twice a colour's: the rarer the grades, the more fair refits differ",
        )
    return Gate.judge(f"not worse on {part}", case.difference("production", part), "lower below", bound, why, "ΔRMSE")


def coverage(color: str, case: Case) -> Gate:
    """Whether the intervals of one colour hold as many grades as they promise."""
    rows, calibration = case.test[SEGMENT] == color, case.candidate.metadata.calibration
    n = len(calibration.residuals[color])
    k = int(np.ceil(calibration.level * (n + 1)))
    law = betabinom(int(rows.sum()), k, n + 1 - k)
    level = case.bounds["coverage_level"]
    low, high = (float(law.ppf(end) / rows.sum()) for end in (level / 2, 1 - level / 2))
    why = f"the share inside follows a Beta-Binomial law: a correct model lies beyond in {level:.2g} of evaluations"
    measured = case.measure("candidate", f"{color} wines", ("coverage",))["coverage"]
    return Gate.judge(f"coverage of {color} wines", measured, "between", (low, high), why)


def no_leakage(case: Case) -> Gate:
    """Nothing that it should not have seen."""
    why = "tasters disagree too much for more on distinct wines: who is surely above has seen the test wines"
    measured = case.measure("candidate")["r2"]
    return Gate.judge("no leakage", measured, "lower at most", case.bounds["leakage_r2"], why, "R²")


def golden_from_training(case: Case) -> Gate:
    """Its golden wines come from where its record says."""
    known = pd.MultiIndex.from_frame(case.splits["train"][list(INPUTS)])
    golden = pd.DataFrame([each.wine for each in case.candidate.reference.golden])[list(INPUTS)]
    found = float(pd.MultiIndex.from_frame(golden).isin(known).sum())
    why = "each is a training wine of this dataset, or the model was made from another"
    return Gate.judge("golden wines are training wines", found, "at least", len(golden), why, "wines")


def residuals_as_recorded(case: Case) -> Gate:
    """It misses the calibration wines by what its record says."""
    recorded = case.candidate.metadata.calibration.residuals
    apart = []
    for color, part in case.splits["calibration"].groupby(SEGMENT):
        again = np.sort(part[TARGET] - case.candidate.predict(encode_columns(part)))
        same = len(again) == len(recorded[str(color)])
        apart.append(np.abs(again - recorded[str(color)]).max() if same else np.inf)
    why = "platforms differ by a hundredth of it, a model that is fed otherwise than in training by a hundred times"
    return Gate.judge("calibration residuals differ by", float(max(apart)), "at most", 1e-3, why)


def fits_training_wines(case: Case) -> Gate:
    """On the wines that it was fitted on, a model is better than elsewhere."""
    why = (
        "a model is no worse on what it was fitted on than the upper end on test wines, unless its inputs are confused"
    )
    resamples, mse = _of_training(case, case.splits["train"])
    limit = case.measure("candidate")["rmse"].high
    return Gate.judge("fits its training wines", resamples.interval(np.sqrt(mse)), "at most", limit, why, "RMSE")


def knows_colors(case: Case) -> Gate:
    """There, any confusion of its inputs shows most clearly."""
    other = dict(zip(SEGMENTS, SEGMENTS[::-1], strict=True))
    train = case.splits["train"]
    swapped = train.assign(**{SEGMENT: train[SEGMENT].map(other)})
    (resamples, mse), (_, mse_swapped) = (_of_training(case, table) for table in (train, swapped))
    why = "a model that is surely better with every colour swapped was trained with colours swapped"
    measured = resamples.interval(np.sqrt(mse) - np.sqrt(mse_swapped))
    return Gate.judge("knows colours, against swapped", measured, "lower at most", 0, why, "ΔRMSE")


def _of_training(case: Case, table: pd.DataFrame) -> tuple[Bootstrap, Floats]:
    """Resamples of the training wines, and the mean squared errors of predictions from `table`'s inputs."""
    resamples = Bootstrap(table["group"], case.resamples.n, case.resamples.seed)
    return resamples, resamples.means((table[TARGET] - case.candidate.predict(encode_columns(table))) ** 2)


def size(case: Case) -> Gate:
    """It fits where it has to run."""
    why = "the service has 512 MB, a forest takes some ten times its file, and several requests need room beside it"
    megabytes = (case.candidate.directory / MODEL_FILE).stat().st_size / 1e6
    return Gate.judge("size of the exported model", megabytes, "at most", case.bounds["max_megabytes"], why, "MB")


def time_for_one(case: Case) -> Gate:
    """It is quick enough where it has to run."""
    why = "far above what trees need, and far below what a visitor would notice"
    measured = milliseconds(case.candidate, case.test, case.resamples.n, case.resamples.seed)
    return Gate.judge("time for one wine", measured, "at most", case.bounds["max_milliseconds"], why, "ms")


def milliseconds(bundle: Bundle, wines: pd.DataFrame, n: int, seed: int) -> Metric:
    """The median time to predict one wine, over many calls; its interval from n resamples of them."""
    one, times = encode_columns(wines.head(1)), []
    for _ in range(CALLS):
        started = time.perf_counter()
        bundle.predict(one)
        times.append(1000 * (time.perf_counter() - started))
    medians = np.median(np.random.default_rng(seed).choice(times, (n, CALLS)), axis=1)
    low, high = np.quantile(medians, ENDS)
    return Metric(value=float(np.median(times)), low=low, high=high)


GATES: Final[list[Callable[[Case], Gate | None]]] = [
    loads,
    enough_wines,
    partial(better_than, "mean"),
    partial(better_than, "ridge"),
    not_worse_than_production,
    not_worse_than_best,
    *(partial(not_worse_on, part) for part in (*COLORS, *BANDS)),
    *(partial(coverage, color) for color in SEGMENTS),
    no_leakage,
    golden_from_training,
    residuals_as_recorded,
    fits_training_wines,
    knows_colors,
    size,
    time_for_one,
]


def judge(case: Case) -> list[Gate]:
    """Every gate that applies, failing ones first; of a candidate that cannot be served the first one only."""
    asked = GATES[:1] if case.defect else GATES
    gates = [gate for each in asked if (gate := each(case))]
    return sorted(gates, key=lambda gate: gate.outcome == "holds")

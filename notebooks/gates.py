"""The gates of promotion: what a candidate must show, one small function each.

Each looks at a `Case` (case.py) and gives a `Gate` that says what was asked, what was measured, how sure that is, and
why the bound is where it is; or None where it does not apply. A new gate is a function here and its name in `GATES`.

How often a fair candidate fails a gate, and how often the gate finds what it is there to find, was simulated on real
wines (tests/bench/gates.py): the counts stand in gates.json, and `rates` puts them into words.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from case import BANDS, COLORS, SAME, Case, exported
from joblib import Parallel, delayed
from recipes import refit
from resampling import ENDS, Estimate, Floats, mean_estimate, rmse_difference
from scipy.stats import betabinom

from wine_serving.bundle import MODEL_FILE, Bundle, OutOfFold
from wine_serving.schema import INPUTS, SEGMENT, SEGMENTS, TARGET, encode_columns
from wine_serving.verdict import Dataset, Gate, Metric, Outcome, Verdict

DECIDING: Final = ("scikit-learn", "numpy", "skl2onnx")  # packages whose versions decide what a recipe comes to
OTHER_SEED: Final = 0.005  # beyond either end of a 99 % interval
TOO_GOOD: Final = (-2.33, -0.02)  # z of the gain on test wines over that on calibration wines; ΔRMSE
CALLS: Final = 200  # predictions of one wine that are timed
SIMULATED: Final[dict[str, dict[str, dict[str, float]]]] = json.loads(
    Path(__file__).with_name("gates.json").read_bytes()
)


def rates(gate: str) -> str:
    """How often a gate was wrong and how often right, as simulated: counts from gates.json, in words.

    Where candidates share a split, the number of splits and a standard error that knows it stand behind.
    """
    counts = [
        f"{each['found']} of {each['of']} {name}"
        + (f" ({each['splits']} splits, ± {each['error']:.1%})" if each["splits"] < each["of"] else "")
        for name, each in SIMULATED[gate].items()
    ]
    return f"simulated: {', '.join(counts)}"


def loads(case: Case) -> Gate:
    """It is served by the very class that judges it here."""
    why = "what cannot be loaded, or answers otherwise than at training, is not judged any further; no chance is in it"
    outcome: Outcome = "fails" if case.defect else "holds"
    return Gate(name="loads, and answers golden wines", outcome=outcome, why=why, note=case.defect)


def lineage(case: Case) -> Gate:
    """It was made from the dataset that its record names."""
    why = "figures on another dataset's test wines would say nothing; digests are equal or not, so none errs here"
    outcome: Outcome = "fails" if case.untraced else "holds"
    return Gate(name="made from the dataset of its record", outcome=outcome, why=why, note=case.untraced)


def comparable(case: Case) -> Gate:
    """Enough wines that nobody has seen, or else a person must decide."""
    why = f"on fewer wines a loss is no longer told from a fair difference; a count does not err; {rates('comparable')}"
    unseen = float(case.unseen.sum())
    few = f"only {unseen:.0f} test wines were seen by neither model; give 01_data more wines, or decide by hand"
    held = unseen < case.bounds["min_wines"] or bool(case.incomparable)
    note = (case.incomparable or few) if held else ""
    gate = Gate.judge("wines seen by neither model", unseen, "at least", case.bounds["min_wines"], why, "wines")
    return gate.model_copy(update={"outcome": "hold" if held else "holds", "note": note})


def better_than(other: str, case: Case) -> Gate:
    """Than what costs nothing."""
    why = f"one not clearly better than what costs nothing is not worth the effort; {rates(f'better than {other}')}"
    estimate, wines = case.gain(other)
    note = f"{estimate.interval()} on {wines}"
    return Gate.judge(f"better than {other}", estimate.interval(), "upper below", 0, why, "ΔRMSE", note=note)


def compared(case: Case) -> bool:
    """Whether there is a production, and enough wines that it has not seen either."""
    return case.rival == "production" and comparable(case).outcome == "holds"


def not_worse_than_production(case: Case) -> Gate | None:
    """On the same wines."""
    if not compared(case):
        return None
    why = f"some standard errors beyond what fair seeds differ by, and no taster could tell it; {rates('not worse')}"
    measured = case.difference("production")
    return Gate.judge("not worse than production", measured, "upper below", case.bounds["margin"], why, "ΔRMSE")


def not_worse_than_best(case: Case) -> Gate | None:
    """Of all versions that were ever promoted on this split and are still there."""
    if case.best is None or not compared(case):
        return None
    why = f"against the best that ever stood, too, so that no small steps add up; {rates('not worse than the best')}"
    name, measured = f"not worse than {case.best}, best so far", case.difference(case.best)
    return Gate.judge(name, measured, "upper below", case.bounds["margin"], why, "ΔRMSE")


def not_worse_on_color(part: str, than: Literal["production", "best"], case: Case) -> Gate | None:
    """A loss on either colour declines as soon as it cannot be ruled out."""
    other = case.best if than == "best" else than
    if other is None or not compared(case) or part not in case.slices:
        return None
    fewest = min(COLORS, key=lambda name: case.slices[name].sum() if name in case.slices else np.inf)
    kind, margin = ("rare", "rare_color_margin") if part == fewest else ("common", "color_margin")
    best = " than the best" if than == "best" else ""
    name = f"not worse on {part}" + (f" than {other}, best so far" if best else "")
    why = f"what so few wines can rule out, and fair seeds keep to; {rates(f'not worse on the {kind} colour{best}')}"
    return Gate.judge(name, case.difference(other, part), "upper below", case.bounds[margin], why, "ΔRMSE")


def not_worse_on_band(part: str, case: Case) -> Gate | None:
    """A band of grades declines only when its whole interval lies beyond its margin."""
    if not compared(case) or part not in case.slices:
        return None
    why = f"bands are small: only gross faults are asked for; {rates('not worse on a band')}"
    measured = case.difference("production", part)
    return Gate.judge(f"not worse on {part}", measured, "lower below", case.bounds["band_margin"], why, "ΔRMSE")


def better_than_production(case: Case) -> Gate | None:
    """A gain that is shown, however often this split was looked at before; else the two are equivalent."""
    if not compared(case):
        return None
    alpha = alpha_of(case.look, case.trials)
    estimate, wines = case.gain("production")
    why = f"the chance of a false promotion is .05 over all looks together, so a look has its share; {rates('better')}"
    tried = f" after {case.trials} trials" if case.trials > 1 else ""
    measured = estimate.interval(alpha)
    said = f"{measured} at look {case.look}{tried}, one-sided at {alpha:.2g}, on {wines}"
    return Gate.judge(
        "better than production", measured, "upper below", 0, why, "ΔRMSE", otherwise="not shown", note=said
    )


def alpha_of(look: int, trials: int = 1) -> float:
    """The chance of a false promotion that a look may take; all looks together take .05.

    >>> [alpha_of(look) for look in (1, 4)], alpha_of(1, trials=5)
    ([0.025, 0.0025], 0.005)
    """
    return 0.05 / (look * (look + 1)) / trials


def look_at(earlier: Sequence[Verdict], candidate: str, production: str | None, dataset: Dataset) -> int:
    """Which look this is: the number of this pair among the distinct ones that were judged on this split, from 1."""
    on_split = [
        (each.candidate.version, each.production.version)
        for each in earlier
        if each.production and each.verdict != "unchanged" and same_split(each.dataset, dataset)
    ]
    pairs = list(dict.fromkeys([*on_split, (candidate, production)]))
    return pairs.index((candidate, production)) + 1


def same_split(one: Dataset, other: Dataset) -> bool:
    """Whether two datasets were split alike: by the same seed, or, where wines were dealt otherwise, as the same."""
    return one.digest == other.digest or one.split_seed == other.split_seed is not None


def reproduced(case: Case) -> Gate:
    """It is what its recipe makes of the training wines, and of no other."""
    name, (apart, refused) = "differs from its refit by", case.reproduction
    if apart is None:
        return not_too_good(case, refused)
    others = [each for each in DECIDING if case.candidate.metadata.packages.get(each) != version(each)]
    if others and not case.reproduced:
        return as_of_another_seed(case, others)
    why = f"a fit repeats itself, and one wine more in training moves scores by far more; {rates('reproduced')}"
    return Gate.judge(name, apart, "at most", SAME, why, "points")


def as_of_another_seed(case: Case, others: Sequence[str]) -> Gate:
    """Where other packages fit otherwise: it is no better on test wines than its recipe, fitted by another seed."""
    metadata = case.candidate.metadata
    seed = metadata.recipe.seed if metadata.recipe else int(metadata.parameters["seed"])
    again = exported(metadata, case.splits["train"], seed + 1)
    actual = case.test[TARGET].to_numpy(float)
    ours, theirs = (actual - each for each in (case.predictions["candidate"], again(encode_columns(case.test))))
    measured = rmse_difference(ours, theirs, case.test["group"]).interval(OTHER_SEED)
    why = f"who has seen test wines is surely better on them than a twin that has not (99 %); {rates('another seed')}"
    note = f"{measured} in RMSE (99 %) against its recipe, fitted with other versions of {', '.join(others)}"
    name = "no better than its recipe, fitted by another seed"
    return Gate.judge(name, measured, "upper at least", 0, why, "ΔRMSE", otherwise="hold", note=note)


def not_too_good(case: Case, refused: str) -> Gate:
    """Where its recipe cannot be fitted again: on test wines it gains no more than on calibration wines."""
    name, why = "no better on test wines than on others", f"leaked test wines help there only; {rates('unlike others')}"
    if not compared(case):
        note = f"{refused}; and there is no model to compare its gain with"
        return Gate(name=name, outcome="hold", why=why, note=note)
    calibration, rows = case.splits["calibration"], case.wines("production")
    errors = {role: case.test[TARGET].to_numpy(float) - case.predictions[role] for role in ("candidate", "production")}
    known = {role: calibration[TARGET] - case.bundles[role].predict(encode_columns(calibration)) for role in errors}
    z = too_good(
        gained({role: each[rows] for role, each in errors.items()}, case.test["group"][rows]),
        gained(known, calibration["group"]),
    )
    ahead = case.measure("candidate")["rmse"].value - case.measure("production")["rmse"].value
    note = f"z = {z:.2f}, asked {TOO_GOOD[0]}; ΔRMSE {ahead:.3f}, asked {TOO_GOOD[1]} at least, as {refused}"
    gate = Gate.judge(name, z, "at least", TOO_GOOD[0], why, "z", otherwise="hold", note=note)
    return gate if ahead >= TOO_GOOD[1] else gate.model_copy(update={"outcome": "hold"})


def gained(errors: Mapping[str, Any], groups: Any) -> Estimate:
    """The candidate's squared error minus production's."""
    return mean_estimate(np.asarray(errors["candidate"]) ** 2 - np.asarray(errors["production"]) ** 2, groups)


def too_good(on_test: Estimate, elsewhere: Estimate) -> float:
    """The z of a difference of differences; below zero, the candidate gains more on test wines than elsewhere."""
    return (on_test.value - elsewhere.value) / float(np.hypot(on_test.error, elsewhere.error) or np.inf)


def out_of_fold_reproduced(case: Case) -> Gate | None:
    """What tips the scale is fitted again, too: each fold, from the others."""
    gain = better_than_production(case)
    tips = gain is None or gain.outcome == "holds" or case.bounds["promote_equivalent"]
    if case.out_of_fold is None or not case.reproduced or not tips:
        return None
    kept, train = OutOfFold.read(case.candidate.directory), case.splits["train"]
    fold, said = (np.array(each) for each in (kept.fold, kept.quality)) if kept else (np.array([]), np.array([]))

    def apart(number: int) -> float:
        out = fold == number
        again = refit(case.candidate.metadata, train[~out].reset_index(drop=True))
        return float(np.abs(again.predict(train[out]) - said[out]).max())

    found = max(Parallel(-1, prefer="threads")(delayed(apart)(number) for number in np.unique(fold)))
    why = f"out-of-fold predictions decide beside test wines, and can be written by hand; {rates('reproduced')}"
    return Gate.judge("out-of-fold refits differ by", found, "at most", SAME, why, "points")


def half_widths(case: Case) -> Gate:
    """Its intervals are as wide as its calibration wines say, at the level that is asked here."""
    calibration, recorded = case.splits["calibration"], case.candidate.metadata.calibration.half_width
    errors = np.abs(calibration[TARGET] - case.candidate.predict(encode_columns(calibration)))
    apart = [
        abs(half_width(errors[calibration[SEGMENT] == color], case.bounds["level"]) - recorded.get(color, np.inf))
        for color in SEGMENTS
    ]
    why = "the level is the evaluation's, not the candidate's; counted again, the same never errs and another is found"
    return Gate.judge("half widths differ by", max(apart), "at most", SAME, why, "points")


def half_width(errors: Any, level: float) -> float:
    """Split-conformal: the ⌈level·(n+1)⌉-th smallest absolute error; infinite where there are too few.

    >>> half_width([3, 1, 2], 0.5), half_width([1], 0.9)
    (2.0, inf)
    """
    k = int(np.ceil(level * (len(errors) + 1)))
    return float(np.sort(np.asarray(errors, float))[k - 1]) if k <= len(errors) else np.inf


def coverage(color: str, case: Case) -> Gate:
    """Whether the intervals of one colour hold as many grades as is asked."""
    rows = case.test[SEGMENT] == color
    n = int((case.splits["calibration"][SEGMENT] == color).sum())
    bounds = coverage_bounds(n, int(rows.sum()), case.bounds["level"], case.bounds["coverage_tail"])
    why = f"the share inside follows a Beta-Binomial law, beyond whose far quantiles a fault lies; {rates('coverage')}"
    measured = case.measure("candidate", f"{color} wines", ("coverage",)).get("coverage")
    return Gate.judge(f"coverage of {color} wines", measured, "between", bounds, why)


def coverage_bounds(n: int, n_test: int, level: float, tail: float) -> tuple[float, float]:
    """Between which shares of n_test wines the coverage lies but for a chance of `tail`, calibrated on n wines."""
    k = min(int(np.ceil(level * (n + 1))), n)
    law = betabinom(n_test, k, n + 1 - k)
    low, high = (float(law.ppf(end) / max(n_test, 1)) for end in (tail / 2, 1 - tail / 2))
    return low, high


def golden_from_training(case: Case) -> Gate:
    """Its golden wines come from where its record says."""
    known = pd.MultiIndex.from_frame(case.splits["train"][list(INPUTS)])
    golden = pd.DataFrame([each.wine for each in case.candidate.reference.golden])[list(INPUTS)]
    found = float(pd.MultiIndex.from_frame(golden).isin(known).sum())
    why = "each is a training wine of this dataset, or the model was made from another; no chance is in a look-up"
    return Gate.judge("golden wines are training wines", found, "at least", len(golden), why, "wines")


def residuals_as_recorded(case: Case) -> Gate:
    """It misses the calibration wines by what its record says."""
    recorded = case.candidate.metadata.calibration.residuals
    apart = []
    for color, part in case.splits["calibration"].groupby(SEGMENT):
        again = np.sort(part[TARGET] - case.candidate.predict(encode_columns(part)))
        same = len(again) == len(recorded[str(color)])
        apart.append(np.abs(again - recorded[str(color)]).max() if same else np.inf)
    why = "platforms differ by a hundredth of it, what is fed otherwise by a hundred times: none errs, all are found"
    return Gate.judge("calibration residuals differ by", float(max(apart)), "at most", SAME, why)


def fits_training_wines(case: Case) -> Gate:
    """On the wines that it was fitted on, a model is better than elsewhere."""
    why = f"where it was fitted it is at least as good, or its inputs are confused; {rates('fits its training wines')}"
    mse = _of_training(case, case.splits["train"])
    limit = case.measure("candidate")["rmse"].high
    return Gate.judge("fits its training wines", case.of_training.interval(np.sqrt(mse)), "at most", limit, why, "RMSE")


def knows_colors(case: Case) -> Gate:
    """There, any confusion of its inputs shows most clearly."""
    other = dict(zip(SEGMENTS, SEGMENTS[::-1], strict=True))
    train = case.splits["train"]
    swapped = train.assign(**{SEGMENT: train[SEGMENT].map(other)})
    mse, mse_swapped = (_of_training(case, table) for table in (train, swapped))
    why = f"surely better with every colour swapped means trained with colours swapped; {rates('knows colours')}"
    measured = case.of_training.interval(np.sqrt(mse) - np.sqrt(mse_swapped))
    return Gate.judge("knows colours, against swapped", measured, "lower at most", 0, why, "ΔRMSE")


def _of_training(case: Case, table: pd.DataFrame) -> Floats:
    """The mean squared error of predictions from `table`'s inputs, of training wines as they are and resampled."""
    return case.of_training.means((table[TARGET] - case.candidate.predict(encode_columns(table))) ** 2)


def size(case: Case) -> Gate:
    """It fits where it has to run, and is not stuffed."""
    sizes = {role: (bundle.directory / MODEL_FILE).stat().st_size / 1e6 for role, bundle in case.bundles.items()}
    bound = min(case.bounds["max_megabytes"], case.bounds["times_larger"] * sizes.get("production", np.inf))
    why = "the service has 512 MB, a forest takes ten times its file, and who grows threefold says so; bytes do not err"
    return Gate.judge("size of the exported model", sizes["candidate"], "at most", bound, why, "MB")


def time_for_one(case: Case) -> Gate:
    """It is quick enough where it has to run, and takes no many times as long as production."""
    roles = [role for role in ("candidate", "production") if role in case.bundles]
    times = dict(zip(roles, in_turns([case.bundles[role] for role in roles], case.test), strict=True))
    production = float(np.median(times["production"])) if "production" in times else np.inf
    bound = min(case.bounds["max_milliseconds"], case.bounds["times_slower"] * production)
    measured = median_of(times["candidate"], case.resamples.n, case.resamples.seed)
    why = f"below what a visitor would notice; timed in turns, both meet the same noise; {rates('time')}"
    return Gate.judge("time for one wine", measured, "at most", bound, why, "ms")


def milliseconds(bundle: Bundle, wines: pd.DataFrame, n: int, seed: int) -> Metric:
    """The median time to predict one wine, over many calls; its interval from n resamples of them."""
    return median_of(in_turns([bundle], wines)[0], n, seed)


def in_turns(bundles: Sequence[Bundle], wines: pd.DataFrame) -> Floats:
    """How many milliseconds each bundle takes to predict one wine, in turns; shape (bundles, CALLS)."""
    one = encode_columns(wines.head(1))
    times = np.empty((len(bundles), CALLS))
    for call in range(CALLS):
        for number, bundle in enumerate(bundles):
            started = time.perf_counter()
            bundle.predict(one)
            times[number, call] = 1000 * (time.perf_counter() - started)
    return times


def median_of(times: Floats, n: int, seed: int) -> Metric:
    """The median, with its interval from n resamples."""
    medians = np.median(np.random.default_rng(seed).choice(times, (n, len(times))), axis=1)
    low, high = np.quantile(medians, ENDS)
    return Metric(value=float(np.median(times)), low=low, high=high)


GATES: Final[list[Callable[[Case], Gate | None]]] = [
    loads,
    lineage,
    comparable,
    partial(better_than, "mean"),
    partial(better_than, "ridge"),
    reproduced,
    not_worse_than_production,
    not_worse_than_best,
    *(partial(not_worse_on_color, part, than) for than in ("production", "best") for part in COLORS),
    *(partial(not_worse_on_band, part) for part in BANDS),
    better_than_production,
    out_of_fold_reproduced,
    half_widths,
    *(partial(coverage, color) for color in SEGMENTS),
    golden_from_training,
    residuals_as_recorded,
    fits_training_wines,
    knows_colors,
    size,
    time_for_one,
]
ORDER: Final = ("fails", "hold", "not shown", "holds")


def judge(case: Case) -> list[Gate]:
    """Every gate that applies, failing ones first; of what cannot be served or traced that question only."""
    for first in (loads(case), lineage(case)):
        if first.outcome != "holds":
            return [first]
    gates = [gate for each in GATES if (gate := each(case))]
    return sorted(gates, key=lambda gate: ORDER.index(gate.outcome))

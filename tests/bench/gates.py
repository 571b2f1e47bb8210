"""The gates, simulated: how often each stops a fair candidate, and how often it finds what it is there to find.

UCI's wines are split anew for each draw, small forests are fitted on the training wines, honest ones and others, and
the gates themselves judge them. What is counted goes to notebooks/gates.json, which every gate cites. It takes an hour,
so it runs only when named: `make bench ONLY=gates`.
"""

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests import frozen
from tests.conftest import ROOT
from wine_serving.schema import SEGMENT, SEGMENTS, TARGET, encode_columns
from wine_serving.verdict import Gate

sys.path.insert(0, str(ROOT / "notebooks"))
import gates
import near_duplicates
import splits
from case import BANDS, SAME, Case
from parameters import declared
from resampling import Bootstrap, rmse_difference

FOUND: Final = ROOT / "notebooks" / "gates.json"
BOUNDS: Final = {name: each.default for name, each in declared(ROOT / "notebooks" / "04_evaluation.ipynb").items()}
DRAWS, TREES, RESAMPLES = 60, 30, 1000
APART, LOOKS, FEW_TREES = 3, 50, 10  # a sequence of looks for every third split
Floats = NDArray[np.floating[Any]]
Predict = Callable[[Floats], Floats]


class Counts(defaultdict[str, dict[str, list[int]]]):
    """Gate → what was counted → [how often, of how many]; written whenever something was added."""

    def add(self, gate: str, what: str, happened: object) -> None:
        """One case more."""
        count = self[gate].setdefault(what, [0, 0])
        count[0] += bool(happened)
        count[1] += 1

    def write(self) -> None:
        """To where the gates read it."""
        FOUND.write_text(json.dumps(self, indent=1, sort_keys=True) + "\n", encoding="utf-8")


class Simulated(Case):
    """A case whose candidate was fitted right here."""

    reproduced = True  # nothing has to be fitted again


class Draw:
    """UCI's wines, split by a seed of their own, and a model in production that was fitted on the training wines."""

    def __init__(self, wines: pd.DataFrame, seed: int, trees: int) -> None:
        places = splits.deal(wines, seed, 0.2, 0.2)
        self.tables = {name: wines[places == name].reset_index(drop=True) for name in splits.SPLITS}
        self.rows = {name: encode_columns(table) for name, table in self.tables.items()}
        self.grades = {name: table[TARGET].to_numpy(float) for name, table in self.tables.items()}
        self.folds = splits.folds(self.tables["train"], seed)
        self.resamples = Bootstrap(self.tables["test"]["group"], RESAMPLES, 0)
        self.random, self.trees, self.seed = np.random.default_rng(seed), trees, seed
        self.red = (self.tables["train"][SEGMENT] == SEGMENTS[0]).to_numpy()
        self.production = self.forest(0)

    def forest(self, seed: int, kept: Any = slice(None), **options: Any) -> Predict:
        """A forest, fitted on those training wines that are kept."""
        return fitted(self.new_forest(seed, **options), self.rows["train"][kept], self.grades["train"][kept])

    def new_forest(self, seed: int, **options: Any) -> Any:
        """As the default recipe, but for its trees."""
        settings = {"min_samples_leaf": 3, "max_features": 4} | options
        return RandomForestRegressor(self.trees, random_state=1000 * self.seed + seed, **settings)

    def having_seen(self, seed: int, n: int, of: str = "test") -> Predict:
        """A forest that had n more wines in its training."""
        more = self.random.choice(len(self.rows[of]), n, replace=False)
        rows = np.concatenate([self.rows["train"], self.rows[of][more]])
        return fitted(self.new_forest(seed), rows, np.concatenate([self.grades["train"], self.grades[of][more]]))

    def out_of_fold(self, new: Callable[[], Any], grades: Floats | None = None) -> Floats:
        """What models say of the training wines of each fold that were fitted on the others."""
        rows, grades = self.rows["train"], self.grades["train"] if grades is None else grades
        said = np.empty(len(rows))
        for fold in np.unique(self.folds):
            out = self.folds == fold
            said[out] = fitted(new(), rows[~out], grades[~out])(rows[out])
        return said

    def case(self, predict: Predict, level: float = BOUNDS["level"]) -> Case:
        """As the evaluation makes one, but for predictions out of fold."""
        rows = self.rows["test"]
        line = fitted(straight_line(), self.rows["train"], self.grades["train"])
        said = {"candidate": predict(rows), "production": self.production(rows), "ridge": line(rows)}
        said["mean"] = np.full(len(rows), self.grades["train"].mean())
        return Simulated(
            bundles={"candidate": self.packed(predict, level)},
            defect="",
            untraced="",
            splits=self.tables,
            unseen=np.full(len(rows), True),
            predictions={role: each.astype(float) for role, each in said.items()},
            resamples=self.resamples,
            rival="production",
            incomparable="",
            best=None,
            out_of_fold=None,
            look=1,
            trials=1,
            bounds=BOUNDS,
        )

    def packed(self, predict: Predict, level: float) -> Any:
        """As much of a bundle as these gates look at."""
        off = self.grades["calibration"] - predict(self.rows["calibration"])
        colors = self.tables["calibration"][SEGMENT]
        reach = {color: gates.half_width(np.abs(off[colors == color]), level) for color in SEGMENTS}
        return SimpleNamespace(predict=predict, metadata=SimpleNamespace(calibration=SimpleNamespace(half_width=reach)))

    def errors(self, predict: Predict, of: str) -> Floats:
        """Of a model on a split's wines."""
        found: Floats = self.grades[of] - predict(self.rows[of])
        return found


def straight_line() -> Any:
    """What a forest has to beat."""
    return make_pipeline(StandardScaler(), Ridge())


def fitted(model: Any, rows: Floats, grades: Floats) -> Predict:
    """What a model says once it is fitted."""
    predict: Predict = model.fit(rows, grades).predict
    return predict


def fails(gate: Gate | None) -> bool:
    """Whether it was asked and does not hold."""
    return gate is not None and gate.outcome != "holds"


ASKED: Final[dict[str, list[Callable[[Case], Gate | None]]]] = {
    "not worse": [gates.not_worse_than_production],
    "not worse on the rare colour": [partial(gates.not_worse_on_color, "red wines")],
    "not worse on the common colour": [partial(gates.not_worse_on_color, "white wines")],
    "not worse on a band": [partial(gates.not_worse_on_band, band) for band in BANDS],
    "coverage": [partial(gates.coverage, color) for color in SEGMENTS],
    "fits its training wines": [gates.fits_training_wines],
    "knows colours": [gates.knows_colors],
}


def stopped(gate: str, case: Case) -> bool:
    """Whether a gate, or one of several alike, does not hold."""
    return any(fails(each(case)) for each in ASKED[gate])


def count_fair(draw: Draw, fair: Predict, counts: Counts) -> None:
    """A candidate of another seed must pass everywhere."""
    case = draw.case(fair)
    fallen = {gate: stopped(gate, case) for gate in ASKED}
    for gate, fell in fallen.items():
        counts.add(gate, "fair candidates stopped", fell)
    counts.add("all of these together", "fair candidates stopped", any(fallen.values()))


def count_faults(draw: Draw, fair: Predict, counts: Counts, losses: dict[str, list[float]]) -> None:
    """Candidates with a fault each, for the gate that is there to find it."""
    train = draw.tables["train"]
    lottery = draw.random.random(len(train))
    few_reds = {share: draw.forest(3, ~draw.red | (lottery > share)) for share in (0.75, 0.9)}
    few_whites = draw.forest(3, draw.red | (lottery > 0.9))
    coarse = {leaf: draw.forest(4, min_samples_leaf=leaf) for leaf in (20, 60)}
    modest = draw.forest(5, draw.grades["train"] < 7)
    elsewhere = fitted(draw.new_forest(6), draw.rows["test"], draw.grades["test"])
    swap = draw.rows["train"].copy()
    swap[:, -1] = swap[:, -1].max() + swap[:, -1].min() - swap[:, -1]
    swapped = fitted(draw.new_forest(7), swap, draw.grades["train"])
    faults: list[tuple[str, str, Predict, str]] = [
        ("not worse on a band", "that never saw a grade of 7 or more found", modest, ""),
        ("fits its training wines", "that were fitted on test wines instead found", elsewhere, ""),
        ("knows colours", "that were trained with colours swapped found", swapped, ""),
        *(("not worse", "found where RMSE is {loss:.3f} worse", each, "all wines") for each in coarse.values()),
        *(
            ("not worse on the rare colour", "found where RMSE on it is {loss:.3f} worse", each, "red wines")
            for each in few_reds.values()
        ),
        ("not worse on the common colour", "found where RMSE on it is {loss:.3f} worse", few_whites, "white wines"),
    ]
    for number, (gate, what, predict, part) in enumerate(faults):
        case = draw.case(predict)
        counts.add(gate, f"{number:02d} {what}", stopped(gate, case))
        if part and (loss := case.difference("production", part)):
            losses.setdefault(f"{number:02d} {what}", []).append(loss.value)
    for level in (0.85, 0.95):
        counts.add("coverage", f"that cover {level:.0%} instead found", stopped("coverage", draw.case(fair, level)))


def count_leaks(draw: Draw, fair: Predict, counts: Counts) -> None:
    """Candidates that have seen test wines, and who has not."""
    apart = np.abs(draw.forest(1)(draw.rows["test"]) - fair(draw.rows["test"])).max()
    counts.add("reproduced", "fair candidates stopped", apart > SAME)
    leaked = draw.having_seen(1, 1)
    everything = np.concatenate([*draw.rows.values()])
    counts.add(
        "reproduced",
        "with one test wine in training found",
        np.abs(leaked(everything) - fair(everything)).max() > SAME,
    )
    groups = {name: table["group"] for name, table in draw.tables.items()}
    n = len(groups["test"])
    for share in (0.0, 0.05, 0.1, 0.2):
        suspect = draw.having_seen(8, round(share * n)) if share else draw.forest(8)
        twin = rmse_difference(draw.errors(suspect, "test"), draw.errors(fair, "test"), groups["test"])
        what = f"with {share:.0%} of the test wines leaked found" if share else "fair candidates stopped"
        counts.add("another seed", what, twin.interval(gates.OTHER_SEED).high < 0)
        errors = {
            of: {"candidate": draw.errors(suspect, of), "production": draw.errors(draw.production, of)}
            for of in ("test", "calibration")
        }
        z = gates.too_good(*(gates.gained(each, groups[of]) for of, each in errors.items()))
        rmse = rmse_difference(errors["test"]["candidate"], errors["test"]["production"], groups["test"]).value
        counts.add("unlike others", what, z < gates.TOO_GOOD[0] or rmse < gates.TOO_GOOD[1])


def count_gains(draw: Draw, fair: Predict, counts: Counts, losses: dict[str, list[float]]) -> None:
    """An equal candidate, one that averages three kinds of estimators, and one that learnt shuffled grades."""
    grades = draw.random.permutation(draw.grades["train"])
    production = draw.out_of_fold(partial(draw.new_forest, 0))
    equal = draw.out_of_fold(partial(draw.new_forest, 1))
    others: list[Callable[[], Any]] = [
        lambda: ExtraTreesRegressor(draw.trees, min_samples_leaf=3, max_features=6, random_state=draw.seed),
        lambda: HistGradientBoostingRegressor(max_iter=100, learning_rate=0.05, random_state=draw.seed),
    ]
    parts = [fair, *(fitted(new(), draw.rows["train"], draw.grades["train"]) for new in others)]
    voting = np.mean([equal, *(draw.out_of_fold(new) for new in others)], axis=0)
    shuffled = fitted(draw.new_forest(2), draw.rows["train"], grades)
    models: dict[str, tuple[Predict, Floats]] = {
        "equal": (fair, equal),
        "voting": (lambda rows: np.mean([part(rows) for part in parts], axis=0), voting),
        "shuffled": (shuffled, draw.out_of_fold(partial(draw.new_forest, 2), grades)),
    }
    baselines = {"mean": draw.out_of_fold(DummyRegressor), "ridge": draw.out_of_fold(straight_line)}
    for name, (predict, said) in models.items():
        held_out = draw.tables["train"][["group", TARGET]].assign(candidate=said, production=production, **baselines)
        case = replace(draw.case(predict), out_of_fold=held_out)
        for baseline in baselines:
            fell = fails(gates.better_than(baseline, case))
            if name != "voting":
                what = "fair candidates stopped" if name == "equal" else "that learnt shuffled grades found"
                counts.add(f"better than {baseline}", what, fell)
        if name != "shuffled":
            count_gain(name, case, counts, losses)


def count_gain(name: str, case: Case, counts: Counts, losses: dict[str, list[float]]) -> None:
    """Whether it is shown, early and late, with and without predictions out of fold."""
    what = "equal seeds promoted" if name == "equal" else "gains of {loss:.3f} shown"
    if name == "voting":
        losses.setdefault("better", []).append(-case.gain("production")[0].value)
    for look in (1, 10):
        by_all = replace(case, look=look)
        counts.add("better", f"{what} at look {look}", not fails(gates.better_than_production(by_all)))
        alone = replace(by_all, out_of_fold=None)
        counts.add("better by test wines", f"{what} at look {look}", not fails(gates.better_than_production(alone)))


def count_looks(draw: Draw, counts: Counts) -> None:
    """One forest of another seed after the other, all equal, meets who stands, and should not replace it."""

    def errors(seed: int) -> Floats:
        test = draw.errors(draw.forest(seed), "test")
        return np.concatenate([test, draw.grades["train"] - draw.out_of_fold(partial(draw.new_forest, seed))])

    groups = np.concatenate([draw.tables[name]["group"] for name in ("test", "train")])
    stands = dict.fromkeys(("shared out", "95 % each"), errors(0))
    promoted = dict.fromkeys(stands, 0)
    for look in range(1, LOOKS + 1):
        comes = errors(look)
        for rule, tail in {"shared out": gates.alpha_of(look), "95 % each": 0.025}.items():
            if rmse_difference(comes, stands[rule], groups).interval(tail).high < 0:
                stands[rule], promoted[rule] = comes, promoted[rule] + 1
        if look in (10, LOOKS):
            for rule, times in promoted.items():
                counts.add("looks", f"sequences of {look} with a false promotion, {rule}", times)


def named(counts: Mapping[str, Mapping[str, list[int]]], losses: Mapping[str, list[float]]) -> Counts:
    """The counts under names that say how large what was found is."""
    told = Counts(dict)
    for gate, found in counts.items():
        for what, count in found.items():
            loss = np.mean(losses.get(what, losses.get(gate.partition(" by")[0], [0.0])))
            name = what[3:] if what[:2].isdigit() else what
            told[gate][name.format(loss=loss)] = count
    return told


def all_wines() -> pd.DataFrame:
    """UCI's distinct wines, from the registry that tests keep."""
    with tempfile.TemporaryDirectory() as place:
        dataset = frozen.unpack_registry(Path(place)) / "wine-quality-data" / "v0"
        tables = [pd.read_parquet(dataset / f"{name}.parquet") for name in splits.SPLITS]
    wines = pd.concat(tables, ignore_index=True)
    return wines.assign(group=near_duplicates.groups(wines))


def main() -> int:
    """Simulate, and write after every draw: whoever stops it early keeps what was counted."""
    wines, counts = all_wines(), Counts(dict)
    losses: dict[str, list[float]] = {}
    for number in range(DRAWS):
        draw = Draw(wines, number, TREES)
        fair = draw.forest(1)
        count_fair(draw, fair, counts)
        count_faults(draw, fair, counts, losses)
        count_leaks(draw, fair, counts)
        count_gains(draw, fair, counts, losses)
        if number % APART == 0:
            count_looks(Draw(wines, DRAWS + number, FEW_TREES), counts)
        named(counts, losses).write()
        print(f"{number + 1} of {DRAWS} splits", flush=True)
    return 0

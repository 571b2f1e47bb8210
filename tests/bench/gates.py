"""The gates, simulated: how often each stops a fair candidate, and how often it finds what it is there to find.

UCI's wines are split anew for each draw, models are fitted on the training wines, honest ones and others, and the gates
themselves judge them. Forests are those that `make pipeline` trains. A forest is a mean of trees that know nothing of
each other, so that any hundred of a larger stock are a forest: one stock gives many candidates. Pairs of them share no
tree; in a sequence they share some, which makes differences and the errors of these smaller alike. All share a split:
what is counted goes to notebooks/gates.json, which every gate cites, with a standard error over splits (it says nothing
where all were found, or none). It takes three quarters of an hour of CPU time, so it runs only when it is named:
`make bench ONLY=gates`.
"""

import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestRegressor, VotingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from tests import frozen
from tests.conftest import ROOT
from wine_serving.bundle import Bundle
from wine_serving.schema import SEGMENT, SEGMENTS, TARGET, encode_columns
from wine_serving.verdict import Gate

sys.path.insert(0, str(ROOT / "notebooks"))
import gates
import near_duplicates
import splits
from case import BANDS, SAME, Case
from parameters import declared
from resampling import Bootstrap, rmse_difference


def defaults(notebook: str) -> dict[str, Any]:
    """The parameters of a notebook, as they are when nobody sets them."""
    return {name: each.default for name, each in declared(ROOT / "notebooks" / f"{notebook}.ipynb").items()}


FOUND: Final = ROOT / "notebooks" / "gates.json"
BOUNDS: Final = defaults("04_evaluation")
FOREST: Final = {name: defaults("03_training")[name] for name in ("n_estimators", "min_samples_leaf", "max_features")}
TREES: Final = FOREST["n_estimators"]
DRAWS, RESAMPLES = 200, 1000
FAIR, PAIRS = 3, 5  # candidates, and pairs of forests that share no tree, from the stock of a split
STOCK = 2 * TREES  # of trees for each fold
RARELY = 4  # on every fourth split only: what costs much, or is always found
FEW = (BOUNDS["min_wines"], 200, 100)  # wines that nobody has seen, and fewer than are asked
SEQUENCES, LOOKS = 50, 50  # of forests from that stock
Floats = NDArray[np.floating[Any]]
Predict = Callable[[Floats], Floats]


class Counts(defaultdict[str, dict[str, list[int]]]):
    """Gate → what was counted → [how often, of how many], on one split."""

    def add(self, gate: str, what: str, happened: object) -> None:
        """One case more."""
        count = self[gate].setdefault(what, [0, 0])
        count[0] += bool(happened)
        count[1] += 1


class Simulated(Case):
    """A case whose candidate was fitted right here."""

    reproduced = True  # nothing has to be fitted again


class Draw:
    """UCI's wines, split by a seed of their own, with a stock of trees that were fitted on the training wines."""

    def __init__(self, wines: pd.DataFrame, seed: int) -> None:
        places = splits.deal(wines, seed, 0.2, 0.2)
        self.tables = {name: wines[places == name].reset_index(drop=True) for name in splits.SPLITS}
        self.rows = {name: encode_columns(table) for name, table in self.tables.items()}
        self.grades = {name: table[TARGET].to_numpy(float) for name, table in self.tables.items()}
        self.folds = splits.folds(self.tables["train"], seed)
        self.resamples = Bootstrap(self.tables["test"]["group"], RESAMPLES, 0)
        self.random, self.seed = np.random.default_rng(seed), seed
        self.red = (self.tables["train"][SEGMENT] == SEGMENTS[0]).to_numpy()
        stock = self.new_forest(0, n_estimators=(1 + FAIR) * TREES).fit(self.rows["train"], self.grades["train"])
        self.trees = stock.estimators_
        self.production, *self.fair = (of_trees(self.trees[n * TREES :][:TREES]) for n in range(1 + FAIR))

    def forest(self, seed: int, kept: Any = slice(None), **options: Any) -> Predict:
        """A forest, fitted on those training wines that are kept."""
        return fitted(self.new_forest(seed, **options), self.rows["train"][kept], self.grades["train"][kept])

    def new_forest(self, seed: int, **options: Any) -> Any:
        """By the default recipe, but for its options."""
        return RandomForestRegressor(**FOREST | options, random_state=1000 * self.seed + seed)

    def having_seen(self, seed: int, n: int, of: str = "test") -> Predict:
        """A forest that had n more wines in its training."""
        more = self.random.choice(len(self.rows[of]), n, replace=False)
        rows = np.concatenate([self.rows["train"], self.rows[of][more]])
        return fitted(self.new_forest(seed), rows, np.concatenate([self.grades["train"], self.grades[of][more]]))

    def out_of_fold(self, new: Callable[[], Any]) -> Floats:
        """What models say of the training wines of each fold that were fitted on the others."""
        rows, grades = self.rows["train"], self.grades["train"]
        said = np.empty(len(rows))
        for fold in np.unique(self.folds):
            out = self.folds == fold
            said[out] = fitted(new(), rows[~out], grades[~out])(rows[out])
        return said

    def stock_of_errors(self) -> Floats:
        """What each tree of a stock misses, shape (wines, trees): test wines, then training wines out of fold."""
        trees = self.trees[:STOCK]
        rows, grades = self.rows["train"], self.grades["train"]
        said = np.empty((len(rows), STOCK))
        for fold in np.unique(self.folds):
            out = self.folds == fold
            grown = self.new_forest(100 + fold, n_estimators=STOCK).fit(rows[~out], grades[~out]).estimators_
            said[out] = np.column_stack([tree.predict(rows[out], check_input=False) for tree in grown])
        test = np.column_stack([tree.predict(self.rows["test"], check_input=False) for tree in trees])
        actual = np.concatenate([self.grades["test"], grades])
        errors: Floats = actual[:, None] - np.concatenate([test, said])
        return errors

    def case(self, predict: Predict, level: float = BOUNDS["level"]) -> Case:
        """As the evaluation makes one, but for predictions out of fold; the best so far is the luckiest fair forest."""
        rows = self.rows["test"]
        line = fitted(straight_line(), self.rows["train"], self.grades["train"])
        said = {"candidate": predict(rows), "production": self.production(rows), "ridge": line(rows)}
        said["mean"] = np.full(len(rows), self.grades["train"].mean())
        stood = [each(rows) for each in (self.production, *self.fair) if each is not predict]
        said["best"] = min(stood, key=lambda each: float(np.square(self.grades["test"] - each).sum()))
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
            best="best",
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


def voted() -> Any:
    """The best that a search has found: better than a forest by about as much as can be hoped for."""
    voters = {
        "trees": ExtraTreesRegressor(80, min_samples_leaf=2, max_features=8, random_state=0),
        "vectors": make_pipeline(StandardScaler(), SVR(C=1.0, gamma=0.15, epsilon=0.2)),
        "boosting": HistGradientBoostingRegressor(
            max_iter=200,
            learning_rate=0.04,
            max_leaf_nodes=24,
            min_samples_leaf=20,
            l2_regularization=1,
            random_state=0,
        ),
    }
    return VotingRegressor(list(voters.items()), weights=[0.5, 0.3, 0.2])


def of_trees(trees: Any) -> Predict:
    """What a forest says that is made of these trees."""
    return lambda rows: np.mean([tree.predict(rows, check_input=False) for tree in trees], axis=0)


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
    "not worse than the best": [gates.not_worse_than_best],
    "not worse on the rare colour": [partial(gates.not_worse_on_color, "red wines", "production")],
    "not worse on the rare colour than the best": [partial(gates.not_worse_on_color, "red wines", "best")],
    "not worse on the common colour": [partial(gates.not_worse_on_color, "white wines", "production")],
    "not worse on the common colour than the best": [partial(gates.not_worse_on_color, "white wines", "best")],
    "not worse on a band": [partial(gates.not_worse_on_band, band) for band in BANDS],
    "coverage": [partial(gates.coverage, color) for color in SEGMENTS],
    "fits its training wines": [gates.fits_training_wines],
    "knows colours": [gates.knows_colors],
}


def stopped(gate: str, case: Case) -> bool:
    """Whether a gate, or one of several alike, does not hold."""
    return any(fails(each(case)) for each in ASKED[gate])


def count_fair(draw: Draw, counts: Counts) -> None:
    """Candidates of other seeds must pass everywhere."""
    for fair in draw.fair:
        case = draw.case(fair)
        fallen = {gate: stopped(gate, case) for gate in ASKED}
        for gate, fell in fallen.items():
            counts.add(gate, "fair candidates stopped", fell)
        counts.add("all of these together", "fair candidates stopped", any(fallen.values()))
        order = np.random.default_rng(draw.seed).permutation(len(case.unseen))
        for few in FEW:
            alike = replace(case, unseen=order < few, bounds=BOUNDS | {"min_wines": few})
            fell = any(stopped(gate, alike) for gate in ASKED if gate.startswith("not worse"))
            counts.add("comparable", f"fair candidates stopped on {few} wines", fell)


def count_faults(draw: Draw, counts: Counts, losses: dict[str, list[float]]) -> None:
    """Candidates with a small fault each, for the gate that is there to find it."""
    lottery = draw.random.random(len(draw.red))
    few_reds = [draw.forest(3, ~draw.red | (lottery > share)) for share in (0.75, 0.85)]
    count_losses("not worse", "all wines", [draw.forest(4, min_samples_leaf=20)], draw, counts, losses)
    count_losses("not worse on the rare colour", "red wines", few_reds, draw, counts, losses)
    for level in (0.85, 0.95):
        case = draw.case(draw.fair[0], level)
        counts.add("coverage", f"that cover {level:.0%} instead found", stopped("coverage", case))


def count_losses(
    gate: str, part: str, worse: list[Predict], draw: Draw, counts: Counts, losses: dict[str, list[float]]
) -> None:
    """Candidates that are worse on a part of the wines, and by how much."""
    for predict in worse:
        case, what = draw.case(predict), f"found where RMSE is {{loss:.3f}} worse ({len(counts[gate])})"
        for rule, other in {gate: "production", f"{gate} than the best": "best"}.items():
            counts.add(rule, what, stopped(rule, case))
            if loss := case.difference(other, part):
                losses.setdefault(f"{rule}: {what}", []).append(loss.value)


def count_gross_faults(draw: Draw, counts: Counts, losses: dict[str, list[float]]) -> None:
    """What is always found: it takes fewer splits to see."""
    few_whites = draw.forest(3, draw.red | (draw.random.random(len(draw.red)) > 0.9))
    count_losses("not worse on the common colour", "white wines", [few_whites], draw, counts, losses)
    count_losses("not worse", "all wines", [draw.forest(4, min_samples_leaf=60)], draw, counts, losses)
    swap = draw.rows["train"].copy()
    swap[:, -1] = swap[:, -1].max() + swap[:, -1].min() - swap[:, -1]
    faults = {
        ("not worse on a band", "that never saw a grade of 7 or more found"): draw.forest(5, draw.grades["train"] < 7),
        ("fits its training wines", "that were fitted on test wines instead found"): fitted(
            draw.new_forest(6), draw.rows["test"], draw.grades["test"]
        ),
        ("knows colours", "that were trained with colours swapped found"): fitted(
            draw.new_forest(7), swap, draw.grades["train"]
        ),
    }
    for (gate, what), predict in faults.items():
        counts.add(gate, what, stopped(gate, draw.case(predict)))
    honest, everything = draw.forest(1), np.concatenate([*draw.rows.values()])
    others = {"fair candidates stopped": draw.forest(1), "with one test wine in training found": draw.having_seen(1, 1)}
    for what, other in others.items():
        counts.add("reproduced", what, np.abs(other(everything) - honest(everything)).max() > SAME)


def count_leaks(draw: Draw, counts: Counts) -> None:
    """Candidates that have seen test wines, and who has not."""
    groups = {name: table["group"] for name, table in draw.tables.items()}
    stand = {of: draw.errors(draw.production, of) for of in ("test", "calibration")}
    fair = [{of: draw.errors(each, of) for of in stand} for each in draw.fair]
    twins = [each["test"] for each in fair]
    for number, each in enumerate(fair):
        count_suspect("fair candidates stopped", each, twins[number - 1 : number or None], stand, groups, counts)
    for share in (0.05, 0.1, 0.2):
        leaked = draw.having_seen(8, round(share * len(groups["test"])))
        found = {of: draw.errors(leaked, of) for of in stand}
        count_suspect(f"with {share:.0%} of the test wines leaked found", found, twins, stand, groups, counts)


def count_suspect(
    what: str,
    found: dict[str, Floats],
    twins: list[Floats],
    stand: dict[str, Floats],
    groups: dict[str, Any],
    counts: Counts,
) -> None:
    """Who may have seen test wines, beside twins that have not, and by its gain on test and on calibration wines."""
    for twin in twins:
        apart = rmse_difference(found["test"], twin, groups["test"])
        counts.add("another seed", what, apart.interval(gates.OTHER_SEED).high < 0)
    pairs = {of: {"candidate": found[of], "production": stand[of]} for of in stand}
    z = gates.too_good(*(gates.gained(each, groups[of]) for of, each in pairs.items()))
    rmse = rmse_difference(found["test"], stand["test"], groups["test"]).value
    counts.add("unlike others", what, z < gates.TOO_GOOD[0] or rmse < gates.TOO_GOOD[1])


def count_gains(draw: Draw, stock: Floats, counts: Counts, losses: dict[str, list[float]]) -> None:
    """Equal candidates, one in which three kinds of estimators vote, and one that learnt shuffled grades."""
    n, train, case = len(draw.rows["test"]), draw.tables["train"], draw.case(draw.fair[0])
    actual = np.concatenate([draw.grades["test"], draw.grades["train"]])
    baselines = {"mean": draw.out_of_fold(DummyRegressor), "ridge": draw.out_of_fold(straight_line)}

    def compared(candidate: Floats, production: Floats) -> Case:
        """Two models by what they say of test wines, then of training wines out of fold."""
        said = {"candidate": candidate[n:], "production": production[n:], **baselines}
        both = {"candidate": candidate[:n].astype(float), "production": production[:n].astype(float)}
        held_out = train[["group", TARGET]].assign(**said)
        return replace(case, predictions={**case.predictions, **both}, out_of_fold=held_out)

    voting = fitted(voted(), draw.rows["train"], draw.grades["train"])(draw.rows["test"])
    voting = np.concatenate([voting, draw.out_of_fold(voted)])
    for _ in range(PAIRS):
        order = draw.random.permutation(STOCK)
        stands, comes = (actual - stock[:, order[which:][:TREES]].mean(axis=1) for which in (0, TREES))
        equal, better = compared(comes, stands), compared(voting, stands)
        size = -better.gain("production")[0].value
        for gate in ("better", "better by test wines"):
            losses.setdefault(gate, []).append(size)
        for what, each in {"equal seeds promoted": equal, "gains of {loss:.3f} shown": better}.items():
            count_gain(what, each, counts)
        for baseline in baselines:
            counts.add(f"better than {baseline}", "fair candidates stopped", fails(gates.better_than(baseline, equal)))
    grades = draw.random.permutation(draw.grades["train"])
    shuffled = draw.case(fitted(draw.new_forest(2), draw.rows["train"], grades))
    for baseline in baselines:
        fell = fails(gates.better_than(baseline, shuffled))
        counts.add(f"better than {baseline}", "that learnt shuffled grades found", fell)


def count_gain(what: str, case: Case, counts: Counts) -> None:
    """Whether it is shown, early and late, with and without predictions out of fold."""
    for look in (1, 10):
        by_all = replace(case, look=look)
        counts.add("better", f"{what} at look {look}", not fails(gates.better_than_production(by_all)))
        alone = replace(by_all, out_of_fold=None)
        counts.add("better by test wines", f"{what} at look {look}", not fails(gates.better_than_production(alone)))


def count_looks(draw: Draw, stock: Floats, counts: Counts) -> None:
    """One forest after the other, all equal, meets who stands, and should not replace it."""
    groups = np.concatenate([draw.tables[name]["group"] for name in ("test", "train")])
    for _ in range(SEQUENCES):
        drawn = [draw.random.choice(STOCK, TREES, replace=False) for _ in range(1 + LOOKS)]
        errors = np.column_stack([stock[:, each].mean(axis=1) for each in drawn])
        stands, promoted = dict.fromkeys(("shared out", "95 % each"), 0), dict.fromkeys(("shared out", "95 % each"), 0)
        for look in range(1, LOOKS + 1):
            for rule, tail in {"shared out": gates.alpha_of(look), "95 % each": 0.025}.items():
                gain = rmse_difference(errors[:, look], errors[:, stands[rule]], groups)
                if gain.interval(tail).high < 0:
                    stands[rule], promoted[rule] = look, promoted[rule] + 1
            if look in (10, LOOKS):
                for rule, times in promoted.items():
                    counts.add("looks", f"sequences of {look} with a false promotion, {rule}", times)


def count_times(draw: Draw, bundle: Bundle, counts: Counts) -> None:
    """Two that take the same time, and one that takes as long as the bound allows and once more."""
    longer = int(BOUNDS["times_slower"]) + 1
    slow = SimpleNamespace(predict=lambda rows: [bundle.predict(rows) for _ in range(longer)])
    case = draw.case(draw.fair[0])
    for what, other in {"fair candidates stopped": bundle, f"that take {longer} times as long found": slow}.items():
        timed = replace(case, bundles={"candidate": cast("Bundle", other), "production": bundle})
        counts.add("time", what, fails(gates.time_for_one(timed)))


def count(wines: pd.DataFrame, served: Path, number: int) -> tuple[Counts, dict[str, list[float]]]:
    """All that is counted on one split, and how large what was to be found is."""
    draw, counts, losses = Draw(wines, number), Counts(dict), dict[str, list[float]]()
    count_fair(draw, counts)
    count_faults(draw, counts, losses)
    count_leaks(draw, counts)
    count_times(draw, Bundle.load(served), counts)
    if number % RARELY == 0:
        stock = draw.stock_of_errors()
        count_gross_faults(draw, counts, losses)
        count_gains(draw, stock, counts, losses)
        count_looks(draw, stock, counts)
    return counts, losses


def write(of_splits: list[tuple[Counts, dict[str, list[float]]]]) -> None:
    """All counts, to where the gates read them, under names that say how large what was found is."""
    told: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    named = {(gate, what) for counts, _ in of_splits for gate, counted in counts.items() for what in counted}
    for gate, what in named:
        sizes = [each for _, losses in of_splits for each in losses.get(f"{gate}: {what}", losses.get(gate, []))]
        name = what.partition(" (")[0].format(loss=np.mean(sizes or [0]))
        told[gate][name] = summed([counts[gate][what] for counts, _ in of_splits if what in counts[gate]])
    FOUND.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def summed(of_splits: list[list[int]]) -> dict[str, float]:
    """A count over splits; the standard error of its share lets candidates of one split be as alike as they are.

    >>> summed([[0, 4], [4, 4]]), summed([[2, 4], [2, 4]])
    ({'found': 4, 'of': 8, 'splits': 2, 'error': 0.5}, {'found': 4, 'of': 8, 'splits': 2, 'error': 0.0})
    """
    found, of = np.array(of_splits).T
    off, n = found - of * found.sum() / of.sum(), len(of)
    error = np.sqrt((off**2).sum() * n / max(n - 1, 1)) / of.sum()
    return {"found": int(found.sum()), "of": int(of.sum()), "splits": n, "error": round(float(error), 4)}


def all_wines(dataset: Path) -> pd.DataFrame:
    """UCI's distinct wines."""
    tables = [pd.read_parquet(dataset / f"{name}.parquet") for name in splits.SPLITS]
    wines = pd.concat(tables, ignore_index=True)
    return wines.assign(group=near_duplicates.groups(wines))


def main() -> int:
    """Simulate, and write after every split: whoever stops it early keeps what was counted."""
    of_splits = []
    with tempfile.TemporaryDirectory() as place:
        registry = frozen.unpack_registry(Path(place))
        wines, served = all_wines(registry / "wine-quality-data" / "v0"), registry / "wine-quality" / "v0"
        workers = Parallel(os.cpu_count(), return_as="generator_unordered", pre_dispatch="all")
        for each in workers(delayed(count)(wines, served, number) for number in range(DRAWS)):
            of_splits.append(each)
            write(of_splits)
            print(f"{len(of_splits)} of {DRAWS} splits", flush=True)
    return 0

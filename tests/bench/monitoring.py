"""Monitoring, simulated: how often the looks of a year give a false alarm, and how often they find a change.

Reference, calibration wines and every week are drawn from UCI's distinct wines with replacement, so that nothing has
changed but by chance, or exactly what is said. What a model says of a wine, and whether it warns, comes from models
that were fitted on other wines. A year has 52 looks at each window, after enough earlier weeks to fill the longest one.

The looks are those of notebooks/looks.py, counted instead of sorted: D is read from cumulated counts for all weeks at
once, and a p that is not near its step is not computed. tests/notebooks/test_looks.py holds both equal. What is counted
goes to notebooks/looks.json. It takes minutes, so it runs only when it is named: `make bench ONLY=monitoring`.
"""

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import betabinom, fisher_exact, hypergeom, ks_2samp, kstwo, norm, t
from sklearn.ensemble import RandomForestRegressor

from tests import frozen
from tests.bench.gates import FOREST, all_wines
from tests.conftest import ROOT
from wine_serving.schema import FEATURES, MEASUREMENTS, SEGMENT, SEGMENTS, TARGET, encode_columns

sys.path.insert(0, str(ROOT / "notebooks"))
import looks
import splits
from gates import half_width

FOUND: Final = ROOT / "notebooks" / "looks.json"
BUDGET, LEVEL = 0.05, 0.9
YEARS, CASES, CHANGES, TASTED, OTHERS = 2000, 60, 400, 1000, 200
GRADES_A_MONTH: Final = {50: 30, 200: 100, 1000: 300}  # asked, by wines a week
STARTING = max(looks.WINDOWS.values()) - 1  # weeks before the year
HELD_BACK = 0.2  # share of wines that calibrate, and that test
FOLDS, TRAINED = 5, 3
NEAR = 3  # times the budget of a look, beyond which a p is told as 1
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]  # they hold counts exactly, and a D well enough
Ints = NDArray[np.int64]


class Codes(NamedTuple):
    """Wines as places on one axis, on which the values of each measurement of each colour follow one another."""

    places: list[Ints]  # of each table: shape (wines, measurements)
    starts: Ints  # where each measurement of each colour begins, shape (colours × measurements,)
    size: int

    @classmethod
    def of(cls, *tables: pd.DataFrame) -> Self:
        """Of tables that hold the same wines in the same order, whatever was measured of them."""
        places = [np.empty((len(tables[0]), len(MEASUREMENTS)), np.int64) for _ in tables]
        starts, size = [], 0
        for color in SEGMENTS:
            rows = (tables[0][SEGMENT] == color).to_numpy()
            for column, name in enumerate(MEASUREMENTS):
                values = np.concatenate([table.loc[rows, name] for table in tables])
                levels, codes = np.unique(values, return_inverse=True)
                for place, part in zip(places, np.split(codes, len(tables)), strict=True):
                    place[rows, column] = part + size
                starts.append(size)
                size += len(levels)
        return cls(places, np.array(starts), size)


class Change(NamedTuple):
    """What is otherwise than before: wines as they are then, their share, and that of red ones among all."""

    wines: pd.DataFrame
    share: float = 1.0
    red: float | None = None


class Population:
    """All wines, from which reference, calibration wines and weeks are drawn; with a change, or as they are."""

    def __init__(self, wines: pd.DataFrame, change: Change | None = None) -> None:
        self.change = change or Change(wines)
        tables = [wines] if change is None else [wines, change.wines]
        self.codes = Codes.of(*tables)
        self.unusual = [unusual(wines, table) for table in tables]
        self.red = (wines[SEGMENT] == SEGMENTS[0]).to_numpy()
        self.n = len(wines)

    @cached_property
    def weights(self) -> Floats | None:
        """The chance of each wine to be drawn once the share of red ones has changed."""
        red = self.change.red
        if red is None:
            return None
        chances: Floats = np.where(self.red, red / self.red.sum(), (1 - red) / (~self.red).sum())
        return chances

    def draw(self, random: np.random.Generator, wines: int, weeks: int, since: int) -> "Draw":
        """So many wines in each of some weeks, changed from the week `since` on."""
        drawn = random.integers(self.n, size=(weeks, wines))
        if self.weights is not None and since < weeks:
            drawn[since:] = random.choice(self.n, size=(weeks - since, wines), p=self.weights)
        otherwise = np.full(drawn.shape, False)
        if len(self.unusual) > 1:
            otherwise[since:] = random.random((weeks - since, wines)) < self.change.share
        return Draw(drawn, otherwise, *(random.integers(self.n, size=n) for n in (self.n, round(HELD_BACK * self.n))))

    def counted(self, draw: "Draw") -> "Weeks":
        """What was drawn, as counts."""
        places, unlike = self.codes.places[0][draw.weeks], self.unusual[0][draw.weeks]
        if draw.otherwise.any():
            changed = draw.weeks[draw.otherwise]
            places[draw.otherwise], unlike[draw.otherwise] = self.codes.places[1][changed], self.unusual[1][changed]
        colors, known = self.colors(draw.weeks), self.colors(draw.reference[None])
        return Weeks(
            self.codes,
            cumulated(places, self.codes, colors),
            colors,
            unlike.sum(axis=1),
            cumulated(self.codes.places[0][draw.reference][None], self.codes, known)[0],
            known[0],
            (int(self.unusual[0][draw.calibration].sum()), len(draw.calibration)),
        )

    def colors(self, drawn: Ints) -> Ints:
        """Wines of each colour in each row."""
        red = self.red[drawn].sum(axis=1)
        return np.stack([red, drawn.shape[1] - red], axis=1)

    def weeks(self, random: np.random.Generator, wines: int, weeks: int, since: int) -> "Weeks":
        """Drawn and counted."""
        return self.counted(self.draw(random, wines, weeks, since))


class Draw(NamedTuple):
    """Which wines were drawn."""

    weeks: Ints  # shape (weeks, wines)
    otherwise: NDArray[np.bool_]  # which of them are as they are once something has changed
    reference: Ints
    calibration: Ints


def cumulated(places: Ints, codes: Codes, colors: Ints) -> Singles:
    """How many wines of each week, shape (weeks, wines, measurements), have a value or less: shape (weeks, places)."""
    week = np.arange(len(places))[:, None, None] * codes.size
    counts = np.bincount((places + week).ravel(), minlength=len(places) * codes.size).reshape(len(places), codes.size)
    counts[:, codes.starts[1:]] -= np.repeat(colors, len(MEASUREMENTS), axis=1)[:, :-1]  # each begins anew
    return counts.cumsum(axis=1).astype(np.float32)


class Weeks(NamedTuple):
    """Weeks of wines as counts, beside a reference and calibration wines."""

    codes: Codes
    below: Singles  # shape (weeks, places)
    colors: Ints  # wines of each colour, shape (weeks, colours)
    unusual: Ints  # shape (weeks,)
    reference: Singles  # shape (places,)
    reference_colors: Ints
    calibration: tuple[int, int]  # unusual ones, and all

    def pooled(self, weeks: int) -> Self:
        """Each week together with those before it, so many in all."""
        if weeks == 1:
            return self
        below, colors, unusual = (over(each, weeks) for each in (self.below, self.colors, self.unusual))
        return self._replace(below=below, colors=colors, unusual=unusual)

    def distances(self) -> Floats:
        """D of each measurement of each colour, shape (weeks, colours × measurements); 0 where there is no wine."""
        starts, each = self.codes.starts, len(MEASUREMENTS)
        apart = np.empty_like(self.below)
        for color, own in enumerate((slice(0, starts[each]), slice(starts[each], None))):
            known = self.reference[own] / self.reference_colors[color].astype(np.float32)
            wines = np.maximum(self.colors[:, [color]], 1).astype(np.float32)
            np.abs(self.below[:, own] / wines - known, out=apart[:, own])
        largest = np.maximum.reduceat(apart, starts, axis=1).astype(float)
        found: Floats = np.where(np.repeat(self.colors, each, axis=1) > 0, largest, 0)
        return found

    def look(self, near: float) -> tuple[Floats, Floats]:
        """What each question measures in each week, and its p: shape (weeks, questions); a p above `near` is 1."""
        apart = self.distances()
        n = np.repeat(self.colors, len(MEASUREMENTS), axis=1)
        chances = self.chances(apart, n, near)
        first, wines = self.colors[:, 0], self.colors.sum(axis=1)
        known, of = int(self.reference_colors[0]), int(self.reference_colors.sum())
        share, more = first / wines - known / of, self.unusual / wines - self.calibration[0] / self.calibration[1]
        colors = np.ones(len(wines))
        for week in np.flatnonzero(is_far(first / wines, known / of, wines, of, 2.5)):
            counts = [[first[week], wines[week] - first[week]], [known, of - known]]
            colors[week] = fisher_exact(counts).pvalue
        total, all_unusual = wines + self.calibration[1], self.unusual + self.calibration[0]
        warned = hypergeom.sf(self.unusual - 1, total, all_unusual, wines)
        return np.column_stack([apart, share, more]), np.column_stack([chances, colors, warned])

    def chances(self, apart: Floats, n: Ints, near: float) -> Floats:
        """The p of each D, exact where few wines are on one side."""
        reference = np.repeat(self.reference_colors, len(MEASUREMENTS))[None]
        size = np.maximum(np.round(n * reference / (n + reference)), 1)
        roughly = np.minimum(np.where(size < 5, 5, 1) * NEAR**2 * near, 1)  # Stephens' formula (1970) errs by less
        least = np.sqrt(np.log(2 / roughly) / 2) / (np.sqrt(size) + 0.12 + 0.11 / np.sqrt(size))
        found = np.ones_like(apart)
        far = apart > least
        found[far] = kstwo.sf(apart[far], size[far])
        for week, question in np.argwhere((n > 0) & (n < looks.EXACT) & (found <= NEAR * near)):
            found[week, question] = self.exact(week, question)
        return found

    def exact(self, week: int, question: int) -> float:
        """The p of one D, by wines that stand where these do."""
        starts = [*self.codes.starts, self.codes.size]
        own = slice(starts[question], starts[question + 1])
        ours, theirs = (
            np.repeat(np.arange(own.stop - own.start), np.diff(below[own], prepend=0).astype(int))
            for below in (self.below[week], self.reference)
        )
        return float(ks_2samp(ours, theirs, method="exact").pvalue)


def over(each: Any, weeks: int) -> Any:
    """Sums of each week and those before it, so many in all."""
    total = np.cumsum(each, axis=0)
    total[weeks:] = total[weeks:] - total[:-weeks]
    return total


def is_far(share: Floats, known: float, n: Ints, of: int, z: float) -> NDArray[np.bool_]:
    """Whether two shares are so many standard errors apart that an exact test is worth its time."""
    both = (share * n + known * of) / (n + of)
    far: NDArray[np.bool_] = np.abs(share - known) > z * np.sqrt(both * (1 - both) * (1 / n + 1 / of))
    return far


def unusual(wines: pd.DataFrame, as_measured: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether a model trained on other wines would warn: by ranges and combinations, as 03_training has them."""
    fold = splits.folds(wines, 0, FOLDS)
    values, others = as_measured[list(MEASUREMENTS)].to_numpy(float), wines[list(MEASUREMENTS)].to_numpy(float)
    found = np.empty(len(wines), bool)
    for number in range(FOLDS):
        for color in SEGMENTS:
            own = (wines[SEGMENT] == color).to_numpy()
            known = others[own & ((fold - number) % FOLDS > FOLDS - 1 - TRAINED)]
            centre, precision = known.mean(axis=0), np.linalg.inv(np.cov(known.T))
            limit = np.quantile(distance(known - centre, precision), 0.995)
            rows = own & (fold == number)
            outside = (values[rows] < known.min(axis=0)) | (values[rows] > known.max(axis=0))
            found[rows] = outside.any(axis=1) | (distance(values[rows] - centre, precision) > limit)
    return found


def distance(off: Floats, precision: Floats) -> Floats:
    """Squared, by Mahalanobis."""
    found: Floats = np.einsum("ni,ij,nj->n", off, precision, off)
    return found


def alarms(weeks: Weeks, budget: float = BUDGET, floor: float = looks.FLOOR) -> NDArray[np.bool_]:
    """Whether each window gives alarm in each week: shape (windows, weeks)."""
    found, own = np.zeros((len(looks.WINDOWS), len(weeks.colors)), bool), budget / looks.LOOKS
    for window, length in enumerate(looks.WINDOWS.values()):
        measured, chances = weeks.pooled(length).look(own)
        for week in np.flatnonzero(chances.min(axis=1) <= own / chances.shape[1]):
            counts = np.abs(measured[week]) >= (floor if length > 1 else 0)
            found[window, week] = (looks.holm(chances[week], own)[1] & counts).any()
    return found


def moved(wines: pd.DataFrame, name: str, sds: float) -> pd.DataFrame:
    """One measurement of every wine is higher by so many standard deviations of its colour, in laboratories' steps."""
    (step,) = [feature.step for feature in FEATURES if feature.name == name]
    higher = wines[name] + (sds * wines.groupby(SEGMENT)[name].transform("std") / step).round() * step
    return wines.assign(**{name: higher.round(6)})


def in_another_unit(wines: pd.DataFrame) -> pd.DataFrame:
    """Volatile acidity in grams per 100 mL."""
    return wines.assign(volatile_acidity=wines["volatile_acidity"] / 10)


# Grades


class Tasted(NamedTuple):
    """Errors of models on wines that they were not fitted on: grade minus score, and whether the wine is red."""

    errors: Floats
    red: NDArray[np.bool_]

    @classmethod
    def of(cls, wines: pd.DataFrame) -> Self:
        """By the default forest, from fold to fold."""
        rows, actual, fold = encode_columns(wines), wines[TARGET].to_numpy(float), splits.folds(wines, 0)
        said = np.empty(len(wines))
        for number in np.unique(fold):
            out = fold == number
            forest = RandomForestRegressor(**FOREST, random_state=number, n_jobs=-1)
            said[out] = forest.fit(rows[~out], actual[~out]).predict(rows[out])
        return cls(actual - said, (wines[SEGMENT] == SEGMENTS[0]).to_numpy())

    def drawn(self, random: np.random.Generator, n: int) -> Self:
        """So many of them, with replacement."""
        rows = random.integers(len(self.errors), size=n)
        return self._replace(errors=self.errors[rows], red=self.red[rows])

    def chances(self, random: np.random.Generator, n: int, change: Any = None, since: int = 0) -> tuple[Ints, Floats]:
        """Of the looks that n asked grades allow, at how many grades, and the p of each question: (looks, questions).

        `change` is what happens to errors from the grade number `since` on.
        """
        held_back = round(HELD_BACK * len(self.errors))
        calibration, test = self.drawn(random, held_back), self.drawn(random, held_back)
        new = self.drawn(random, n)
        if change is not None:
            new.errors[since:] = change(random, new.errors[since:])
        at = np.array([count for count in looks.COUNTS if count <= n])
        columns = [by_mean(new.errors, test.errors, at), by_size(np.abs(new.errors), np.abs(test.errors), at)]
        columns += [by_coverage(new, calibration, red, at) for red in (True, False)]
        return at, np.column_stack(columns)


def by_mean(new: Floats, test: Floats, at: Ints) -> Floats:
    """Welch's t of the first so many."""
    total, squares = np.cumsum(new)[at - 1], np.cumsum(new**2)[at - 1]
    mean = total / at
    ours, theirs = (squares - at * mean**2) / (at - 1) / at, np.var(test, ddof=1) / len(test)
    freedom = (ours + theirs) ** 2 / (ours**2 / (at - 1) + theirs**2 / (len(test) - 1))
    found: Floats = 2 * t.sf(np.abs(mean - test.mean()) / np.sqrt(ours + theirs), freedom)
    return found


def by_size(new: Floats, test: Floats, at: Ints) -> Floats:
    """Mann and Whitney's test, one-sided, of the first so many; ties are few, and are not corrected for."""
    known = np.sort(test)
    wins = (np.searchsorted(known, new, "left") + np.searchsorted(known, new, "right")) / 2
    u, n = np.cumsum(wins)[at - 1], len(test)
    found: Floats = norm.sf((u - at * n / 2 - 0.5) / np.sqrt(at * n * (at + n + 1) / 12))
    return found


def by_coverage(new: Tasted, calibration: Tasted, red: bool, at: Ints) -> Floats:
    """Grades of a colour inside their intervals, of the first so many."""
    known = np.abs(calibration.errors[calibration.red == red])
    own = new.red == red
    inside = np.cumsum(own & (np.abs(new.errors) <= half_width(known, LEVEL)))[at - 1]
    k = int(np.ceil(LEVEL * (len(known) + 1)))
    found: Floats = betabinom.cdf(inside, np.maximum(np.cumsum(own)[at - 1], 1), k, len(known) + 1 - k)
    return np.where(np.cumsum(own)[at - 1] > 0, found, 1)


def grade_alarms(chances: Floats) -> NDArray[np.bool_]:
    """Whether each look gives alarm."""
    own = BUDGET / looks.GRADE_LOOKS
    return np.array([looks.holm(each, own)[1].any() for each in chances], bool)


def by(points: float) -> Any:
    """Every taster gives so many points less, or more."""
    return lambda random, errors: errors + points  # noqa: ARG005 - no chance is in it


def some_by_one(share: float) -> Any:
    """A share of the grades is one point lower."""
    return lambda random, errors: errors - (random.random(len(errors)) < share)


# What others do


def psi(ours: Floats, theirs: Floats) -> float:
    """The population stability index over the reference's tenths, as it is usually computed."""
    edges = np.unique(np.quantile(theirs, np.linspace(0, 1, 11)))[1:-1]
    tenths = [np.bincount(np.searchsorted(edges, each), minlength=len(edges) + 1) for each in (ours, theirs)]
    p, q = (np.maximum(each / each.sum(), 1e-4) for each in tenths)
    return float(((p - q) * np.log(p / q)).sum())


def wasserstein(ours: Floats, theirs: Floats) -> float:
    """In standard deviations of the reference, as Evidently's documentation has it for more than 1,000 of these."""
    values = np.sort(np.concatenate([ours, theirs]))
    below = [np.searchsorted(np.sort(each), values[:-1], "right") / len(each) for each in (ours, theirs)]
    return float((np.abs(below[0] - below[1]) * np.diff(values)).sum() / theirs.std())


def others_alarm(wines: pd.DataFrame, random: np.random.Generator, n: int) -> tuple[bool, bool]:
    """Whether PSI > .2 in any measurement of a colour, and a distance > .1 in any measurement of all, would alarm."""
    window, reference = (wines.iloc[random.integers(len(wines), size=size)] for size in (n, len(wines)))
    pairs = [
        [table.loc[table[SEGMENT] == color, name].to_numpy() for table in (window, reference)]
        for color in SEGMENTS
        for name in MEASUREMENTS
    ]
    whole = [[table[name].to_numpy() for table in (window, reference)] for name in MEASUREMENTS]
    return any(psi(*each) > 0.2 for each in pairs if len(each[0])), any(wasserstein(*each) > 0.1 for each in whole)


# Counting

Counts = dict[tuple[str, str], list[int]]


def add(counts: Counts, kind: str, name: str, happened: object) -> None:
    """One case more."""
    count = counts.setdefault((kind, name), [0, 0])
    count[0] += bool(happened)
    count[1] += 1


def unchanged(wines: pd.DataFrame, tasted: Tasted, years: int, seed: int) -> Counts:
    """Years in which nothing changes."""
    counts: Counts = {}
    population, random = Population(wines), np.random.default_rng([1, seed])
    for n, a_month in GRADES_A_MONTH.items():
        for _ in range(years):
            weeks = population.weeks(random, n, STARTING + 52, STARTING + 52)
            add(counts, "unchanged", f"inputs, {n} wines a week", alarms(weeks)[:, STARTING:].any())
            _, chances = tasted.chances(random, 12 * a_month)
            add(counts, "unchanged", f"grades, {a_month} a month", grade_alarms(chances).any())
    return counts


SHIFTS: Final = {  # wines a week, standard deviations, quiet weeks before, within so many weeks → what it is called
    (200, 0.5, 0, 1): "half a standard deviation, 200 wines, in the first week",
    (200, 0.5, 9, 4): "half a standard deviation, 200 wines, within 4 weeks after 9 quiet ones",
    (1000, 0.25, 0, 1): "a quarter of a standard deviation, 1000 wines, in the first week",
    (200, 0.25, 0, 4): "a quarter of a standard deviation, 200 wines, within the first 4 weeks",
    (200, 0.25, 9, 4): "a quarter of a standard deviation, 200 wines, within 4 weeks after 9 quiet ones",
    (50, 0.5, 0, 4): "half a standard deviation, 50 wines, within the first 4 weeks",
}


def shifts(wines: pd.DataFrame, name: str, cases: int, seed: int) -> Counts:
    """One measurement moves."""
    counts: Counts = {}
    for (n, sds, quiet, within), what in SHIFTS.items():
        population, random = Population(wines, Change(moved(wines, name, sds))), np.random.default_rng([2, seed])
        for _ in range(cases):
            found = alarms(population.weeks(random, n, quiet + within, quiet))[:, quiet:].any()
            add(counts, "found", what, found)
            add(counts, f"found: {what}", name, found)
    return counts


def of_no_account(wines: pd.DataFrame, name: str, cases: int, seed: int) -> Counts:
    """One measurement moves a little, and many wines come: with the floor under what counts, and without."""
    counts: Counts = {}
    population, random = Population(wines, Change(moved(wines, name, 0.1))), np.random.default_rng([6, seed])
    for _ in range(cases):
        weeks = population.weeks(random, 1000, 13, 0)
        for floor in (looks.FLOOR, 0.0):
            what = f"a tenth of a standard deviation, 1000 wines a week, 13 weeks, floor {floor}"
            add(counts, "of no account", what, alarms(weeks, floor=floor).any())
    return counts


def other_changes(wines: pd.DataFrame, cases: int, seed: int) -> Counts:
    """More red wines; a unit that is another for some."""
    counts: Counts = {}
    red = float((wines[SEGMENT] == SEGMENTS[0]).mean())
    changes = {
        "20 points more red wines": Change(wines, red=red + 0.2),
        "a tenth in another unit": Change(in_another_unit(wines), 0.1),
        "all in another unit": Change(in_another_unit(wines)),
    }
    for what, change in changes.items():
        population, random = Population(wines, change), np.random.default_rng([3, seed])
        for n in (3, 50, 200) if what.startswith("all") else (50, 200):
            for _ in range(cases):
                found = alarms(population.weeks(random, n, 1, 0)).any()
                add(counts, "found", f"{what}, {n} wines, in the first week", found)
    return counts


TASTES: Final = {  # grades, what happens, quiet grades before → what it is called
    "by 0.4, 100 grades": (100, by(-0.4), 0),
    "by 0.2, 300 grades": (300, by(-0.2), 0),
    "by 0.4, 30 grades": (30, by(-0.4), 0),
    "of two in five by one, 100 grades": (100, some_by_one(0.4), 0),
    "of one in five by one, 300 grades": (300, some_by_one(0.2), 0),
    "by 0.4 after 300 grades, 300 more": (600, by(-0.4), 300),
}


def tastes(tasted: Tasted, cases: int, seed: int) -> Counts:
    """Tasters judge otherwise."""
    counts: Counts = {}
    random = np.random.default_rng([4, seed])
    for what, (n, change, since) in TASTES.items():
        for _ in range(cases):
            at, chances = tasted.chances(random, n, change, since)
            add(counts, "found", f"a taste that moves {what}", grade_alarms(chances)[at > since].any())
    return counts


def others(wines: pd.DataFrame, cases: int, seed: int) -> Counts:
    """Unchanged weeks, by others' rules."""
    counts: Counts = {}
    random = np.random.default_rng([5, seed])
    for n in GRADES_A_MONTH:
        for _ in range(cases):
            by_psi, by_distance = others_alarm(wines, random, n)
            add(counts, "others", f"PSI above 0.2, {n} wines", by_psi)
            add(counts, "others", f"Evidently's defaults, {n} wines", by_distance)
    return counts


def jobs(wines: pd.DataFrame, tasted: Tasted) -> Iterator[Any]:
    """All that is simulated, in parts of some seconds."""
    for seed in range(part := 40):
        yield delayed(unchanged)(wines, tasted, YEARS // part, seed)
    for seed, feature in enumerate(FEATURES):
        yield delayed(shifts)(wines, feature.name, CASES, seed)
        yield delayed(of_no_account)(wines, feature.name, CASES // 4, seed)
    for seed in range(part := 4):
        yield delayed(other_changes)(wines, CHANGES // part, seed)
        yield delayed(tastes)(tasted, TASTED // part, seed)
        yield delayed(others)(wines, OTHERS // part, seed)


def write(all_counts: Counts) -> None:
    """All counts, to where looks.py reads them."""
    told: dict[str, dict[str, list[int]]] = {}
    for (kind, name), count in all_counts.items():
        told.setdefault(kind, {})[name] = count
    FOUND.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> int:
    """Simulate, and write after every part: whoever stops it early keeps what was counted."""
    with tempfile.TemporaryDirectory() as place:
        wines = all_wines(frozen.unpack_registry(Path(place)) / "wine-quality-data" / "v0")
    tasted, sums = Tasted.of(wines), dict[tuple[str, str], Counter[str]]()
    todo = list(jobs(wines, tasted))
    workers = Parallel(os.cpu_count(), return_as="generator_unordered", pre_dispatch="all")
    for number, counts in enumerate(workers(todo), 1):
        for key, (found, of) in counts.items():
            sums.setdefault(key, Counter()).update(found=found, of=of)
        write({key: [each["found"], each["of"]] for key, each in sums.items()})
        print(f"{number} of {len(todo)} parts", flush=True)
    looks.SIMULATED.clear()
    looks.SIMULATED.update(json.loads(FOUND.read_bytes()))
    print("What .github/MONITORING.md has to say:", *looks.as_lines(), sep="\n")
    return 0

"""Ask tasters about wines that were scored, and take in what they say: versions of `wine-quality-grades`.

    python notebooks/tasting.py sample 30 LOG     draw wines of production's log at random, and remember having asked
    python notebooks/tasting.py grades CSV [LOG]  take in grades; each row is matched once, or listed with why not

LOG and CSV are files, or folders whose names end in /, separated by commas.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import grades
import logged
import near_duplicates
import pandas as pd
from wine_tables import content_of, given_tables

from wine_serving import tables
from wine_serving.errors import ContractError, LogRefused, TableRefused, WineServingError
from wine_serving.machine import replace_what_cannot_be_shown
from wine_serving.registry import MODEL, PRODUCTION, Registry, open_registry
from wine_serving.schema import FEATURES, INPUTS, MEASUREMENTS, SEGMENT, TARGET, cut
from wine_serving.settings import ROOT, Settings

OPEN: Final = ROOT / "artifacts" / "to-taste.csv"  # a row for each wine that was asked for and has no grade yet
MOST: Final = 1000  # wines that are asked for at once
FEW: Final = 200  # wines that are looked at for near-duplicates, at least
LOOKED_AT: Final = 20  # times as many as are asked for
USER: Final = "user"  # who asks about a wine that exists; curves, checks and golden wines are nobody's


# Asking


def sample(registry: Registry, n: int, named: str) -> Iterator[str]:
    """Draw `n` wines that production has scored, and remember it; says which."""
    version = registry.record(f"{MODEL}:{PRODUCTION}").version
    log = logged.read(named)
    yield from log.told
    eligible = whole_wines(log.table, version)
    now = pd.Timestamp(datetime.now(UTC)).as_unit("us")

    def asked(before: pd.DataFrame) -> pd.DataFrame:
        return grades.updated(before, draw(eligible, before[before["asked"]], n).assign(asked_at=now))

    found = grades.change(registry, asked, {})
    new = found.table[found.table["asked_at"] == now]
    waiting = found.table[found.table["asked"] & found.table["grade"].isna()]
    write_form(waiting, OPEN)
    yield f"{len(new)} of {len(eligible)} wines that {version} scored for users are drawn, {found.ref} remembers it"
    if len(new) < n:
        yield f"there are no {n} more that are not nearly the same as one that was asked for: a longer log holds more"
    if graded := int(new["grade"].notna().sum()):
        yield f"{graded} of them are graded already, and count as asked from now on"
    yield from [as_line(wine) for _, wine in new[new["grade"].isna()].iterrows()]
    yield f"{OPEN.relative_to(ROOT)} lists {len(waiting)} wines without a grade, with no score, so that nobody is led"


def whole_wines(log: pd.DataFrame, version: str) -> pd.DataFrame:
    """The first prediction of each wine that a version has scored for users, all of it measured; LogRefused if none."""
    of_users = log[log["purpose"] == USER]
    ours = of_users[of_users["version"] == version]
    if ours.empty:
        there = ", ".join(sorted(set(of_users["version"]))) or "nobody"
        raise LogRefused(
            f"the log holds no wine that a user had scored by {version}, which is in production; those in it were "
            f"scored by {there}: fetch a newer log, or ask once visitors have come"
        )
    measured = ours[ours["assumed"] == ""].drop_duplicates("prediction_id", keep=False)
    return measured[~grades.wine_of(measured).duplicated()]


def draw(wines: pd.DataFrame, asked: pd.DataFrame, n: int) -> pd.DataFrame:
    """The `n` wines of the lowest lots, none of them nearly the same as another one or as one that was asked for."""
    looked_at = wines.assign(lot=wines["prediction_id"].map(lot)).sort_values("lot")
    looked_at = looked_at.head(max(FEW, LOOKED_AT * n))
    both = pd.concat([asked[[*MEASUREMENTS]], looked_at[[*MEASUREMENTS]]])
    group = pd.Series(near_duplicates.groups(both) if len(both) else [])
    fresh = ~group.duplicated()[len(asked) :].to_numpy()
    return looked_at[fresh].head(n)[grades.PREDICTED]


def lot(prediction_id: str) -> str:
    """What decides who is asked: chance to who looks at many, and the same whenever it is looked at.

    >>> lot("7c1e-0")[:8], lot("7c1e-1")[:8]
    ('c703170a', '5e1d7517')
    """
    return hashlib.blake2b(prediction_id.encode(), digest_size=8).hexdigest()


def write_form(wines: pd.DataFrame, path: Path) -> None:
    """A table to be filled in: no score stands in it, which would lead whoever tastes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    form = wines[["prediction_id", "reference", *INPUTS]].assign(**{TARGET: ""})
    form["reference"] = form["reference"].fillna("").map(tables.harmless)
    form.to_csv(path, index=False, encoding="utf-8")


def as_line(wine: pd.Series) -> str:
    """A wine as a terminal shows it."""
    measured = ", ".join(f"{each.label.lower()} {wine[each.name]:g}" for each in FEATURES[:3])
    named = wine["reference"] if isinstance(wine["reference"], str) else "no reference"
    shown = "".join(sign if sign.isprintable() else "?" for sign in named)
    return f"  {wine['prediction_id']}  {shown}: {wine[SEGMENT]}, {measured}"


# Taking in


class Joined(NamedTuple):
    """What became of a file's rows: the graded wines as rows of the collection, and by row why another brings none."""

    graded: pd.DataFrame
    left_out: Mapping[int, str]


def take_in(registry: Registry, csv: str, named: str) -> Iterator[str]:
    """Join the grades in files to predictions, and publish what comes out; says what became of every row."""
    given = given_tables(csv, "CSV")
    if not given:
        raise ContractError("no table of grades is named: CSV=grades.csv names one")
    log = logged.read(named) if named else None
    yield from log.told if log else ()
    for name, path in given.items():
        content = content_of(path, "CSV")
        try:
            rows = tables.read_grades(content)
        except TableRefused as error:
            raise ContractError(f"{path}: {error}") from None
        before = grades.read(registry).table
        joined = join(before, log.table if log else None, rows)
        if joined.graded.empty:
            raise ContractError("\n".join([f"{name} brings no grade", *listed(joined.left_out)]))
        now = pd.Timestamp(datetime.now(UTC)).as_unit("us")
        new = joined.graded.assign(graded_at=now, source=name)
        digest = hashlib.sha256(content).hexdigest()
        found = grades.change(registry, partial(with_grades, new=new), {name: digest})
        yield from outcome(name, before, joined, found)
        write_form(found.table[found.table["asked"] & found.table["grade"].isna()], OPEN)


class Scored:
    """The predictions that a grade may be of: those that the collection holds, then those of a log."""

    def __init__(self, before: pd.DataFrame, log: pd.DataFrame | None) -> None:
        held = before[grades.PREDICTED].assign(purpose=USER)
        self.table = held if log is None else pd.concat([held, log], ignore_index=True) if len(held) else log
        self._held = len(held)
        self._wine = grades.wine_of(self.table).tolist()
        self._purpose = self.table["purpose"].tolist()
        self._places = {
            "prediction": _places(self.table["prediction_id"].tolist()),
            "reference": _places(self.table["reference"].tolist()),
            "wine": _places(self._wine),
        }

    def of(self, row: tables.Graded) -> int | str:
        """The place in `table` that a row of grades is of, or why there is none.

        The first thing that a row names decides: a prediction, then a reference, then its measurements. A wine that the
        collection holds keeps its row there, whichever of its predictions is named.
        """
        if row.why:
            return row.why
        kind, name, said = _named(row)
        if not said:
            return "says of no wine what it is: neither prediction_id nor reference, and no measurements of a wine"
        places = self._places[kind].get(name, [])
        if not places:
            return (
                f"{said} was never scored, as far as the log and what was asked tell: name the log of that time in LOG"
            )
        if not (users := [place for place in places if self._purpose[place] == USER]):
            return f"{said} was asked as {self._purpose[places[0]]} by the page or a check: it is nobody's wine"
        if len({self._wine[place] for place in users}) > 1:
            return f"{said} is the name of several wines: add their prediction_id"
        first = self._places["wine"][self._wine[users[0]]][0]
        return first if first < self._held else users[-1]

    def wine(self, place: int) -> object:
        """What tells the wine there from others."""
        return self._wine[place]


def _places(values: Sequence[object]) -> dict[object, list[int]]:
    found: dict[object, list[int]] = {}
    for place, value in enumerate(values):
        found.setdefault(value, []).append(place)
    return found


def _named(row: tables.Graded) -> tuple[str, object, str]:
    """What kind of name a row gives its wine, the name, and how to speak of it; nothing where it gives none."""
    if row.prediction_id:
        return "prediction", row.prediction_id, f"prediction {cut(row.prediction_id)}"
    if row.reference:
        return "reference", row.reference, f"reference {cut(row.reference)}"
    if row.wine:
        columns = {name: [getattr(row.wine, name)] for name in INPUTS}
        return "wine", grades.wine_of(pd.DataFrame(columns)).iloc[0], "this wine"
    return "wine", None, ""


def join(before: pd.DataFrame, log: pd.DataFrame | None, rows: Mapping[int, tables.Graded]) -> Joined:
    """Each row's grade beside its prediction; of several for one wine the last counts."""
    scored = Scored(before, log)
    taken: dict[object, tuple[int, int]] = {}  # wine → the row that counts, and the place of its prediction
    left_out: dict[int, str] = {}
    for number, row in rows.items():
        place = scored.of(row)
        if isinstance(place, str):
            left_out[number] = place
            continue
        earlier, _ = taken.get(scored.wine(place), (0, 0))
        if earlier and rows[earlier].grade == row.grade:
            left_out[number] = f"says what row {earlier} says"
            continue
        if earlier:
            left_out[earlier] = f"is corrected by row {number}"
        taken[scored.wine(place)] = number, place
    graded = scored.table.iloc[[place for _, place in taken.values()]][grades.PREDICTED]
    return Joined(graded.assign(grade=[float(rows[number].grade or 0) for number, _ in taken.values()]), left_out)


def with_grades(table: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The collection's rows with new grades: one that says what was known keeps its time and source."""
    known = grades_of(table, new).to_numpy() == new["grade"].to_numpy()
    return grades.updated(table, new[~known])


def grades_of(table: pd.DataFrame, wines: pd.DataFrame) -> pd.Series:
    """The grades that `wines` have in the collection, NaN where there is none."""
    return pd.Series(table["grade"].tolist(), grades.wine_of(table), dtype=float).reindex(grades.wine_of(wines))


def outcome(name: str, before: pd.DataFrame, joined: Joined, found: grades.Grades) -> Iterator[str]:
    """What a file has brought, and what became of each of its other rows."""
    graded = joined.graded
    then = grades_of(before, graded)
    fresh, same = int(then.isna().sum()), int((then.to_numpy() == graded["grade"].to_numpy()).sum())
    corrected = len(graded) - fresh - same
    yield f"{name}: {fresh} grades are new, {corrected} correct an earlier one, {same} were known"
    yield from listed(joined.left_out)
    table = found.table[found.table["grade"].notna()]
    yield f"{found.ref} holds {len(table)} grades, {int(table['asked'].sum())} of wines that were asked for"


def listed(left_out: Mapping[int, str]) -> list[str]:
    """A line for each row that brings no grade."""
    if not left_out:
        return []
    lines = [f"  row {number}: {why}" for number, why in sorted(left_out.items())]
    return [f"{len(lines)} rows bring none (row 1 is the first below the column names):", *lines]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it was done, 1 with a sentence when not, 2 when something was not said."""
    replace_what_cannot_be_shown()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    asking = commands.add_parser("sample")
    asking.add_argument("n", type=whole_number)
    asking.add_argument("log")
    taking = commands.add_parser("grades")
    taking.add_argument("csv")
    taking.add_argument("log", nargs="?", default="")
    given = parser.parse_args(arguments)
    try:
        registry = open_registry(Settings.from_environment().registry)
        does = (
            sample(registry, given.n, given.log)
            if given.command == "sample"
            else take_in(registry, given.csv, given.log)
        )
        for line in does:
            print(line, flush=True)
    except WineServingError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def whole_number(text: str) -> int:
    """How many wines are asked for."""
    if not text.isdecimal() or not 0 < int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"N={text!r} cannot be used: it must be a whole number from 1 to {MOST}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())

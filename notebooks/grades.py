"""What tasters were asked, and what they said: the collection `wine-quality-grades`.

Each version holds all that came before it, in three files:

- `grades.parquet`: one row for each wine that was asked for or graded, with COLUMNS;
- `wine-quality-grades.csv`: the graded wines as 01_data takes any table: measurements, colour and `quality`, without
  those of which a measurement was only assumed; it is missing where there is none;
- `grades.json`: how many were asked, graded and volunteered, from when to when, and the digests of the files.

| column | holds |
|---|---|
| `prediction_id` | the prediction that the grade is compared with; no two rows have one |
| `reference` | the caller's own name for the wine, or None |
| `version` | of the model that predicted, as the log has it: `vN`, or `unregistered-…` |
| `predicted_at` | when it did, UTC |
| INPUTS | the eleven measurements and the colour, as they were sent |
| `assumed` | the measurements that nobody took, separated by commas; empty for a wine that was measured whole |
| `score`, `low`, `high` | what was predicted, with its interval |
| `asked_at` | when `make sample` drew the wine, UTC; NaT where nobody asked |
| `grade` | what tasters gave, a whole number as a float; NaN while there is none |
| `graded_at` | when the grade was read in, UTC; NaT while there is none |
| `source` | the name of the file that brought the grade; None while there is none |

and, made when it is read, `asked`: whether the wine was drawn at random. Only grades of such wines say how good a model
is. Those that came unasked are of wines that somebody chose, often because they surprised, and nothing corrects that. A
wine that is drawn when its grade is there already counts as asked: chance has chosen it, whoever tasted it before.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from wine_serving.errors import ContractError
from wine_serving.registry import GRADES, LATEST, MODEL, Record, Registry
from wine_serving.schema import INPUTS, MEASUREMENTS, SEGMENT, TARGET

TABLE: Final = "grades.parquet"
WINES: Final = f"{GRADES}.csv"
FACTS: Final = "grades.json"

_MOMENT: Final = "datetime64[us, UTC]"
COLUMNS: Final[dict[str, str]] = {  # as pandas types them
    "prediction_id": "str",
    "reference": "str",
    "version": "str",
    "predicted_at": _MOMENT,
    **dict.fromkeys(MEASUREMENTS, "float64"),
    SEGMENT: "str",
    "assumed": "str",
    **dict.fromkeys(("score", "low", "high"), "float64"),
    "asked_at": _MOMENT,
    "grade": "float64",
    "graded_at": _MOMENT,
    "source": "str",
}
GRADED: Final = ["grade", "graded_at", "source"]
PREDICTED: Final = [name for name in COLUMNS if name not in ("asked_at", *GRADED)]


class Grades(NamedTuple):
    """A version of the collection: its reference, None where there is no version yet, and its rows."""

    ref: str | None
    table: pd.DataFrame  # COLUMNS, and `asked`


def read(registry: Registry, ref: str | None = None, *, run: Any = None) -> Grades:
    """The version that `ref` names (`NAME:vN` or `NAME:ALIAS`), or the newest; without rows where there is none.

    VersionNotFound where a version is named that does not exist. `run` is the tracked run that uses it.
    """
    if ref is None and LATEST not in registry.aliases(GRADES):
        return Grades(None, typed(pd.DataFrame(columns=[*COLUMNS])))
    record = registry.record(ref or f"{GRADES}:{LATEST}")
    return Grades(record.ref, _table(registry, record, run))


class Returned(NamedTuple):
    """What a dataset takes of the collection: the table with its path, its version, and of when its grades are."""

    tables: Mapping[str, Path]
    version: tuple[str, ...]
    dates: Mapping[str, Mapping[str, str]]


def returned(registry: Registry, ref: str | None, before: Record | None, run: Any = None) -> Returned:
    """The graded wines of the version that `ref` names; for None what the dataset `before` says of those it kept."""
    if ref is None:
        kept = before.metadata["sources"].get(WINES) if before else None
        version = tuple(each for each in before.inputs if each.startswith(GRADES)) if before and kept else ()
        dates = {name: said for name, said in (kept or {}).items() if name != "sha256"}
        return Returned({}, version, {WINES: dates} if kept else {})
    record = registry.record(ref)
    path = registry.fetch(record.ref, run=run) / WINES
    if not path.is_file():
        raise ContractError(f"{record.ref} holds no grade of a wine that was measured: make grades CSV=… brings some")
    dates = {name: record.metadata[name] for name in ("graded_from", "graded_until")}
    return Returned({WINES: path}, (record.ref,), {WINES: dates})


def change(registry: Registry, changed: Callable[[pd.DataFrame], pd.DataFrame], files: Mapping[str, str]) -> Grades:
    """Publish the newest version's rows as `changed` returns them; where it changes nothing, no version is made.

    `files` are the digests of what brought the change. Of two who do so at once neither loses anything: who finds a
    version that came in between adds the rows of it, and publishes once more.
    """
    before = read(registry)
    table = typed(changed(before.table))
    if table.equals(before.table):
        return before
    base = before.ref
    while True:
        record = _publish(registry, table, base, files)
        between = [each for each in registry.records(GRADES) if _number(base) < _number(each.ref) < _number(record.ref)]
        if not between:
            return Grades(record.ref, table)
        table, base = typed(merged([table, *(_table(registry, each) for each in between)])), record.ref


def updated(table: pd.DataFrame, by: pd.DataFrame) -> pd.DataFrame:
    """The rows with what `by` says of some wines, new ones or known; where it says nothing, all stays as it was."""
    one, other = (each.set_index(wine_of(each)) for each in (by, table))
    return one.combine_first(other) if len(other) else one


def merged(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """All wines of several tables, each as it was asked for first, with the grade that came last."""
    rows = pd.concat(tables, ignore_index=True)
    rows["wine"] = wine_of(rows)
    asked = rows.sort_values("asked_at", na_position="last").drop_duplicates("wine")
    graded = rows.dropna(subset="grade").sort_values("graded_at").drop_duplicates("wine", keep="last")
    return updated(asked, graded[[*INPUTS, *GRADED]])


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its columns in their types, and `asked`; its rows by time and id."""
    ordered = (
        table.reindex(columns=[*COLUMNS])
        .astype(COLUMNS)
        .sort_values(["predicted_at", "prediction_id"], ignore_index=True)
    )
    return ordered.assign(asked=ordered["asked_at"].notna())


def wine_of(table: pd.DataFrame) -> pd.Series:
    """What tells one wine from another, for each row: its measurements to six digits, and its colour."""
    digits = (table[name].map("{:.6g}".format) for name in MEASUREMENTS)
    return pd.Series(map(" ".join, zip(*digits, table[SEGMENT], strict=True)), table.index, dtype=object)


def _table(registry: Registry, record: Record, run: Any = None) -> pd.DataFrame:
    return typed(pd.read_parquet(registry.fetch(record.ref, run=run) / TABLE))


def _number(ref: str | None) -> int:
    return int(ref.rpartition(":v")[2]) if ref else -1


def _publish(registry: Registry, table: pd.DataFrame, base: str | None, files: Mapping[str, str]) -> Record:
    graded, known = table[table["grade"].notna()], registry.record(base).metadata["files"] if base else {}
    facts = {
        "format": 1,
        "asked": int(table["asked"].sum()),
        "graded": len(graded),
        "volunteered": int((~graded["asked"]).sum()),
        "graded_from": None if graded.empty else graded["graded_at"].min().isoformat(),
        "graded_until": None if graded.empty else graded["graded_at"].max().isoformat(),
        "files": {**known, **files},
    }
    models = {f"{MODEL}:{record.version}" for record in registry.records(MODEL)}
    made_with = [ref for ref in sorted({f"{MODEL}:{version}" for version in table["version"]}) if ref in models]
    with tempfile.TemporaryDirectory() as scratch:
        table[[*COLUMNS]].to_parquet(Path(scratch) / TABLE, index=False)
        if not (wines := as_wines(graded)).empty:
            wines.to_csv(Path(scratch) / WINES, index=False)
        (Path(scratch) / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        inputs = [*([base] if base else []), *made_with]
        return registry.publish(Path(scratch), GRADES, kind="dataset", metadata=facts, inputs=inputs)


def as_wines(graded: pd.DataFrame) -> pd.DataFrame:
    """Graded wines as any table of wines: none of which a measurement was only assumed."""
    measured = graded[graded["assumed"] == ""]
    return measured[[*INPUTS]].assign(**{TARGET: measured["grade"].astype(int)})

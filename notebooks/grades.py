"""What tasters were asked, and what they said: the collection `wine-quality-grades`.

Each version holds all that came before it, in three files:

- `grades.parquet`: one row for each wine that was asked for or graded, with COLUMNS;
- `wine-quality-grades.csv`: the graded wines as 01_data takes any table: measurements, colour and `quality`;
- `grades.json`: how many were asked, graded and volunteered, from when to when, and from which files.

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

from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from wine_serving.registry import GRADES, LATEST, Registry
from wine_serving.schema import MEASUREMENTS, SEGMENT

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


class Grades(NamedTuple):
    """A version of the collection: its reference, None where there is no version yet, and its rows."""

    ref: str | None
    table: pd.DataFrame  # COLUMNS, and `asked`


def read(registry: Registry, ref: str | None = None, *, run: Any = None) -> Grades:
    """The version that `ref` names (`NAME:vN` or `NAME:ALIAS`), or the newest; without rows where there is none.

    VersionNotFound where a version is named that does not exist. `run` is the tracked run that uses it.
    """
    if ref is None and LATEST not in registry.aliases(GRADES):
        return Grades(None, _with_asked(pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})))
    record = registry.record(ref or f"{GRADES}:{LATEST}")
    folder: Path = registry.fetch(record.ref, run=run)
    return Grades(record.ref, _with_asked(pd.read_parquet(folder / TABLE)))


def _with_asked(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype(COLUMNS)[[*COLUMNS]].assign(asked=table["asked_at"].notna())

"""A prediction log as people give it: its predictions as a table, each once, and in sentences what is odd about it."""

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from wine_serving import predictions
from wine_serving.errors import LogRefused
from wine_serving.schema import INPUTS
from wine_serving.settings import ROOT

AHEAD: Final = timedelta(minutes=5).total_seconds()  # by which the clocks of two machines may differ


def refused_by_users(requests: Sequence[predictions.Refused]) -> pd.DataFrame:
    """Users' requests among those that were refused, each once: when, for which HTTP status, for which fields."""
    rows = {
        each.request_id: (each.time, each.status, ",".join(each.fields)) for each in requests if each.purpose == "user"
    }
    table = pd.DataFrame([*rows.values()], columns=["refused_at", "status", "fields"])
    table["refused_at"] = pd.to_datetime(table["refused_at"].astype(float), unit="s", utc=True).dt.as_unit("us")
    return table


class Log(NamedTuple):
    """Predictions, oldest first, and what a reader should know of the files."""

    table: pd.DataFrame  # the columns of `grades` up to `high`, and `purpose`
    told: Sequence[str]
    refused: pd.DataFrame = refused_by_users(())  # as `refused_by_users` has it


def files(named: str) -> list[Path]:
    """The files that a person names: by path, or as all in a folder, whose name ends in /; separated by commas."""
    found: list[Path] = []
    for name in filter(None, map(str.strip, named.split(","))):
        path = ROOT / name
        inside = sorted(each for each in path.glob("*") if each.is_file()) if name.endswith("/") else [path]
        if not inside or not inside[0].is_file():
            raise LogRefused(f"{name} is no file, and no folder with files whose name ends in /: correct LOG")
        found += inside
    if not found:
        raise LogRefused("no prediction log is named: LOG=production.jsonl names one, and `make log` fetches one")
    return found


def read(named: str) -> Log:
    """Every prediction in these files; LogRefused where there is none."""
    try:
        lines = predictions.read(files(named))
    except OSError as error:
        raise LogRefused(f"{error.filename} cannot be read ({error.strerror}): correct LOG") from None
    columns = lines.columns
    if not len(columns["quality"]):
        first = f", such as {lines.shown[0]}" if lines.shown else ""
        raise LogRefused(
            f"{named} holds no prediction: {lines.broken} lines cannot be read{first}, {len(lines.refused)} tell of "
            f"refused requests, {lines.other} of other things; name a log that this service has written"
        )
    table = pd.DataFrame({name: columns[name] for name in ("prediction_id", "reference", "version", *INPUTS)})
    table["predicted_at"] = pd.to_datetime(pd.Series(columns["time"]), unit="s", utc=True).dt.as_unit("us")
    table["assumed"] = [",".join(names) for names in columns["assumed"]]
    table["score"], table["low"], table["high"] = (columns[name] for name in ("quality", "low", "high"))
    table["purpose"] = columns["purpose"]
    once = table.drop_duplicates(["prediction_id", "version", "predicted_at", *INPUTS])
    ahead = int((columns["time"] > time.time() + AHEAD).sum())
    told = {
        f"{lines.broken} lines of the log cannot be read: {'; '.join(lines.shown)}": lines.broken,
        f"{len(table) - len(once)} predictions stand in the log more than once, and count once": len(table) - len(once),
        f"{ahead} predictions are dated in the future: is the clock of the service, or of this machine, wrong?": ahead,
    }
    once = once.sort_values("predicted_at", kind="stable", ignore_index=True)
    return Log(once, [sentence for sentence, count in told.items() if count], refused_by_users(lines.refused))

"""Trials of a search on one worker and on two: `make bench ONLY=trials`, four minutes."""

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from tests.bench.bulk import Spent
from tests.conftest import ROOT
from wine_serving.registry import DATASET, open_registry
from wine_serving.settings import Settings

sys.path.insert(0, str(ROOT / "notebooks"))
import splits

TRIALS, PARTS = 64, 5


def main() -> int:
    """The same search, from its beginning, with two workers and with one."""
    import searching
    from distributed import Client

    from wine_serving import workers

    registry = open_registry(Settings.from_environment().registry)
    wines = pd.read_parquet(registry.fetch(f"{DATASET}:latest") / "train.parquet")
    folds, space = splits.folds(wines, 0, PARTS), searching.read_space(ROOT / "notebooks" / "search.yaml")
    figures: dict[str, float] = {}
    for count in (2, 1):
        with (
            tempfile.TemporaryDirectory() as place,
            workers.on_this_machine(count) as cluster,
            Client(cluster) as client,
        ):
            os.environ[workers.ADDRESS] = cluster.scheduler_address
            study = searching.Study(space, "bench", folds, Path(place))
            with Spent(client) as spent:
                study.carry_out(TRIALS, wines, folds, 0)
            fitted = float(np.sum(study.table()["seconds"]))
        figures[f"seconds, workers: {count}"] = spent.seconds
        figures[f"CPU-s a trial, workers: {count}"] = fitted / TRIALS
        figures[f"workers' share of all CPU time, workers: {count}"] = spent.share
    figures["2 workers of 1, trials/s"] = figures["seconds, workers: 1"] / figures["seconds, workers: 2"]
    print(pd.Series(figures).round(3).to_string())
    (ROOT / "reports").mkdir(exist_ok=True)
    (ROOT / "reports" / "trials.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0

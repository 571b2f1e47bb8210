"""What each estimator costs and gives, so that a person can choose: `make bench ONLY=estimators`.

Each is trained with the defaults on the newest dataset, and served beside the others in turn.
"""

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from tests import tiny
from tests.bench import load, serving
from tests.cells import Cells, environment
from tests.conftest import ROOT
from wine_serving.bundle import MODEL_FILE
from wine_serving.registry import DATASET, open_registry
from wine_serving.registry.folder import FolderRegistry
from wine_serving.settings import Settings

ESTIMATORS: Final = ("random_forest", "hist_gradient_boosting", "voting")
ROUNDS: Final = 5
SECONDS: Final = 2.0  # of load in each round


def main() -> int:
    """Train, serve, print a table."""
    registry = open_registry(Settings.from_environment().registry)
    data = registry.record(f"{DATASET}:latest")
    with tempfile.TemporaryDirectory() as place, ExitStack() as servers:
        scratch = Path(place)
        own = FolderRegistry(scratch / "registry")
        own.adopt(data, registry.fetch(data.ref), ())
        figures: dict[str, dict[str, float]] = {}
        refs = {}
        with environment(own.root):
            for name in ESTIMATORS:
                cells = Cells("03_training", dataset=data.ref, estimator=name).run()
                rmse = cells["metadata"].cross_validation["rmse"]["mean"]
                size = (own.fetch(cells["record"].ref) / MODEL_FILE).stat().st_size / 1e6
                figures[name] = {"RMSE, ten folds": rmse, "model.onnx, MB": size}
                refs[name] = cells["record"].ref
        wines = tiny.as_wines(pd.read_parquet(own.fetch(data.ref) / "train.parquet").sample(500, random_state=0))
        singles = [load.request("/predict", json.dumps(wine).encode()) for wine in wines]
        up = {
            name: servers.enter_context(
                serving.started(
                    serving.SERVERS["ours"][0], wines[0], scratch,
                    {"WINE_REGISTRY": f"folder:{own.root}", "WINE_MODEL": ref},
                )
            )
            for name, ref in refs.items()
        }  # fmt: skip
        rates: dict[str, list[float]] = {name: [] for name in ESTIMATORS}
        alone: dict[str, list[float]] = {name: [] for name in ESTIMATORS}
        for _ in range(ROUNDS):
            for name, server in up.items():
                rates[name].append(load.run(server.port, singles, 16, SECONDS).rate)
                alone[name] += load.run(server.port, singles, 1, SECONDS).latencies
    for name in ESTIMATORS:
        figures[name]["one request, ms (median)"] = 1000 * float(np.median(alone[name]))
        figures[name]["requests/s, 16 connections"] = float(np.median(rates[name]))
    print(pd.DataFrame(figures).T.round(4).to_string())
    (ROOT / "reports").mkdir(exist_ok=True)
    (ROOT / "reports" / "estimators.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0

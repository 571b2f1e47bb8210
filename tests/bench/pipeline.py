"""The pipeline: what execution, tracking and HTML add to a notebook's own computing, and how good the default is."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import GroupKFold, cross_val_predict

from tests.conftest import ROOT
from wine_serving.schema import TARGET, encode_columns

sys.path.insert(0, str(ROOT / "notebooks"))
from parameters import declared

STAGES = ("01_data", "02_eda", "03_training", "04_evaluation")
REPEATS, FOLDS = 5, 10


def added(scratch: Path) -> dict[str, dict[str, float]]:
    """Notebook → seconds as `make` runs it, and of its cells alone in a plain process, with the quick profile."""
    registry = {"WINE_REGISTRY": f"folder:{scratch / 'registry'}", "MPLBACKEND": "agg"}
    found = {}
    for stage in STAGES:
        runner = [sys.executable, "notebooks/run.py", "--profile", "quick", "--reports", str(scratch / "reports")]
        whole = seconds([*runner, stage], registry | {"WANDB_MODE": "offline", "WANDB_DIR": str(scratch)})
        plain = f"import sys; sys.path.insert(0, {str(ROOT / 'notebooks')!r})\n" + PLAIN.format(stage=stage)
        alone = seconds([sys.executable, "-c", plain], registry | {"WANDB_MODE": "disabled"})
        found[stage] = {"as make runs it, s": whole, "its cells alone, s": alone, "added, s": whole - alone}
    return found


PLAIN = """
import yaml
from tests.cells import Cells
profile = yaml.safe_load(open("notebooks/profiles/quick.yaml")).get("{stage}", dict())
Cells("{stage}", **profile).run()
"""


def seconds(command: list[str], variables: dict[str, str]) -> float:
    """Time of one process from start to end."""
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | variables, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - begun


def default_rmse(dataset: Path) -> list[float]:
    """RMSE of the default estimator on all distinct wines by grouped cross-validation, one value a repeat."""
    wines = pd.concat([pd.read_parquet(path) for path in sorted(dataset.glob("*.parquet"))], ignore_index=True)
    default = {name: each.default for name, each in declared(ROOT / "notebooks" / "03_training.ipynb").items()}
    assert default["estimator"] == "random_forest"
    options = {name: default[name] for name in ("n_estimators", "min_samples_leaf", "max_features")}
    found = []
    for repeat in range(REPEATS):
        forest = RandomForestRegressor(**options, random_state=repeat, n_jobs=-1)
        folds = GroupKFold(FOLDS, shuffle=True, random_state=repeat)
        predicted = cross_val_predict(forest, encode_columns(wines), wines[TARGET], cv=folds, groups=wines["group"])
        found.append(float(np.sqrt(mean_squared_error(wines[TARGET], predicted))))
    return found

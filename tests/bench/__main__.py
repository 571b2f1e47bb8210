"""`make bench`: the serving path and the pipeline, in one go; figures to reports/bench.json and a plot beside it.

What takes minutes runs only when it is named: `make bench ONLY=gates` simulates the gates, `search` searches among
settings that are equally good, `estimators` trains and serves each, `score` scores ten million rows, `trials` times
a search. `ONLY=serving` runs that part.
"""

import json
import os
import platform
import sys
import tempfile
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
import pandas as pd
import psutil
from sklearn.ensemble import RandomForestRegressor

from tests import tiny
from tests.bench import bulk, estimators, gates, luck, monitoring, pipeline, serving, trials
from tests.conftest import ROOT
from wine_serving.bundle import MODEL_FILE, Bundle
from wine_serving.errors import WineServingError
from wine_serving.registry import MODEL, PRODUCTION, open_registry
from wine_serving.schema import TARGET, encode_columns
from wine_serving.settings import Settings

REPORTS = ROOT / "reports"


def main() -> int:
    """Measure, print, and write what was measured."""
    parts = {"estimators": estimators.main, "gates": gates.main, "score": bulk.main, "search": luck.main}
    parts |= {"trials": trials.main, "monitoring": monitoring.main}
    if (only := os.environ.get("ONLY")) in parts:
        return parts[only]()
    if only not in (None, "", "serving"):
        print(f"ONLY={only} names no part of its own: it may be {', '.join(parts)} or serving", file=sys.stderr)
        return 2
    registry = open_registry(Settings.from_environment().registry)
    try:
        record = registry.record(f"{MODEL}:{PRODUCTION}")
    except WineServingError as error:
        print(error, file=sys.stderr)
        return 1
    bundle, dataset = registry.fetch(record.ref), registry.fetch(record.inputs[0])
    train = pd.read_parquet(dataset / "train.parquet")
    wines = tiny.as_wines(train.sample(500, random_state=0))
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        forest = RandomForestRegressor(100, min_samples_leaf=3, max_features=4, random_state=0)
        joblib.dump(forest.fit(encode_columns(train), train[TARGET]), scratch / "forest.joblib")
        variables = {"BENCH_FOREST": str(scratch / "forest.joblib"), "WINE_MODEL": record.ref}
        cores = "server on one, load on the others" if len(serving.CORES) > 1 else "shared by server and load"
        busy = psutil.cpu_percent(1.0)
        print(
            f"Serving {record.ref}: {serving.ROUNDS} rounds, the servers in turn; {len(serving.CORES)} cores, {cores};"
        )
        print(f"before it began {busy:.0f} % of the machine were busy", flush=True)
        served = serving.measure(wines, scratch, variables, Bundle.load(bundle))
        print_serving(served)
        if serving.CORES:
            psutil.Process().cpu_affinity(serving.CORES)
        if only:
            return 0
        stages = pipeline.added(scratch)
    rmse = pipeline.default_rmse(dataset)
    model = {
        "RMSE, mean of five repeats of 10 folds": float(np.mean(rmse)),
        "RMSE, sd between repeats": float(np.std(rmse, ddof=1)),
        "model.onnx, MB": (bundle / MODEL_FILE).stat().st_size / 1e6,
    }
    print_table("Pipeline, quick profile", stages)
    print_table("Default model", {"random forest": model})
    machine = {"system": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}
    result = {
        "machine": machine | {"onnxruntime": onnxruntime.__version__},
        "model": record.ref, "baseline": serving.BASELINE, "serving": served, "pipeline": stages, "default": model,
    }  # fmt: skip
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / "bench.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    plot(served)
    print(f"Written to {REPORTS / 'bench.json'} and {REPORTS / 'bench.svg'}")
    return 0


def print_serving(served: dict[str, dict[str, float]]) -> None:
    """Each figure with its ratio to the baseline."""
    base = served[serving.BASELINE]
    rows = {
        name: {figure: with_ratio(value, base.get(figure)) for figure, value in figures.items()}
        for name, figures in served.items()
    }
    print(pd.DataFrame(rows).fillna("").to_string())


def with_ratio(value: float, base: float | None) -> str:
    """A figure, and how many times the baseline's it is."""
    return f"{value:,.4g} ({value / base:.2f} ×)" if base else f"{value:,.4g}"


def print_table(title: str, rows: dict[str, dict[str, float]]) -> None:
    """A table with its title."""
    print(f"\n{title}\n{pd.DataFrame(rows).T.round(3).to_string()}", flush=True)


def plot(served: dict[str, dict[str, float]]) -> None:
    """Throughput as ratios to the baseline."""
    base = served[serving.BASELINE]
    figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
    names = [name for name in served if "requests/s at 16 connections" in served[name]][::-1]
    for offset, connections, colour in ((-0.2, 16, "#7b2d43"), (0.2, 64, "#c9a227")):
        key = f"requests/s at {connections} connections"
        ratios = [served[name][key] / base[key] for name in names]
        bars = axes.barh(np.arange(len(names)) + offset, ratios, 0.38, color=colour, label=f"{connections} connections")
        axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.axvline(1, color="grey", linewidth=1)
    axes.set(title="Throughput on one core, as a ratio to floor A", yticks=range(len(names)), yticklabels=names)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(REPORTS / "bench.svg")


sys.exit(main())

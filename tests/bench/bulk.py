"""Scoring in bulk: a part beside ONNX Runtime alone on the same rows, in turn, in one process; then a table on workers.

`make bench ONLY=score`; ROWS sets how many rows the table has (ten million unless it is set).
"""

import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import psutil

from tests.conftest import ROOT
from wine_serving.assessing import Assessor
from wine_serving.bundle import Bundle
from wine_serving.registry import MODEL, PRODUCTION, open_registry
from wine_serving.schema import INPUTS, encode_columns
from wine_serving.settings import Settings

ROUNDS: Final = 7
PART: Final = 262_144
WORKERS: Final = (1, 2, 2, 1)  # in turn, so that both meet the same noise


def main() -> int:
    """Measure, print, write."""
    from wine_serving import parts, scoring  # here, as `scale` is an extra

    registry = open_registry(Settings.from_environment().registry)
    record = registry.record(f"{MODEL}:{PRODUCTION}")
    directory = registry.fetch(record.ref)
    bundle = Bundle.load(directory)
    wines = pd.read_parquet(registry.fetch(record.inputs[0]) / "train.parquet")[list(INPUTS)]
    with tempfile.TemporaryDirectory() as place:
        table = made_up(wines, PART, Path(place) / "part.parquet")
        (part,) = parts.examine(str(table)).parts
        job = scoring.Job("bench", f"{place}/out", record.version, record.digest)
        rows = encode_columns(pd.read_parquet(table))
        spent: dict[str, list[float]] = {"a part": [], "ONNX Runtime alone": []}
        for _ in range(ROUNDS):
            begun = time.process_time()
            for start in range(0, PART, parts.ROWS):
                bundle.predict(rows[start : start + parts.ROWS])
            spent["ONNX Runtime alone"].append(time.process_time() - begun)
            begun = time.process_time()
            scoring.score_part(0, part, job, Assessor(bundle))
            spent["a part"].append(time.process_time() - begun)
        medians = {name: float(np.median(seconds)) for name, seconds in spent.items()}
        figures: dict[str, float] = {f"{name}, rows/CPU-s": PART / seconds for name, seconds in medians.items()}
        figures["a part, of ONNX Runtime alone"] = medians["ONNX Runtime alone"] / medians["a part"]
        print(pd.Series(figures).round(3).to_string(), flush=True)
        figures |= whole_tables(wines, Path(place), directory, record.digest, record.version)
    print(pd.Series(figures).round(3).to_string())
    (ROOT / "reports").mkdir(exist_ok=True)
    (ROOT / "reports" / "bulk.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def made_up(wines: pd.DataFrame, n: int, path: Path) -> Path:
    """A table of so many rows, each a wine off by a little."""
    random = np.random.default_rng(0)
    table = wines.sample(n, replace=True, random_state=0, ignore_index=True)
    table["alcohol"] = (table["alcohol"] + random.normal(0, 0.1, n)).round(2)
    table.assign(bottle=np.arange(n)).to_parquet(path, row_group_size=PART // 4)
    return path


def whole_tables(wines: pd.DataFrame, place: Path, directory: Path, digest: str, version: str) -> dict[str, float]:
    """Rows/s of one worker and of two, what a worker holds at most, and which share of all CPU time workers spent."""
    from distributed import Client

    from wine_serving import batch, parts, scoring, workers

    n = int(os.environ.get("ROWS", "10000000"))
    found: dict[str, float] = {}
    folder = place / "table"
    folder.mkdir()
    for number, start in enumerate(range(0, n, 1_000_000)):
        made_up(wines, min(1_000_000, n - start), folder / f"{number:03}.parquet")
    rates: dict[int, list[float]] = {1: [], 2: []}
    for turn, count in enumerate(WORKERS):
        with workers.on_this_machine(count) as cluster, Client(cluster) as client:
            workers.send(client, directory, digest)
            pids = list(client.run(os.getpid).values())
            pieces = [part for path in sorted(folder.iterdir()) for part in parts.examine(str(path)).parts]
            before, own = [psutil.Process(pid).cpu_times() for pid in pids], time.process_time()
            begun = time.perf_counter()
            job = scoring.Job("bench", f"{place}/out-{turn}", version, digest)
            done, failures = batch.carry_out(client, pieces, job, {})
            seconds, own = time.perf_counter() - begun, time.process_time() - own
            assert not failures, failures
            assert sum(each.rows for each in done.values()) == n
            after = [psutil.Process(pid).cpu_times() for pid in pids]
            worked = sum(b.user + b.system - a.user - a.system for a, b in zip(before, after, strict=True))
            peaks = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        rates[count].append(n / seconds)
        found[f"{count} workers, share of CPU time, least"] = min(
            worked / (worked + own), found.get(f"{count} workers, share of CPU time, least", 1.0)
        )
        found["a worker at most, MB"] = max(found.get("a worker at most, MB", 0.0), *peaks.values())
    found |= {f"rows/s with {count}": float(np.median(values)) for count, values in rates.items()}
    found["rows/s, 2 workers of 1"] = found["rows/s with 2"] / found["rows/s with 1"]
    return found

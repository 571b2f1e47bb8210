"""Scoring in bulk: a part beside ONNX Runtime alone on the same rows, in turn, in one process; then a table on workers.

`make bench ONLY=score`: five minutes.
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
import pandas as pd
import psutil

from tests.conftest import ROOT
from wine_serving.assessing import Assessor
from wine_serving.bundle import Bundle
from wine_serving.registry import MODEL, PRODUCTION, Record, open_registry
from wine_serving.schema import INPUTS, encode_columns
from wine_serving.settings import Settings

ROUNDS: Final = 7
PART: Final = 262_144
WORKERS: Final = (1, 2, 2, 1)  # in turn, so that both meet the same noise
FILE: Final = 1_000_000  # rows
MANY: Final = 10_000_000


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
                bundle.session.run(None, {"features": rows[start : start + parts.ROWS]})
            spent["ONNX Runtime alone"].append(time.process_time() - begun)
            begun = time.process_time()
            scoring.score_part(0, part, job, Assessor(bundle))
            spent["a part"].append(time.process_time() - begun)
        medians = {name: float(np.median(seconds)) for name, seconds in spent.items()}
        figures: dict[str, float] = {f"{name}, rows/CPU-s": PART / seconds for name, seconds in medians.items()}
        figures["a part, of ONNX Runtime alone"] = medians["ONNX Runtime alone"] / medians["a part"]
        print(pd.Series(figures).round(3).to_string(), flush=True)
        figures |= whole_tables(made_up(wines, FILE, Path(place) / "file.parquet"), directory, record)
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


def whole_tables(file: Path, model: Path, record: Record) -> dict[str, float]:
    """Rows/s of one worker and of two, and what a worker holds at most, also when there is ten times as much."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    found: dict[str, float] = {}
    for workers in WORKERS:
        run = whole_table(file, model, record, files=2, workers=workers)
        rates[workers].append(run.rate)
    few = whole_table(file, model, record, files=1, workers=2)
    many = whole_table(file, model, record, files=MANY // FILE, workers=2)
    found |= {f"rows/s, workers: {workers}": float(np.median(each)) for workers, each in rates.items()}
    found["rows/s, 2 workers of 1"] = found["rows/s, workers: 2"] / found["rows/s, workers: 1"]
    found[f"a worker at most, {FILE:,} rows, MB"] = few.megabytes
    found[f"a worker at most, {MANY:,} rows, MB"] = many.megabytes
    found[f"rows/s, {MANY:,} rows, 2 workers"] = many.rate
    return found | {"workers' share of all CPU time": many.share}


class Run(NamedTuple):
    """What it took to score a table."""

    rate: float  # rows/s
    share: float  # of all CPU time that was spent by workers
    megabytes: float  # of the worker that held most


def whole_table(file: Path, model: Path, record: Record, *, files: int, workers: int) -> Run:
    """Score the same file so many times, on so many workers that were started for it."""
    from distributed import Client

    from wine_serving import batch, parts, scoring
    from wine_serving.workers import on_this_machine, send

    with (
        tempfile.TemporaryDirectory(dir=file.parent) as output,
        on_this_machine(workers) as cluster,
        Client(cluster) as client,
    ):
        send(client, model, record.digest)
        pieces = [*parts.examine(str(file)).parts] * files
        job = scoring.Job("bench", output, record.version, record.digest)
        with Spent(client) as spent:
            done, failures = batch.carry_out(client, pieces, job, {})
        assert not failures, failures
        assert sum(each.rows for each in done.values()) == files * FILE
        peaks = client.run(megabytes_at_most)
        return Run(files * FILE / spent.seconds, spent.share, max(peaks.values()))


def megabytes_at_most() -> float:
    """What this process has held at most; getrusage would count what it was forked from."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


class Spent:
    """Seconds, and the share of CPU time that workers took of theirs and ours."""

    def __init__(self, client: Any) -> None:
        self._workers = [psutil.Process(pid) for pid in client.run(os.getpid).values()]

    def __enter__(self) -> Self:
        self._begun, self._own, self._theirs = time.perf_counter(), time.process_time(), self._worked()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._begun
        worked, own = self._worked() - self._theirs, time.process_time() - self._own
        self.share = worked / (worked + own)

    def _worked(self) -> float:
        return sum(sum(worker.cpu_times()[:2]) for worker in self._workers)

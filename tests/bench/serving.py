"""The serving path: ours beside an endpoint that does nothing, a bare reply, and the tutorial's way."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import psutil

from tests import servers
from tests.bench import load
from wine_serving.bundle import Bundle
from wine_serving.schema import Wine, encode_all

SERVERS = {
    "ours": ("wine_serving.app:app", {"WINE_API_KEY": load.KEY}),
    "ours, without probabilities and ids": ("tests.bench.lean:app", {"WINE_API_KEY": load.KEY}),
    "ours, without log": ("wine_serving.app:app", {"WINE_API_KEY": load.KEY, "WINE_PREDICTION_LOG": "false"}),
    "floor A: FastAPI, constant": ("tests.bench.floor_a:app", {}),
    "floor B: bare ASGI reply": ("tests.bench.floor_b:app", {}),
    "tutorial: scikit-learn": ("tests.bench.tutorial:app", {}),
}
OURS = ("ours", "ours, without probabilities and ids", "ours, without log")
ALONE = "ONNX Runtime alone"
BASELINE = "floor A: FastAPI, constant"
FLAGS = ["--no-access-log", "--log-level", "warning", "--loop", "uvloop", "--http", "httptools"]
CORES = sorted(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else []
ROUNDS = 6
SECONDS = 1.0  # of load in each round
MANY = 100_000  # requests after which memory is looked at
BATCH = 1000


class Running(NamedTuple):
    """A server that answers."""

    port: int
    process: psutil.Process
    cold: float  # seconds from the start of the process to its first correct prediction


@contextmanager
def started(app: str, wine: dict[str, Any], scratch: Path, variables: dict[str, str]) -> Iterator[Running]:
    """One server on the first core, asked until it predicts."""
    port = servers.free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port), *FLAGS]
    with (scratch / f"{port}.log").open("wb") as log:
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=os.environ | variables, stdout=log, stderr=log)
        if len(CORES) > 1:
            psutil.Process(process.pid).cpu_affinity(CORES[:1])
    try:
        with httpx.Client(headers={"X-API-Key": load.KEY}) as client:
            while True:
                assert process.poll() is None, (scratch / f"{port}.log").read_text()
                try:
                    answer = client.post(f"http://127.0.0.1:{port}/predict", json=wine)
                except httpx.TransportError:
                    time.sleep(0.005)
                    continue
                if answer.status_code == 200:
                    break
        yield Running(port, psutil.Process(process.pid), time.perf_counter() - begun)
    finally:
        process.terminate()
        process.wait()


def measure(
    wines: list[dict[str, Any]], scratch: Path, variables: dict[str, str], bundle: Bundle
) -> dict[str, dict[str, float]]:
    """Server → figure → median over rounds; the servers take turns within each round."""
    if len(CORES) > 1:
        psutil.Process().cpu_affinity(CORES[1:])
    found: dict[str, dict[str, list[float]]] = {name: {} for name in (*SERVERS, ALONE)}
    for _ in range(ROUNDS):
        for name, (app, own) in SERVERS.items():
            with started(app, wines[0], scratch, variables | own) as server:
                note(found[name], "cold start, s", server.cold)
    with ExitStack() as stack:
        up = {
            name: stack.enter_context(started(app, wines[0], scratch, variables | own))
            for name, (app, own) in SERVERS.items()
        }
        singles = [load.request("/predict", json.dumps(wine).encode()) for wine in wines]
        rows = [wines[number % len(wines)] for number in range(BATCH)]
        batch = [load.request("/predict/batch", json.dumps({"wines": rows}).encode())]
        for _ in range(ROUNDS):
            for connections in (16, 64):
                for name, server in up.items():
                    run = load.run(server.port, singles, connections, SECONDS)
                    note(found[name], f"requests/s at {connections} connections", run.rate)
            for name, server in up.items():
                waits = load.run(server.port, singles, 1, SECONDS).latencies
                note(found[name], "p50 at 1 connection, ms", 1000 * float(np.quantile(waits, 0.5)))
                note(found[name], "p99 at 1 connection, ms", 1000 * float(np.quantile(waits, 0.99)))
            for name in (*OURS, BASELINE):
                run = load.run(up[name].port, batch, 1, SECONDS)
                note(found[name], f"rows/s in batches of {BATCH}", BATCH * run.rate)
            alone = alone_rate(bundle, rows)
            note(found[ALONE], f"rows/s in batches of {BATCH}", alone)
            for name in OURS:
                note(found[name], "of ONNX Runtime alone", found[name][f"rows/s in batches of {BATCH}"][-1] / alone)
    app, own = SERVERS["ours"]
    with started(app, wines[0], scratch, variables | own) as ours:
        for share in (MANY // 2, MANY):
            load.run(ours.port, singles, 16, most=MANY // 2 // 16)
            note(found["ours"], f"memory after {share:,} requests, MB", ours.process.memory_info().rss / 1e6)
    return {
        name: {figure: statistics.median(values) for figure, values in each.items()} for name, each in found.items()
    }


def alone_rate(bundle: Bundle, wines: list[dict[str, Any]]) -> float:
    """Rows a second that ONNX Runtime scores in batches, and nothing else, in this process."""
    rows = encode_all([Wine.model_validate(wine) for wine in wines]).astype(np.float32)
    begun, done = time.perf_counter(), 0
    while time.perf_counter() < begun + SECONDS / 4:
        bundle.session.run(None, {"features": rows})
        done += len(rows)
    return done / (time.perf_counter() - begun)


def note(figures: dict[str, list[float]], name: str, value: float) -> None:
    """Add one measured value."""
    figures.setdefault(name, []).append(value)

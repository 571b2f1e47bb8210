"""The workers that score: those of this machine, or of the Dask cluster that DASK_SCHEDULER_ADDRESS names.

The model travels to them as bytes, as they share no disk with the caller, and answers its golden wines on each of them
before the first row. A worker with another version of what decides on an answer is refused.
"""

import hashlib
import io
import os
import platform
import signal
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import dask
from distributed import Client, LocalCluster, Worker, WorkerPlugin, get_worker

from wine_serving import bundle
from wine_serving.assessing import Assessor
from wine_serving.errors import ScoringError
from wine_serving.parts import Part
from wine_serving.provenance import VERSION
from wine_serving.schema import FEATURES, SEGMENTS
from wine_serving.scoring import Done, Job, done_before, score_part

ADDRESS: Final = "DASK_SCHEDULER_ADDRESS"  # Dask's own
PATIENCE: Final = 5  # seconds for a scheduler to answer
ARRIVAL: Final = 60  # seconds for a cluster's first worker to come
FILES: Final = (bundle.MODEL_FILE, bundle.METADATA_FILE, bundle.REFERENCE_FILE)  # what is asked; cards stay at home


def decides() -> dict[str, str]:
    """The versions of what decides on an answer."""
    contract = repr([*((each.name, each.minimum, each.maximum) for each in FEATURES), SEGMENTS])
    return {
        "wine-quality": VERSION,
        "onnxruntime": version("onnxruntime"),
        "feature contract": hashlib.sha256(contract.encode()).hexdigest()[:12],
    }


def packed(directory: Path) -> bytes:
    """The files of a bundle that predictions need."""
    with io.BytesIO() as kept:
        with zipfile.ZipFile(kept, "w") as files:
            for name in FILES:
                files.write(directory / name, name)
        return kept.getvalue()


class Assessing(WorkerPlugin):  # type: ignore[misc] # Dask comes without types
    """A model on a worker."""

    def __init__(self, model: bytes, digest: str, expected: Mapping[str, str]) -> None:
        self.name = f"wine-quality-{digest}"
        self._model, self._expected = model, expected

    def setup(self, worker: Worker) -> None:
        """Open the model, once versions are right and golden wines are answered; else a ScoringError."""
        there = decides()
        if differing := [
            f"{name} {there[name]}, not {value}" for name, value in self._expected.items() if there[name] != value
        ]:
            raise ScoringError(
                f"the worker {worker.address} on {platform.node()} has {'; '.join(differing)} as here: "
                "install there what requirements/scale.txt of this checkout names, and the checkout itself"
            )
        with tempfile.TemporaryDirectory() as folder:
            zipfile.ZipFile(io.BytesIO(self._model)).extractall(folder)
            loaded = bundle.Bundle.load(Path(folder))
            loaded.check_golden()
        self.assessor = Assessor(loaded)


class Undisturbed(WorkerPlugin):  # type: ignore[misc] # as above
    """A worker that Ctrl-C in its caller's terminal does not reach: the caller hears of it, and stops its workers."""

    name = "undisturbed"

    def setup(self, worker: Worker) -> None:  # noqa: ARG002 - Dask's signature
        """Be deaf to it."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def score(number: int, part: Part, job: Job) -> Done:
    """Score a part on this worker, unless one that has died since had done it."""
    if done := done_before(number, job):
        return done
    plugin: Assessing = get_worker().plugins[f"wine-quality-{job.digest}"]
    return score_part(number, part, job, plugin.assessor)


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """A client of the cluster at that address, or of one worker for each core of this machine."""
    if address:
        with _client_of(address) as client:
            yield client
        return
    with (
        tempfile.TemporaryDirectory(prefix="wine-quality-") as scratch,
        on_this_machine(_cores(), local_directory=scratch) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(Undisturbed())
        yield client


@contextmanager
def on_this_machine(n: int, **given: Any) -> Iterator[Any]:
    """A cluster of n workers, heard of by nobody else; one that dies is waited for, however busy the machine is."""
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"}),
        LocalCluster(
            n_workers=n,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs="CRITICAL",
            **given,
        ) as cluster,
    ):
        yield cluster


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _client_of(address: str) -> Any:
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise ScoringError(
            f"{ADDRESS}={address} does not answer within {PATIENCE} s ({type(error).__name__}): start the scheduler, "
            "correct the address, or unset the variable to use this machine"
        ) from None
    try:
        client.wait_for_workers(1, timeout=ARRIVAL)
    except TimeoutError:
        client.close()
        raise ScoringError(f"{ADDRESS}={address} has no worker after {ARRIVAL} s: start some there") from None
    return client


def send(client: Any, directory: Path, digest: str) -> None:
    """Bring a model to every worker, those that come later as well."""
    try:
        client.register_plugin(Assessing(packed(directory), digest, decides()))
    except ScoringError:
        raise
    except Exception as error:  # whatever a worker without this package says
        raise ScoringError(
            f"the workers cannot open the model ({type(error).__name__}: {error}): install there what "
            "requirements/scale.txt of this checkout names, and the checkout itself"
        ) from error

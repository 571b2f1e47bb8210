"""A table of any size, scored: `make score` in parts, on this machine's cores or on a Dask cluster.

OUTPUT/scored/part-NNNNN.parquet    the rows as given, with what the model says of each
OUTPUT/refused/part-NNNNN.parquet   rows that are no wines: file, row, column and rule
OUTPUT/job.json                     which inputs and which model this folder is for
OUTPUT/manifest.json                once all parts are there: inputs, counts, time
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import fsspec
from distributed import KilledWorker, as_completed
from tqdm import tqdm

from wine_serving import workers
from wine_serving.errors import ContractError, ScoringError, WineServingError
from wine_serving.parts import File, Part, examine
from wine_serving.registry import Record, Registry
from wine_serving.scoring import REFUSED, SCORED, UNFINISHED, Done, Job, done_before

ENDINGS: Final = (".parquet", ".pq", ".csv", ".tsv")
JOB: Final = "job.json"
MANIFEST: Final = "manifest.json"
EVERY: Final = 10.0  # seconds between two lines of progress where there is no terminal
SHOWN: Final = 5  # failures that are told


def score(registry: Registry, given: str, output: str, model: str, scheduler: str | None = None) -> Iterator[str]:
    """Score what `given` names into the folder `output`, going on where it was left; a line for each thing told.

    `scheduler` is the address of a Dask cluster; this machine is used where there is none.
    A ScoringError or ContractError says what is not scored; parts that are done stay.
    """
    if not (given and output):
        raise ScoringError("Say what to score, and where to: make score INPUT=wines.parquet OUTPUT=scored")
    begun = time.perf_counter()
    folder = Folder(output)
    names = inputs(given, folder)
    record = registry.record(model)
    bundle = registry.fetch(record.ref)
    with workers.connected(scheduler) as client:
        workers.send(client, bundle, record.digest)
        files = client.gather(client.map(examine, names, pure=False))
        parts = [part for each in files for part in each.parts]
        if not parts:
            raise ContractError(f"{given} has no rows: there is nothing to score")
        job = folder.claim(files, record)
        before = {number: found for number in range(len(parts)) if (found := done_before(number, job))}
        if before:
            yield f"{len(before)} of {len(parts)} parts are there already"
        now, failures = carry_out(client, parts, job, before)
    done = before | now
    if len(done) < len(parts):
        told = [*failures[:SHOWN], *([f"… and {len(failures) - SHOWN} more"] if failures[SHOWN:] else [])]
        missing = f"{len(done)} of {len(parts)} parts are scored; run this again for the others"
        raise ScoringError("\n".join([*told, missing]))
    counts = Done(sum(each.rows for each in done.values()), sum(each.refused for each in done.values()))
    seconds = time.perf_counter() - begun
    folder.finish(files, record, counts, seconds, sum(each.rows for each in now.values()))
    yield f"{counts.rows:,} rows: {counts.rows - counts.refused:,} scored, {counts.refused:,} refused; {seconds:.0f} s"
    yield f"Scored by {record.ref}: {folder.path}/{SCORED}"
    if counts.refused:
        yield f"Refused, with the rule that each breaks: {folder.path}/{REFUSED}"
    if counts.refused == counts.rows:
        raise ScoringError("no row could be scored: see whether columns are in the units that the rules name")


def carry_out(
    client: Any, parts: Sequence[Part], job: Job, before: Mapping[int, Done]
) -> tuple[dict[int, Done], list[str]]:
    """Score the parts that are missing: what was done, by number, and what failed, in sentences.

    A part whose workers died may only have stood beside the one that killed them: it is tried again, alone.
    """
    missing = [number for number in range(len(parts)) if number not in before]
    done: dict[int, Done] = {}
    failures: list[str] = []
    progress = Progress(len(before), len(parts))

    def attempt(numbers: Sequence[int]) -> list[int]:
        """Score these parts; those whose workers died come back."""
        died = []
        futures = client.map(workers.score, numbers, [parts[each] for each in numbers], job=job, pure=False)
        number_of = dict(zip(futures, numbers, strict=True))
        for future in as_completed(futures):
            number = number_of[future]
            try:
                done[number] = future.result()
            except KilledWorker:
                died.append(number)
            except WineServingError as error:
                failures.append(str(error))
            except Exception as error:  # noqa: BLE001 - whatever it is: the other parts are scored all the same
                failures.append(f"{_where(parts[number])}: {type(error).__name__}: {error}")
            future.release()  # what is known here need not be computed again when that worker dies
            progress.tell(len(before) + len(done) + len(failures), sum(each.rows for each in done.values()))
        return died

    if missing:
        failures += [
            f"{_where(parts[suspect])}: its workers died, most often for lack of memory: "
            "give them more, or write smaller row groups"
            for suspect in attempt(missing)
            if attempt([suspect])
        ]
    progress.close()
    return done, failures


def _where(part: Part) -> str:
    return f"{part.file} from row {part.first} on"


class Progress:
    """How far it has come: a bar in a terminal, else a line every now and then."""

    def __init__(self, done: int, total: int) -> None:
        self._bar = tqdm(total=total, initial=done, unit="part", disable=not sys.stderr.isatty())
        self._total, self._begun, self._told = total, time.monotonic(), time.monotonic()

    def tell(self, done: int, rows: int) -> None:
        """That so many parts are done, and so many rows by this run."""
        now = time.monotonic()
        rate = f"{rows / (now - self._begun):,.0f} rows/s"
        self._bar.set_postfix_str(rate, refresh=False)
        self._bar.update(done - self._bar.n)
        if self._bar.disable:
            self._bar.n = done
            if now - self._told > EVERY:
                self._told = now
                print(f"{done} of {self._total} parts, {rate}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """The end."""
        self._bar.close()


def inputs(given: str, folder: "Folder") -> list[str]:
    """The files that a path, a folder, a glob or an address of one names, in order."""
    try:
        files, path = fsspec.url_to_fs(given)
        found = files.glob(path) if any(each in path for each in "*?[") else files.find(path)
    except (ImportError, ValueError) as error:
        raise ContractError(f"INPUT={given} cannot be opened: {error}") from None
    local = "file" in ((files.protocol,) if isinstance(files.protocol, str) else files.protocol)
    names = [name if local else files.unstrip_protocol(name) for name in sorted(found)]
    tables = [name for name in names if name.lower().endswith(ENDINGS) and not name.startswith(f"{folder.path}/")]
    if not tables:
        raise ContractError(f"INPUT={given} names no table: it is a file, a folder or a glob of {', '.join(ENDINGS)}")
    return tables


class Folder:
    """Where the scored parts of one job go, and what is told about it there."""

    def __init__(self, given: str) -> None:
        self.path = given.rstrip("/") if "://" in given else str(Path(given).resolve())  # workers are elsewhere
        try:
            self._files, _ = fsspec.url_to_fs(self.path)
        except (ImportError, ValueError) as error:
            raise ScoringError(f"OUTPUT={given} cannot be opened: {error}") from None

    def claim(self, files: Sequence[File], record: Record) -> Job:
        """The job that this folder is for; a ScoringError if it is for another. What killed ones left is swept."""
        told = {
            "inputs": {each.name: each.digest for each in files},
            "model": record.digest,
            **workers.decides(),
        }
        there = self._read(JOB)
        if there is None and self._files.exists(self.path) and self._files.ls(self.path):
            raise ScoringError(f"OUTPUT={self.path} holds something else: name an empty folder, or a new one")
        if there is not None and there != told:
            differing = [name for name, value in told.items() if there.get(name) != value]
            raise ScoringError(
                f"OUTPUT={self.path} is another job's, as {' and '.join(differing)} differ: name another folder"
            )
        self._sweep()
        self._write(JOB, told)
        name = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        return Job(name, self.path, record.version, record.digest)

    def finish(self, files: Sequence[File], record: Record, counts: Done, seconds: float, rows_now: int) -> None:
        """Write the manifest; nothing unfinished is left."""
        manifest = {
            "inputs": [{"file": each.name, "sha256": each.digest, "parts": len(each.parts)} for each in files],
            "model": {"ref": record.ref, "version": record.version, "digest": record.digest},
            "versions": workers.decides(),
            "rows": counts.rows,
            "scored": counts.rows - counts.refused,
            "refused": counts.refused,
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows_now / seconds, 1),
        }
        self._write(MANIFEST, manifest)
        self._sweep()

    def _sweep(self) -> None:
        if self._files.exists(unfinished := f"{self.path}/{UNFINISHED}"):
            self._files.rm(unfinished, recursive=True)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self._files.cat_file(f"{self.path}/{name}"))
        except FileNotFoundError:
            return None
        except ValueError:
            raise ScoringError(f"{self.path}/{name} cannot be read: remove it, or name another OUTPUT") from None
        return found

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        """Whole or not at all."""
        self._files.makedirs(f"{self.path}/{UNFINISHED}", exist_ok=True)
        unfinished = f"{self.path}/{UNFINISHED}/{name}"
        self._files.pipe_file(unfinished, json.dumps(content, indent=1).encode() + b"\n")
        self._files.mv(unfinished, f"{self.path}/{name}")

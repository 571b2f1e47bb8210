"""One part of a table scored: what cannot be a wine is set aside with the rule that it breaks, all else is assessed.

A part is written whole or not at all: its refused rows first, its scored rows last. That these are there is the claim
that the part is done; the footer says of which job, and how many rows came in and were refused.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, NamedTuple, Self

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wine_serving.assessing import GOOD, GRADES, Assessments, Assessor
from wine_serving.parts import Batch, Part, measured, read
from wine_serving.schema import MEASUREMENTS, SEGMENT, SEGMENTS, possible, refusals

SCORED: Final = "scored"
REFUSED: Final = "refused"
UNFINISHED: Final = "_unfinished"  # who reads a folder of Parquet files passes over what begins with _
OURS: Final = (
    *("quality", "low", "high", "grade", "share", "probabilities", f"at_least_{GOOD}", "unusual", "outside"),
    *("model_version", "model_digest"),
)
REFUSALS: Final = pa.schema(
    [("file", pa.string()), ("row", pa.int64()), ("column", pa.string()), ("rule", pa.string())]
)


@dataclass(frozen=True)
class Job:
    """What every part of one job shares."""

    name: str  # a digest of inputs and model
    output: str  # a folder, as fsspec addresses it
    version: str  # of the model
    digest: str


class Done(NamedTuple):
    """How many rows of a part came in, and how many of them were refused."""

    rows: int
    refused: int


def place(job: Job, kind: str, number: int) -> str:
    """Where a part's scored or refused rows are."""
    return f"{job.output}/{kind}/part-{number:05}.parquet"


def score_part(number: int, part: Part, job: Job, assessor: Assessor) -> Done:
    """Score a part and write it."""
    with _Whole(job, SCORED, number) as scored, _Whole(job, REFUSED, number) as refused:
        rows = n_refused = 0
        for batch in read(part):
            matrix = encoded(batch.rows)
            fits = possible(matrix)
            if len(wrong := list(_told(batch, matrix, fits, part.file))):
                told = pa.Table.from_pylist(wrong, REFUSALS)
                refused.write(told)
                n_refused += pc.count_distinct(told["row"]).as_py()
            kept = batch.rows if fits.all() else batch.rows.filter(pa.array(fits))
            scored.write(with_assessment(kept, assessor.rows(matrix[fits]), job))
            rows += len(batch.rows) + len(batch.malformed)
        done = Done(rows, n_refused)
        refused.finish(done)
        scored.finish(done)
        return done


def done_before(number: int, job: Job) -> Done | None:
    """What the claim of a part says; None where there is none, or it is another job's."""
    try:
        with fsspec.open(place(job, SCORED, number), "rb") as opened:
            told = pq.ParquetFile(opened).metadata.metadata or {}
    except FileNotFoundError:
        return None
    if told.get(b"job") != job.name.encode():
        return None
    return Done(int(told[b"rows"]), int(told[b"refused"]))


def encoded(rows: pa.RecordBatch) -> NDArray[np.float64]:
    """Rows as `schema.exact_columns` gives them, NaN for what is missing, a negative segment for what is none."""
    names = measured(rows.schema.names)
    columns = [rows[names[name]].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in MEASUREMENTS]
    segment = pc.index_in(rows[names[SEGMENT]].cast(pa.string()), value_set=pa.array(SEGMENTS))
    return np.column_stack([*columns, pc.fill_null(segment, -1).to_numpy(zero_copy_only=False)])


def with_assessment(rows: pa.RecordBatch, found: Assessments, job: Job) -> pa.Table:
    """The rows as they were given, and beside each what the model says of it and which model that is."""
    columns = {f"given_{name}" if name in OURS else name: rows[name] for name in rows.schema.names}
    _, fields = np.nonzero(found.outside)
    ends = np.concatenate([[0], np.cumsum(found.outside.sum(axis=1))])
    names = pa.DictionaryArray.from_arrays(pa.array(fields.astype(np.int8)), pa.array(MEASUREMENTS))
    ours = {
        "quality": found.quality,
        "low": found.low,
        "high": found.high,
        "grade": found.grade.astype(np.int8),
        "share": found.share,
        "probabilities": pa.FixedSizeListArray.from_arrays(found.probabilities.ravel(), len(GRADES)),
        f"at_least_{GOOD}": found.good,
        "unusual": found.unusual,
        "outside": pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), names),
        "model_version": _constant(job.version, len(rows)),
        "model_digest": _constant(job.digest, len(rows)),
    }
    return pa.table(columns | ours)


def _constant(text: str, n: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), pa.array([text]))


def _told(
    batch: Batch, matrix: NDArray[np.float64], fits: NDArray[np.bool_], file: str
) -> Iterator[Mapping[str, object]]:
    """Each broken rule: file, row, column and sentence, as the API words it."""
    for row, column, why in batch.malformed:
        yield {"file": file, "row": row, "column": column, "rule": why}
    wrong = np.flatnonzero(~fits)
    segment = batch.rows[measured(batch.rows.schema.names)[SEGMENT]].cast(pa.string())
    given = [
        dict(zip(MEASUREMENTS, values, strict=True)) | {SEGMENT: each}
        for values, each in zip(matrix[wrong, :-1].tolist(), segment.take(wrong).to_pylist(), strict=True)
    ]
    for problem in refusals([{name: value for name, value in each.items() if not _missing(value)} for each in given]):
        assert problem.row is not None
        number = int(batch.numbers[wrong[problem.row]])
        yield {"file": file, "row": number, "column": problem.field, "rule": problem.message}


def _missing(value: object) -> bool:
    return value is None or value != value


class _Whole:
    """A Parquet file that appears where it belongs when it is finished, and never before; empty ones are no claim."""

    def __init__(self, job: Job, kind: str, number: int) -> None:
        self._job, self._kind, self._place = job, kind, place(job, kind, number)
        self._files, _ = fsspec.url_to_fs(job.output)
        self._unfinished = f"{job.output}/{UNFINISHED}/{kind}-{number:05}-{uuid.uuid4().hex}"
        self._opened: BinaryIO | None = None
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def write(self, table: pa.Table) -> None:
        """Add rows; the first decide on the columns."""
        if self._writer is None:
            for folder in (UNFINISHED, self._kind):
                self._files.makedirs(f"{self._job.output}/{folder}", exist_ok=True)
            self._opened = self._files.open(self._unfinished, "wb")
            texts = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
            self._writer = pq.ParquetWriter(self._opened, table.schema, compression="snappy", use_dictionary=texts)
        self._writer.write_table(table)

    def finish(self, done: Done) -> None:
        """Put it in its place."""
        if self._writer is None:
            return
        told = {"job": self._job.name, "rows": str(done.rows), "refused": str(done.refused)}
        self._writer.add_key_value_metadata(told)
        self._writer.close()
        assert self._opened
        self._opened.close()
        self._files.mv(self._unfinished, self._place)

    def __exit__(self, *_: object) -> None:
        if self._opened is not None and not self._opened.closed:
            self._opened.close()
        if self._opened is not None and self._files.exists(self._unfinished):
            self._files.rm(self._unfinished)

"""What is scored in bulk: files in parts, each of which one worker reads from beginning to end, in batches.

A part is some row groups of a Parquet file, or some lines of a CSV file. `examine` cuts a file into parts, `read` reads
one. Where a file is, fsspec says: a path, or an address such as s3://cellar/wines.parquet.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wine_serving import lines
from wine_serving.errors import ContractError, TableRefused
from wine_serving.schema import INPUTS, MEASUREMENTS

ROWS: Final = 65_536  # of a batch: what is held in memory at a time
PART_ROWS: Final = 262_144  # of a part of a Parquet file, unless a single row group has more
BLOCK: Final = 4_000_000  # bytes


@dataclass(frozen=True)
class Part:
    """Rows of one file that follow each other."""

    file: str
    first: int  # the number of its first row in the file, from 0
    groups: tuple[int, ...] = ()  # row groups of a Parquet file
    span: lines.Span | None = None  # of a CSV file


class File(NamedTuple):
    """A file that was looked through."""

    name: str
    digest: str
    parts: tuple[Part, ...]


class Batch(NamedTuple):
    """Rows as they were given, the number of each in its file, and what is wrong with those that are no rows."""

    rows: pa.RecordBatch
    numbers: NDArray[np.int64]
    malformed: tuple[lines.Malformed, ...] = ()


def examine(name: str) -> File:
    """A file's digest and parts, or a ContractError: it is no table of wines, or was cut short."""
    try:
        with fsspec.open(name, "rb") as opened:
            return _examine_csv(name, opened) if is_csv(name) else _examine_parquet(name, opened)
    except TableRefused as refused:
        raise ContractError(f"{name}: {refused}") from None
    except pa.ArrowException as error:
        raise ContractError(f"{name} cannot be read: {error}; write it again, or leave it out") from None


def read(part: Part) -> Iterator[Batch]:
    """The rows of a part, in batches; a ContractError where the file is not what it was when it was looked through."""
    try:
        with fsspec.open(part.file, "rb") as opened:
            yield from _read_parquet(part, opened) if part.span is None else _read_csv(part, part.span, opened)
    except (pa.ArrowException, TableRefused) as error:
        raise ContractError(f"{part.file} cannot be read from row {part.first} on: {error}; write it again") from None


def _read_parquet(part: Part, opened: BinaryIO) -> Iterator[Batch]:
    number = part.first
    for rows in pq.ParquetFile(opened).iter_batches(ROWS, row_groups=list(part.groups)):
        yield Batch(rows, np.arange(number, number + len(rows)))
        number += len(rows)


def _read_csv(part: Part, span: lines.Span, opened: BinaryIO) -> Iterator[Batch]:
    table, rows, malformed = lines.read(opened, span)
    numbers = np.array(rows, np.int64) + part.first
    wrong = tuple(each._replace(row=each.row + part.first) for each in malformed)
    for start in range(0, max(len(table), 1), ROWS):
        piece = pa.RecordBatch.from_struct_array(table.slice(start, ROWS).to_struct_array().combine_chunks())
        yield Batch(piece, numbers[start : start + ROWS], wrong)
        wrong = ()


def is_csv(name: str) -> bool:
    """By its ending."""
    return name.lower().endswith((".csv", ".tsv"))


def measured(header: list[str]) -> dict[str, str]:
    """The contract's columns → what the table calls them: with blanks, in capitals."""
    known = {name.strip().lower().replace(" ", "_"): name for name in header}
    return {name: known[name] for name in INPUTS if name in known}


def _check_header(name: str, header: list[str]) -> None:
    if lacking := [each for each in INPUTS if each not in measured(header)]:
        raise ContractError(
            f"{name} lacks {', '.join(lacking)}: a table of wines has the columns {', '.join(INPUTS)}, and any others"
        )


def _examine_csv(name: str, opened: BinaryIO) -> File:
    digest, spans = lines.cut(opened)
    return File(name, digest, tuple(Part(name, first, span=span) for first, span in spans))


def _examine_parquet(name: str, opened: BinaryIO) -> File:
    table = pq.ParquetFile(opened)
    _check_header(name, table.schema_arrow.names)
    for field, column in measured(table.schema_arrow.names).items():
        kind = table.schema_arrow.field(column).type
        numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        if field in MEASUREMENTS and not numeric:
            raise ContractError(f"{name}: {column} holds {kind}: write the column as numbers")
    opened.seek(0)
    digest = hashlib.sha256()
    while block := opened.read(BLOCK):
        digest.update(block)
    return File(name, digest.hexdigest(), tuple(_groups(name, table.metadata)))


def _groups(name: str, metadata: pq.FileMetaData) -> Iterator[Part]:
    """Row groups that follow each other, until they have PART_ROWS rows."""
    waiting: list[int] = []
    first = rows = 0
    for group in range(metadata.num_row_groups):
        waiting.append(group)
        rows += metadata.row_group(group).num_rows
        if rows - first >= PART_ROWS or (group + 1 == metadata.num_row_groups and rows > first):
            yield Part(name, first, groups=tuple(waiting))
            waiting, first = [], rows

"""A CSV file of any size: cut into spans of whole lines, each of which is read as people's tables are.

A line break inside of quotes ends no line. Of a file that is cut, the first line must name the columns; one that fits
into a single span may look as people's tables look (`tables`).
"""

import hashlib
from typing import BinaryIO, Final, NamedTuple

import numpy as np
import pyarrow as pa

from wine_serving import tables
from wine_serving.schema import INPUTS, MEASUREMENTS, SEGMENT, SEGMENTS, encode_all

SPAN: Final = 4_000_000  # bytes that a span has at least, but for the last
BLOCK: Final = 1_000_000
SAMPLE: Final = 100_000  # bytes that show whether it is a table of wines
MANY: Final = 10**9


class Span(NamedTuple):
    """Bytes of a file, from and up to, that begin and end with a line."""

    start: int
    end: int


class Malformed(NamedTuple):
    """What is wrong with a row: its number, from 0, the column where it is one cell, and a sentence."""

    row: int
    column: str | None
    why: str


def cut(opened: BinaryIO) -> tuple[str, list[tuple[int, Span]]]:
    """The file's digest, and its spans below the first line, each with the number of its first row.

    TableRefused where it is no table of wines.
    """
    opened.seek(0)
    sample = opened.read(SAMPLE)
    tables.read(sample if len(sample) < SAMPLE else sample[: sample.rindex(b"\n") + 1], most=MANY)
    opened.seek(0)
    digest, spans = hashlib.sha256(header := opened.readline()), []
    start = place = len(header)
    first = rows = inside = 0  # of quotes: 1 where a block begins inside of them
    while block := opened.read(BLOCK):
        digest.update(block)
        pieces = block.split(b'"')
        for number, piece in enumerate(pieces):
            if (number + inside) % 2 == 0:
                if place - start >= SPAN and (found := piece.find(b"\n")) >= 0:
                    end, rows_before = place + found + 1, rows + 1
                    spans.append((first, Span(start, end)))
                    start, first = end, rows_before
                rows += piece.count(b"\n")
            place += len(piece) + 1
        place -= 1
        inside = (inside + len(pieces) - 1) % 2
    if place > start:
        spans.append((first, Span(start, place)))
    return digest.hexdigest(), spans


def read(opened: BinaryIO, span: Span) -> tuple[pa.Table, list[int], list[Malformed]]:
    """The wines of a span with all their columns, the numbers of their rows, and what is wrong with the others."""
    opened.seek(0)
    header = opened.readline()
    opened.seek(span.start)
    body = opened.read(span.end - span.start)
    if not body.strip():
        return pa.table({}), [], []
    found = tables.read(header + body, most=MANY)
    malformed = [Malformed(fault.row - 1, fault.column or None, fault.message) for fault in found.faults]
    numbers = [*found.wines]
    encoded = encode_all([*found.wines.values()])
    measured = dict(zip(MEASUREMENTS, encoded[:, :-1].T, strict=True))
    colors = np.array(SEGMENTS)[encoded[:, -1].astype(int)]
    return pa.table(_others(found) | measured | {SEGMENT: colors}), [number - 1 for number in numbers], malformed


def _others(found: tables.Table) -> dict[str, list[str]]:
    """The other columns, as text, each under a name of its own."""
    taken = {*found.columns.values()}
    columns: dict[str, list[str]] = {}
    for place, given in enumerate(found.header):
        if place not in taken:
            name = given or f"column {place + 1}"
            name = f"{name} ({place + 1})" if name in columns or name in INPUTS else name
            cells = (found.rows[number] for number in found.wines)
            columns[name] = [row[place] if place < len(row) else "" for row in cells]
    return columns

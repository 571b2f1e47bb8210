"""A CSV file of any size: its header, cut into spans of whole lines, and a span as columns.

A row is a line; a line break inside of quotes ends none. What cannot be read is set aside, row by row, and said.
"""

import hashlib
import io
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

SPAN: Final = 32_000_000  # bytes that a span has at least, but for the last
BLOCK: Final = 4_000_000
NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
BOM: Final = b"\xef\xbb\xbf"
ROW: Final = "\0row"  # no file can call a column so
FIRST_LINE: Final = 2  # of a row, as pyarrow counts lines


class Span(NamedTuple):
    """Bytes of a file, from and up to, that begin and end with a line."""

    start: int
    end: int


class Malformed(NamedTuple):
    """A row that cannot be read: its number, the column where it is one cell that cannot, and a sentence."""

    row: int
    column: str | None
    why: str


def names(opened: BinaryIO) -> list[str]:
    """What the first line calls the columns."""
    found: list[str] = _parsed(_header(opened), []).schema.names
    return found


def cut(opened: BinaryIO) -> tuple[str, list[tuple[int, Span]]]:
    """The file's digest, and its spans below the header, each with the number of its first row."""
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


def read(opened: BinaryIO, span: Span, measured: Mapping[str, str]) -> tuple[pa.Table, list[Malformed]]:
    """The rows of a span that can be read, numbered by a column ROW, and the others; rows are counted from 0.

    `measured` are the columns that hold numbers, by the contract's names for them. All others are text.
    """
    header = _header(opened)
    opened.seek(span.start)
    malformed: list[Malformed] = []
    table = _parsed(header + opened.read(span.end - span.start).rstrip(b"\r\n"), malformed)
    numbers = np.setdiff1d(np.arange(len(table) + len(malformed)), [each.row for each in malformed])
    table = table.append_column(ROW, pa.array(numbers))
    readable = pa.array(np.ones(len(table), bool))
    for field, name in measured.items():
        text = pc.utf8_trim_whitespace(table[name])
        if _separator(header) != ",":
            text = pc.replace_substring(text, ",", ".")
        fits = pc.fill_null(pc.match_substring_regex(text, NUMBER), True)
        for row, given in _where(table, pc.invert(fits), name):
            malformed.append(Malformed(row, field, f"{field} must be a number, not {given!r}"))
        numeric = pc.if_else(fits, text, None).cast(pa.float64())
        table = table.set_column(table.schema.get_field_index(name), name, numeric)
        readable = pc.and_(readable, fits)
    return table.filter(readable), sorted(malformed)


def _where(table: pa.Table, mask: pa.ChunkedArray, name: str) -> Iterator[tuple[int, str]]:
    found = table.select([ROW, name]).filter(mask)
    return zip(found[ROW].to_pylist(), found[name].to_pylist(), strict=True)


def _header(opened: BinaryIO) -> bytes:
    opened.seek(0)
    return opened.readline().removeprefix(BOM).rstrip(b"\r\n") + b"\n"


def _separator(header: bytes) -> str:
    return max(";\t,", key=header.decode("utf-8").count)


def _parsed(text: bytes, malformed: list[Malformed]) -> pa.Table:
    """The table, all of it text; lines with more or fewer cells than the header go to `malformed`."""

    def set_aside(row: Any) -> str:
        why = f"the row has {row.actual_columns} cells, not {row.expected_columns}"
        malformed.append(Malformed(row.number - FIRST_LINE, None, why))
        return "skip"

    header = text[: text.index(b"\n") + 1]
    parsing = pa.csv.ParseOptions(
        delimiter=_separator(header), newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=set_aside
    )
    reading = pa.csv.ReadOptions(use_threads=False)
    names = pa.csv.read_csv(io.BytesIO(header), reading, parsing).schema.names
    as_text = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    return pa.csv.read_csv(io.BytesIO(text), reading, parsing, as_text)

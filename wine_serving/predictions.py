"""The prediction log read back as columns: what `wine_serving.api.log` writes, and what 1.0 wrote.

The columns are those of the contract, by its names, and beside them

- `time` (seconds since 1970, nan where none is told) and `format` of the line (1 or 2);
- the answer's `quality`, `low`, `high`, `width` (of the interval), `grade` and `n_warnings`;
- `prediction_id` (as the API gave it; for lines of 1.0, which have none, made from the request's id and the row),
  `request_id`, `reference` (the caller's own, or None) and `version` of the model;
- `purpose` (`user`, `what_if` or `check`) and `assumed`, the measurements that nobody took.

Wines stand in the order of the files and their lines. Requests that were refused have lines of their own since 2.0.
"""

import gzip
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from io import BufferedIOBase
from math import nan
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from wine_serving.schema import MEASUREMENTS, SEGMENT, Quick, cut, measurements


class _Interval(msgspec.Struct, gc=False):
    low: float
    high: float


class _Grade(msgspec.Struct, gc=False):
    value: int


class _Unusual(msgspec.Struct, gc=False):
    field: str | None


class _Output(msgspec.Struct, gc=False):
    quality: float
    interval: _Interval
    grade: _Grade
    warnings: list[_Unusual]
    prediction_id: str | None = None  # since format 2, as what follows
    reference: str | None = None


class _Line(msgspec.Struct, gc=False):
    request_id: str
    model_version: str
    input: Quick  # type: ignore[valid-type]
    output: _Output
    time: datetime | None = None  # Cloud Logging takes it out of the line
    purpose: str = "user"
    assumed: list[str] = []
    message: str = ""
    format: int = 1


class _Entry(msgspec.Struct, gc=False):
    """A line as `gcloud logging read --format=json` gives it back."""

    timestamp: datetime
    jsonPayload: _Line  # noqa: N815 - Cloud Logging's name


class _Refused(msgspec.Struct, gc=False):
    request_id: str
    status: int
    fields: list[str]
    purpose: str
    time: datetime | None = None


class _RefusedEntry(msgspec.Struct, gc=False):
    timestamp: datetime
    jsonPayload: _Refused  # noqa: N815 - as above


class Refused(NamedTuple):
    """A request that was refused: when (seconds since 1970), for which HTTP status, and for what in its wines."""

    request_id: str
    time: float
    status: int
    fields: Sequence[str]  # the contract's, as far as they were to blame
    purpose: str


class Predictions(NamedTuple):
    """Logged predictions as columns, each with one element for each line; and the lines that are none."""

    columns: Mapping[str, Any]  # NUMBERS as arrays, TEXTS as lists
    broken: int  # lines that cannot be read
    shown: Sequence[str]  # where the first of them are, and what is wrong
    refused: Sequence[Refused]
    other: int  # lines that tell of something else


NUMBERS: Final = (*MEASUREMENTS, "time", "format", "quality", "low", "high", "width", "grade", "n_warnings")
TEXTS: Final = (SEGMENT, "prediction_id", "request_id", "reference", "version", "purpose", "assumed")
SHOWN_LINES: Final = 10
CUT_OFF: Final = "the rest of the gzip file"
PIECE: Final = 1 << 22  # bytes that are looked at together
_BETWEEN: Final = b"\n  },\n  {"  # two entries of gcloud's array, however large it is
_line: Final = msgspec.json.Decoder(_Line).decode
_entry: Final = msgspec.json.Decoder(_Entry).decode
_refused_line: Final = msgspec.json.Decoder(_Refused).decode
_refused_entry: Final = msgspec.json.Decoder(_RefusedEntry).decode


def read(paths: Iterable[Path]) -> Predictions:
    """The predictions in files: lines of both formats, plain or gzipped, or the array that gcloud writes.

    A line that is broken, cut off or no possible wine costs itself only.
    """
    numbers = {name: array("d") for name in NUMBERS}
    texts: dict[str, list[Any]] = {name: [] for name in TEXTS}
    put = [column.append for column in (*numbers.values(), *texts.values())]
    shown: list[str] = []
    refused: list[Refused] = []
    broken = other = 0
    known: dict[str, str] = {}  # versions and purposes repeat: one text for all
    rows: Counter[str] = Counter()  # of each request whose lines have no ids
    for path in paths:
        for place, given, decode in _lines(path):
            try:
                row = _row(decode(given), known, rows)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                if b'"prediction"' not in given and b'"output"' not in given and place != CUT_OFF:
                    told = _refusal(given, is_entry=decode is _entry)
                    refused += told
                    other += not told
                    continue
                broken += 1
                if len(shown) < SHOWN_LINES:
                    shown.append(f"{path.name}, {place}: {cut(str(error))}")
                continue
            for append, value in zip(put, row, strict=True):
                append(value)
    arrays = {name: np.frombuffer(column, float) if column else np.empty(0) for name, column in numbers.items()}
    return Predictions(arrays | texts, broken, shown, refused, other)


def _refusal(given: bytes, *, is_entry: bool) -> list[Refused]:
    """The refused request that a line or entry tells of, if it does."""
    if b'"refused"' not in given:
        return []
    try:
        entry = _refused_entry(given) if is_entry else None
        told = entry.jsonPayload if entry else _refused_line(given)
        when = entry.timestamp if entry else told.time
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    return [Refused(told.request_id, when.timestamp() if when else nan, told.status, told.fields, told.purpose)]


def _row(read: _Line | _Entry, known: dict[str, str], rows: Counter[str]) -> tuple[Any, ...]:
    line, when = (read, read.time) if isinstance(read, _Line) else (read.jsonPayload, read.timestamp)
    out, request, low, high = line.output, line.request_id, line.output.interval.low, line.output.interval.high
    own = out.prediction_id
    if own is None:
        own = f"{request}-{rows[request]}"
        rows[request] += 1
    return (
        *measurements(line.input), when.timestamp() if when else nan, line.format,
        out.quality, low, high, high - low, out.grade.value, len(out.warnings),
        getattr(line.input, SEGMENT), own, request, out.reference,
        known.setdefault(line.model_version, line.model_version), known.setdefault(line.purpose, line.purpose),
        line.assumed or (),
    )  # fmt: skip


def _lines(path: Path) -> Iterator[tuple[str, bytes, Callable[[bytes], _Line | _Entry]]]:
    """Where each line or entry of a file stands, what is there, and how it is decoded."""
    with path.open("rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as file:
        try:
            first = file.read(1)
            if first == b"[":
                yield from ((f"entry {number}", entry, _entry) for number, entry in enumerate(_entries(file), 1))
                return
            for number, line in enumerate(file, 1):
                given = first + line if number == 1 else line
                if given.strip():
                    yield f"line {number}", given, _line
        except (EOFError, gzip.BadGzipFile, zlib.error):
            yield CUT_OFF, b"", _line


def _entries(file: BufferedIOBase) -> Iterator[bytes]:
    """The entries of gcloud's array, a piece of the file at a time."""
    rest = b""
    while piece := file.read(PIECE):
        *whole, rest = (rest + piece).split(_BETWEEN)
        yield from (b"{%b}" % entry.strip().removeprefix(b"{") for entry in whole)
    if last := rest.strip().removeprefix(b"{").removesuffix(b"]").strip():
        yield b"{%b" % last

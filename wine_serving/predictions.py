"""The prediction log: JSON lines in the names that Cloud Logging reads, one for each predicted wine, on stdout."""

import gzip
import logging
import os
import stat
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import BufferedIOBase
from math import nan
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

import msgspec
import numpy as np

from wine_serving.schema import MEASUREMENTS, SEGMENT, Asked, Quick, cut, measurements

if sys.platform != "win32":
    import fcntl
    import termios

FORMAT: Final = 2
PURPOSES: Final = ("user", "what_if", "check")  # who asks: only `user` is somebody who wants to know about a wine
WAITING_LINES: Final = 40_000  # that wait while nobody reads, some 40 MB; what comes on top is lost, and counted
GATHER_SECONDS: Final = 0.05  # lines are made and written together: waking for each costs more than the line
CLOSING_SECONDS: Final = 1.0
STALLED_SECONDS: Final = 0.002  # between two looks whether a full pipe has been read
PIPE_ROOM: Final = 32_768  # bytes that may lie unread in a pipe, half of what fits: no write waits, and no line is torn

encode: Final = msgspec.json.Encoder().encode
_log = logging.getLogger(__name__)


class Trace(NamedTuple):
    """The trace that a caller is following, and the span that called us (16 hexadecimal digits)."""

    id: str
    span: str | None


class Origin(NamedTuple):
    """The request that a prediction answers: who asked for what, the seconds that it took, and its trace.

    `assumed` are the measurements that nobody took: the page filled them in.
    """

    request_id: str
    purpose: Literal["user", "what_if", "check"]
    assumed: Sequence[str]
    seconds: float
    trace: Trace | None


class _Answered(NamedTuple):
    """The wines of one request and their answers, as they wait to become lines."""

    origin: Origin
    version: str
    time: datetime
    wines: Sequence[Asked]
    answers: Sequence[bytes]


class PredictionLog:
    """Writes lines from a thread of its own: whoever reads them slowly, or not at all, keeps nobody waiting.

    The thread makes them, too: many at once take a third of the time that one between two requests takes.
    """

    def __init__(self, project: str | None, file: int = 1) -> None:
        self._trace_prefix = f"projects/{project}/traces/" if project else ""
        self._file = file
        self._is_pipe = _is_pipe(file)
        self._answered: list[_Answered] = []
        self._waiting = 0  # lines, also of what is being written
        self._some, self._closed, self._lock = threading.Event(), threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._keep_writing, daemon=True, name="prediction log")
        self.lost = 0  # lines

    def __enter__(self) -> Self:
        """Begin to write."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits; what is not read within CLOSING_SECONDS is lost."""
        self._closed.set()
        self._some.set()
        self._thread.join(CLOSING_SECONDS)

    def add(self, origin: Origin, version: str, wines: Sequence[Asked], answers: Sequence[bytes]) -> None:
        """Have a line written for each wine of one request and its answer, as JSON; from any thread."""
        with self._lock:
            if self._waiting + len(wines) > WAITING_LINES:
                self.lost += len(wines)
                return
            self._waiting += len(wines)
            self._answered.append(_Answered(origin, version, datetime.now(UTC), wines, answers))
        if not self._some.is_set():
            self._some.set()

    def _keep_writing(self) -> None:
        while not self._closed.is_set() or self._answered:
            self._some.wait()
            self._closed.wait(GATHER_SECONDS)
            self._some.clear()
            with self._lock:
                answered, self._answered = self._answered, []
            for piece in _pieces(line for each in answered for line in self._lines(each)):
                while self._unread() + len(piece) > PIPE_ROOM:
                    time.sleep(STALLED_SECONDS)
                self._write(piece)
                with self._lock:
                    self._waiting -= piece.count(b"\n")

    def _lines(self, answered: _Answered) -> Iterator[bytes]:
        head = self._head(answered)
        inputs = map(encode, map(_measured, answered.wines))
        for each in zip(inputs, answered.answers, strict=True):
            yield b'%b,"input":%b,"output":%b}\n' % (head, *each)

    def _head(self, answered: _Answered) -> bytes:
        origin = answered.origin
        head: dict[str, object] = {
            "time": answered.time,
            "severity": "INFO",
            "message": "prediction",
            "format": FORMAT,
            "request_id": origin.request_id,
            "model_version": answered.version,
            "purpose": origin.purpose,
            "latency": round(origin.seconds, 6),
        }
        if origin.assumed:
            head["assumed"] = origin.assumed
        if trace := origin.trace:
            head["logging.googleapis.com/trace"] = self._trace_prefix + trace.id
            if trace.span:
                head["logging.googleapis.com/spanId"] = trace.span
        return encode(head)[:-1]

    def _unread(self) -> int:
        return (
            int.from_bytes(fcntl.ioctl(self._file, termios.FIONREAD, bytes(4)), sys.byteorder) if self._is_pipe else 0
        )

    def _write(self, piece: bytes) -> None:
        try:
            while piece:
                piece = piece[os.write(self._file, piece) :]
        except OSError as error:  # a full disk or a reader that went away must not cost anybody an answer
            self.lost += piece.count(b"\n")
            _log.error("predictions could not be logged: %s", error.strerror)


def _is_pipe(file: int) -> bool:
    try:
        return sys.platform != "win32" and stat.S_ISFIFO(os.fstat(file).st_mode)
    except OSError:  # there is no such file: a service without standard output
        return False


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, as many as a pipe takes at once."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if size + len(line) > PIPE_ROOM:
            yield b"".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield b"".join(piece)


def _measured(wine: Asked) -> Asked:
    """The wine without its name, which stands in the answer."""
    return wine if wine.reference is None else msgspec.structs.replace(wine, reference=None)  # type: ignore[type-var]


# Lines read back


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


class _Entry(msgspec.Struct, gc=False):
    """A line as `gcloud logging read --format=json` gives it back."""

    timestamp: datetime
    jsonPayload: _Line  # noqa: N815 - Cloud Logging's name


class Predictions(NamedTuple):
    """Logged predictions as columns, each with one element for each line; and the lines that are none."""

    columns: Mapping[str, Any]  # INPUTS and READ: arrays of numbers, lists of all else
    broken: int  # lines that cannot be read
    shown: Sequence[str]  # where the first of them are, and what is wrong
    other: int  # lines that tell of something else than a prediction


READ: Final = (
    *("time", "quality", "low", "high", "grade", "n_warnings", "prediction_id", "request_id", "reference"),
    *("model_version", "purpose", "assumed"),
)
SHOWN_LINES: Final = 10
PIECE: Final = 1 << 22  # bytes that are looked at together
_BETWEEN: Final = b"\n  },\n  {"  # two entries of gcloud's array, however large it is
_line: Final = msgspec.json.Decoder(_Line).decode
_entry: Final = msgspec.json.Decoder(_Entry).decode


def read(paths: Iterable[Path]) -> Predictions:
    """The predictions in files: lines of both formats, plain or gzipped, or the array that gcloud writes.

    A line that is broken, cut off or no possible wine costs itself only.
    """
    numbers = {name: array("d") for name in (*MEASUREMENTS, *READ[:6])}
    texts: dict[str, list[Any]] = {name: [] for name in (SEGMENT, *READ[6:])}
    put = [column.append for column in (*numbers.values(), *texts.values())]
    shown: list[str] = []
    broken = other = 0
    known: dict[str, str] = {}  # versions and purposes repeat: one text for all
    for path in paths:
        for number, given, decode in _lines(path):
            try:
                row = _row(decode(given), known)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                if b'"prediction"' not in given and b'"output"' not in given:
                    other += 1
                    continue
                broken += 1
                if len(shown) < SHOWN_LINES:
                    shown.append(f"{path.name}, {number}: {cut(str(error))}")
                continue
            for append, value in zip(put, row, strict=True):
                append(value)
    arrays = {name: np.frombuffer(column, float) if column else np.empty(0) for name, column in numbers.items()}
    return Predictions(arrays | texts, broken, shown, other)


def _row(read: _Line | _Entry, known: dict[str, str]) -> tuple[Any, ...]:
    line = read if isinstance(read, _Line) else read.jsonPayload
    when = line.time if isinstance(read, _Line) else read.timestamp
    out = line.output
    return (
        *measurements(line.input), when.timestamp() if when else nan,
        out.quality, out.interval.low, out.interval.high, out.grade.value, len(out.warnings),
        getattr(line.input, SEGMENT), out.prediction_id or line.request_id, line.request_id, out.reference,
        known.setdefault(line.model_version, line.model_version), known.setdefault(line.purpose, line.purpose),
        line.assumed or (),
    )  # fmt: skip


def _lines(path: Path) -> Iterator[tuple[str, bytes, Callable[[bytes], _Line | _Entry]]]:
    """Each line or entry of a file, where it stands, and how it is decoded."""
    with path.open("rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as file:
        first = file.read(1)
        if first != b"[":
            for number, line in enumerate(file, 1):
                given = first + line if number == 1 else line
                if given.strip():
                    yield f"line {number}", given, _line
            return
        for number, entry in enumerate(_entries(file), 1):
            yield f"entry {number}", entry, _entry


def _entries(file: BufferedIOBase) -> Iterator[bytes]:
    """The entries of gcloud's array, a piece of the file at a time."""
    rest = b""
    while piece := file.read(PIECE):
        *whole, rest = (rest + piece).split(_BETWEEN)
        yield from (b"{%b}" % entry.strip().removeprefix(b"{") for entry in whole)
    if last := rest.strip().removeprefix(b"{").removesuffix(b"]").strip():
        yield b"{%b" % last

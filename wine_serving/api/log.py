"""The prediction log: a JSON line on stdout for each predicted wine, and for each refused request of some.

It speaks in the names that Cloud Logging reads.
"""

import logging
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal, Self

import msgspec
from msgspec import UNSET, UnsetType

from wine_serving.assessing import Assessment
from wine_serving.schema import Asked

if sys.platform != "win32":
    import fcntl
    import termios

FORMAT: Final = 2
PURPOSES: Final = ("user", "what_if", "check")  # who asks: only `user` is somebody who wants to know about a wine
WAITING_LINES: Final = 40_000  # that wait while nobody reads, some 40 MB; what comes on top is lost, and counted
GATHER_SECONDS: Final = 0.1  # lines are made together: a thread that wakes for a few takes turns with every request
CLOSING_SECONDS: Final = 1.0
STALLED_SECONDS: Final = 0.002  # between two looks whether a full pipe has been read
MUCH: Final = 1000  # lines that are not kept waiting for more
TOGETHER: Final = 256  # lines that are made together at most
PIECE: Final = 1 << 16  # bytes that are written together
PIPE: Final = 1 << 20  # bytes that a pipe shall hold: as many as anybody may ask Linux for
SMALL_PIPE: Final = 1 << 16  # bytes that it holds elsewhere

encode: Final = msgspec.json.Encoder().encode
_encode_lines: Final = msgspec.json.Encoder().encode_lines
_log = logging.getLogger(__name__)


class Line(msgspec.Struct, gc=False):
    """A line: what Cloud Logging wants, the request with the seconds that it took, the wine and the answer.

    `assumed` are the measurements that nobody took: the page filled them in. `trace` is what the caller is following,
    and `span` (16 hexadecimal digits) what called us in it. A refused request has `status` and, of the contract's
    fields, those that were wrong, in place of wine and answer. UNSET is left out.
    """

    time: datetime
    severity: str
    message: str
    format: int
    model_version: str
    request_id: str
    purpose: Literal["user", "what_if", "check"]
    latency: float
    assumed: Sequence[str] | UnsetType
    trace: str | UnsetType = msgspec.field(name="logging.googleapis.com/trace")
    span: str | UnsetType = msgspec.field(name="logging.googleapis.com/spanId")
    status: int | UnsetType = UNSET
    fields: Sequence[str] | UnsetType = UNSET
    input: Any = UNSET
    output: Assessment | UnsetType = UNSET


class PredictionLog:
    """Writes lines in a thread of its own: whoever reads them slowly, or not at all, keeps nobody waiting."""

    def __init__(self, project: str | None, file: int = 1) -> None:
        self._trace_prefix = f"projects/{project}/traces/" if project else ""
        self._file, self._pipe_room = file, _pipe_room(file)
        self._answered: list[tuple[Callable[[], Line], Sequence[Asked], Sequence[Assessment]]] = []  # each request's
        self._waiting = 0  # lines, also of what is being written
        self._closed, self._much, self._lock = False, threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._keep_writing, daemon=True, name="prediction log")
        self.lost = 0  # lines

    def __enter__(self) -> Self:
        """Begin to write."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits; what is not read within CLOSING_SECONDS is lost."""
        self._closed = True
        self._much.set()
        self._thread.join(CLOSING_SECONDS)

    def add(self, line: Callable[[], Line], wines: Sequence[Asked], assessments: Sequence[Assessment]) -> None:
        """Have what `line` gives written for each wine of one request and what is said of it, as JSON; from any thread.

        For a refused request, which has none, it is written as it is. It is made later, as no answer waits for it.
        """
        count = len(wines) or 1
        with self._lock:
            if self._waiting + count > WAITING_LINES:
                self.lost += count
                return
            self._waiting += count
            self._answered.append((line, wines, assessments))
        if self._waiting >= MUCH:
            self._much.set()

    def _keep_writing(self) -> None:
        while not self._closed:
            self._much.wait(GATHER_SECONDS)
            self._much.clear()
            self._write_waiting()
        self._write_waiting()

    def _write_waiting(self) -> None:
        with self._lock:
            answered, self._answered = self._answered, []
        text, count = bytearray(), 0
        for line, wines, assessments in answered:
            made = self._made(line)
            for first in range(0, len(wines) or 1, TOGETHER):
                some = slice(first, first + TOGETHER)
                text += _lines(made, wines[some], assessments[some])
                count += len(wines[some]) or 1
                if len(text) > PIECE:
                    self._write(text, count)
                    text, count = bytearray(), 0
        self._write(text, count)

    def _made(self, line: Callable[[], Line]) -> Line:
        made = line()
        if made.trace is not UNSET:
            made.trace = self._trace_prefix + made.trace
        return made

    def _write(self, text: bytearray, count: int) -> None:
        """Write so many whole lines, as soon as they fit."""
        written = 0
        try:
            while written < len(text):
                end = text.rfind(b"\n", written, written + self._pipe_room // 2) + 1 if self._pipe_room else len(text)
                while self._pipe_room and _unread(self._file) + end - written > self._pipe_room:
                    time.sleep(STALLED_SECONDS)
                written += os.write(self._file, memoryview(text)[written:end])
        except OSError as error:  # a full disk or a reader that went away must not cost anybody an answer
            self.lost += text.count(b"\n", written)
            _log.error("predictions could not be logged: %s", error.strerror)
        with self._lock:
            self._waiting -= count


def _lines(line: Line, wines: Sequence[Asked], assessments: Sequence[Assessment]) -> bytes:
    if not wines:
        return _encode_lines([line])
    new: Any = partial(Line, *msgspec.structs.astuple(line)[:-2])
    return _encode_lines([*map(new, map(_measured, wines), assessments)])


def _measured(wine: Asked) -> Asked:
    """The wine without its name, which stands in the answer."""
    return wine if wine.reference is None else msgspec.structs.replace(wine, reference=None)  # type: ignore[type-var]


def _pipe_room(file: int) -> int:
    """Bytes that may lie unread in a pipe, half of what fits: no write waits, and no line is torn; 0 for no pipe."""
    try:
        if sys.platform == "win32" or not stat.S_ISFIFO(os.fstat(file).st_mode):
            return 0
    except OSError:  # there is no such file: a service without standard output
        return 0
    if sys.platform != "linux":
        return SMALL_PIPE // 2
    with suppress(OSError):  # a user's pipes may hold so much together, and no more
        fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, PIPE)
    return fcntl.fcntl(file, fcntl.F_GETPIPE_SZ) // 2


def _unread(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)

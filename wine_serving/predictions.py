"""The prediction log: JSON lines in the names that Cloud Logging reads, one for each predicted wine, on stdout."""

import logging
import os
import stat
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, Self

import msgspec

from wine_serving.schema import Asked

if sys.platform != "win32":
    import fcntl
    import termios

FORMAT: Final = 2
PURPOSES: Final = ("user", "what_if", "check")  # who asks: only `user` is somebody who wants to know about a wine
WAITING_BYTES: Final = (
    8_000_000  # of lines that wait while nobody reads the log; what comes on top is lost, and counted
)
GATHER_SECONDS: Final = 0.01  # lines are written together: a thread that wakes for each costs more than the line
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


class PredictionLog:
    """Writes lines from a thread of its own: whoever reads them slowly, or not at all, keeps nobody waiting."""

    def __init__(self, project: str | None, file: int = 1) -> None:
        self._trace_prefix = f"projects/{project}/traces/" if project else ""
        self._file = file
        self._is_pipe = sys.platform != "win32" and stat.S_ISFIFO(os.fstat(file).st_mode)
        self._lines: list[bytes] = []
        self._waiting = 0  # bytes in lines, and in what is being written
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

    def add(self, origin: Origin, version: str, wines: Iterable[Asked], answers: Iterable[bytes]) -> None:
        """Have a line written for each wine of one request and its answer, as JSON; from any thread."""
        head = self._head(origin, version)
        inputs = map(encode, map(_measured, wines))
        lines = [b'%b,"input":%b,"output":%b}\n' % (head, *each) for each in zip(inputs, answers, strict=True)]
        size = sum(map(len, lines))
        with self._lock:
            if self._waiting + size > WAITING_BYTES:
                self.lost += len(lines)
                return
            self._waiting += size
            self._lines += lines
        if not self._some.is_set():
            self._some.set()

    def _head(self, origin: Origin, version: str) -> bytes:
        head: dict[str, object] = {
            "time": datetime.now(UTC),
            "severity": "INFO",
            "message": "prediction",
            "format": FORMAT,
            "request_id": origin.request_id,
            "model_version": version,
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

    def _keep_writing(self) -> None:
        while not self._closed.is_set() or self._lines:
            self._some.wait()
            self._closed.wait(GATHER_SECONDS)
            self._some.clear()
            with self._lock:
                lines, self._lines = self._lines, []
            for piece in _pieces(lines):
                while self._unread() + len(piece) > PIPE_ROOM:
                    time.sleep(STALLED_SECONDS)
                self._write(piece)
                with self._lock:
                    self._waiting -= len(piece)

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


def _pieces(lines: Sequence[bytes]) -> Iterator[bytes]:
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

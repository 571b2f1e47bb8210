"""JSON lines in the names that Cloud Logging reads: every prediction on stdout, what went wrong on stderr."""

import asyncio
import logging
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic_core import to_json

from wine_serving.assessing import Assessment
from wine_serving.schema import Wine

_log = logging.getLogger(__name__)


class Trace(NamedTuple):
    """The trace that a caller is following, and the span that called us (16 hexadecimal digits)."""

    id: str
    span: str | None


class Origin(NamedTuple):
    """The request that a prediction answers, the seconds that it has taken, and the trace that it belongs to."""

    request_id: str
    seconds: float
    trace: Trace | None


class PredictionLog:
    """One line for each predicted wine."""

    def __init__(self, project: str | None) -> None:
        self._trace_prefix = f"projects/{project}/traces/" if project else ""
        self._waiting: list[bytes] = []

    def write(self, origin: Origin, version: str, wines: Sequence[Wine], assessments: Sequence[Assessment]) -> None:
        """Write the lines of one request at once, from any thread."""
        _write(self._lines(origin, version, wines, assessments))

    def write_soon(self, origin: Origin, version: str, wine: Wine, assessment: Assessment) -> None:
        """Write one line when the event loop comes round: after the answer, together with those of other requests."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._write_waiting)
        self._waiting.extend(self._lines(origin, version, [wine], [assessment]))

    def _write_waiting(self) -> None:
        lines, self._waiting = self._waiting, []
        _write(lines)

    def _lines(
        self, origin: Origin, version: str, wines: Sequence[Wine], assessments: Sequence[Assessment]
    ) -> Iterable[bytes]:
        head: dict[str, object] = {
            "time": datetime.now(UTC),
            "severity": "INFO",
            "message": "prediction",
            "request_id": origin.request_id,
            "model_version": version,
            "latency": round(origin.seconds, 6),
        }
        if trace := origin.trace:
            head["logging.googleapis.com/trace"] = self._trace_prefix + trace.id
            if trace.span:
                head["logging.googleapis.com/spanId"] = trace.span
        return (
            to_json({**head, "input": wine.__dict__, "output": assessment})
            for wine, assessment in zip(wines, assessments, strict=True)
        )


def _write(lines: Iterable[bytes]) -> None:
    try:
        sys.stdout.buffer.write(b"\n".join(lines) + b"\n")
        sys.stdout.buffer.flush()
    except OSError as error:  # a full disk or a reader that went away must not cost anybody an answer
        _log.error("predictions could not be logged: %s", error.strerror)

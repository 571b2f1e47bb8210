"""JSON lines in the names that Cloud Logging reads: every prediction on stdout, what went wrong on stderr."""

import asyncio
import logging
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pydantic_core import to_json

from wine_serving.bundle import Assessment
from wine_serving.call import Call
from wine_serving.schema import Wine

_log = logging.getLogger(__name__)


class PredictionLog:
    """One line for each predicted wine."""

    def __init__(self, project: str | None) -> None:
        self._trace_prefix = f"projects/{project}/traces/" if project else ""
        self._waiting: list[bytes] = []

    def write(self, call: Call, version: str, wines: Sequence[Wine], assessments: Sequence[Assessment]) -> None:
        """Write the lines of one call at once, from any thread."""
        _write(self._lines(call, version, wines, assessments))

    def write_soon(self, call: Call, version: str, wine: Wine, assessment: Assessment) -> None:
        """Write one line when the event loop comes round: after the answer, and together with those of other calls."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._write_waiting)
        self._waiting.extend(self._lines(call, version, [wine], [assessment]))

    def _write_waiting(self) -> None:
        lines, self._waiting = self._waiting, []
        _write(lines)

    def _lines(
        self, call: Call, version: str, wines: Sequence[Wine], assessments: Sequence[Assessment]
    ) -> Iterable[bytes]:
        head: dict[str, object] = {
            "time": datetime.now(UTC),
            "severity": "INFO",
            "message": "prediction",
            "request_id": call.id,
            "model_version": version,
            "latency": round(call.seconds(), 6),
        }
        if trace := call.trace():
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

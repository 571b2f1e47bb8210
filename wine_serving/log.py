"""The prediction log: one JSON line on stdout for each predicted wine, in the names that Cloud Logging reads."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic_core import to_json

from wine_serving.bundle import Assessment
from wine_serving.call import Call
from wine_serving.schema import Wine


class PredictionLog:
    """Writes each line at once, so that none is lost when the process ends."""

    def __init__(self, project: str | None) -> None:
        self._trace_prefix = f"projects/{project}/traces/" if project else ""

    def write(self, call: Call, version: str, wines: Sequence[Wine], assessments: Sequence[Assessment]) -> None:
        """One line for each wine of one call; `latency` in seconds since the call came in."""
        head: dict[str, object] = {
            "time": datetime.now(UTC).isoformat(),
            "severity": "INFO",
            "message": "prediction",
            "request_id": call.id,
            "model_version": version,
            "latency": round(call.seconds(), 6),
        }
        if trace := call.trace():
            head["logging.googleapis.com/trace"] = self._trace_prefix + trace.id
            head["logging.googleapis.com/spanId"] = trace.span
        lines = [
            to_json(head | {"input": wine.__dict__, "output": assessment})
            for wine, assessment in zip(wines, assessments, strict=True)
        ]
        sys.stdout.buffer.write(b"\n".join(lines) + b"\n")
        sys.stdout.buffer.flush()

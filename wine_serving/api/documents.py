"""How FastAPI documents the routes that take wines; they are answered before it is asked."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final

from fastapi import FastAPI

from wine_serving.api.answers import BatchPrediction, Explanation, Prediction, TablePrediction, documented
from wine_serving.api.body import BATCH_BYTES, MOST_PROBLEMS, PATIENCE, WINE_BYTES
from wine_serving.api.log import PURPOSES
from wine_serving.api.wines import XLSX
from wine_serving.schema import BATCH_LIMIT, EXAMPLES, INPUTS, SEGMENT, SEGMENTS, Asked, Batch
from wine_serving.tables import MAX_BYTES, MAX_ROWS

ABOUT: Final = (
    f"Bounds: one wine takes at most {WINE_BYTES // 1024} KB, a batch {BATCH_BYTES // 2**20} MB and {BATCH_LIMIT:,} "
    f"rows, a table {MAX_BYTES // 10**6} MB and {MAX_ROWS:,} rows. An answer tells at most {MOST_PROBLEMS} problems. "
    f"A body of which no byte comes for {PATIENCE:g} seconds is given up."
)


def _parameter(name: str, meaning: str, *values: str, place: str = "header") -> dict[str, Any]:
    schema = {"type": "string"} | ({"enum": [*values]} if values else {})
    return {"name": name, "in": place, "required": False, "description": meaning, "schema": schema}


HEADERS: Final = [
    _parameter(
        "X-Request-Id", "Your own id of this request (64 letters, digits, .:_-), which the answer and the log repeat."
    ),
    _parameter("X-Wine-Purpose", "Who asks, for the prediction log: `user` if nothing is said.", *PURPOSES),
    _parameter("X-Wine-Assumed", "The measurements that nobody took, separated by commas, for the prediction log."),
]
QUERY: Final = [
    _parameter(SEGMENT, "What all wines of the file are, where no column says.", *SEGMENTS, place="query"),
    *(_parameter(f"column.{name}", f"The file's column that holds {name}.", place="query") for name in INPUTS),
]
_ROWS: Final = (INPUTS, *(wine.values() for wine in EXAMPLES.values()))
_CSV: Final = "".join(",".join(map(str, row)) + "\n" for row in _ROWS)
_TABLE: Final = {
    "text/csv": {"schema": {"type": "string"}, "examples": {"both": {"value": _CSV}}},
    XLSX: {"schema": {"type": "string", "format": "binary"}},
}


def document(app: FastAPI, *, with_key: bool) -> None:
    """Tell FastAPI what these routes take and answer; they are answered before it is asked."""
    if with_key:
        app.openapi = cache(partial(_with_key, app.openapi))  # type: ignore[method-assign]

    async def predict(wine: Asked) -> Prediction:  # type: ignore[empty-body]
        """Score one wine: quality, 90 % interval, nearest grade, and how it is unlike the wines the model has seen."""

    async def predict_batch(batch: Batch) -> BatchPrediction:  # type: ignore[empty-body]
        """Score up to 10,000 wines, in order. One bad wine refuses the batch; the answer lists the first bad rows."""

    async def explain(wine: Asked) -> Explanation:  # type: ignore[empty-body]
        """Say how far each measurement moved the wine's score away from the typical score (Shapley values)."""

    async def predict_table() -> TablePrediction:  # type: ignore[empty-body]
        """Score a table as people have it, CSV or .xlsx: each row, or why it cannot be scored; up to 20,000 rows.

        With `Accept: text/csv` the same table comes back with the answers behind its own columns.
        """

    singles = {name: {"value": wine} for name, wine in EXAMPLES.items()}
    batch = {"both": {"value": {"wines": [*EXAMPLES.values()]}}}
    routes: tuple[tuple[Callable[..., Any], dict[str, Any], list[dict[str, Any]]], ...] = (
        (predict, {"content": {"application/json": {"examples": singles}}}, HEADERS),
        (predict_batch, {"content": {"application/json": {"examples": batch}}}, HEADERS),
        (explain, {"content": {"application/json": {"examples": singles}}}, HEADERS[:1]),
        (predict_table, {"required": True, "content": _TABLE}, [*QUERY, *HEADERS]),
    )
    for endpoint, body, parameters in routes:
        answers = documented(400, 401, 408, 413, 415, 422, 503)
        if endpoint is predict_table:
            answers[200] = {"content": {"text/csv": {}}}
        path = "/" + endpoint.__name__.replace("_", "/")
        app.post(path, responses=answers, openapi_extra={"requestBody": body, "parameters": parameters})(endpoint)


def _with_key(made: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The document of a service that has a key; made when it is asked for, as that takes a twentieth of a start."""
    key = {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}}
    document = made()
    return document | {"components": document["components"] | key, "security": [{"key": []}]}

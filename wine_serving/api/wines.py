"""The routes that take wines."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from wine_serving.api.answers import BatchPrediction, Explanation, Prediction, documented
from wine_serving.api.body import BodyRoute
from wine_serving.api.loading import Loader
from wine_serving.api.metrics import Metrics
from wine_serving.api.middleware import CALL
from wine_serving.predictions import PredictionLog
from wine_serving.schema import EXAMPLES, Batch, Wine


def add(app: FastAPI, loader: Loader, metrics: Metrics, log: PredictionLog | None) -> None:
    """Add them to the app itself: a router in between would take its time at every request."""

    async def predict(wine: Wine) -> Prediction:
        """Score one wine: quality, 90 % interval, nearest grade, and how it is unlike the wines the model has seen."""
        call, model = CALL.get(), loader.model
        assessment = model.assessor.one(wine)
        metrics.predicted(model.version, [assessment])
        if log:
            log.write_soon(call.origin(), model.version, wine, assessment)
        return {**assessment, "model_version": model.version, "request_id": call.id}

    def predict_batch(batch: Batch) -> BatchPrediction:
        """Score up to 10,000 wines, in order. One bad wine refuses the batch; the answer lists every bad row."""
        call, model = CALL.get(), loader.model
        assessments = model.assessor.each(batch.wines)
        metrics.predicted(model.version, assessments)
        if log:
            log.write(call.origin(), model.version, batch.wines, assessments)
        return {"predictions": assessments, "model_version": model.version, "request_id": call.id}

    def explain(wine: Wine) -> Explanation:
        """Say how far each measurement moved the wine's score away from the typical score (Shapley values)."""
        call, model = CALL.get(), loader.model
        score = model.bundle.score(wine)
        return {
            "quality": score,
            "typical": model.explainer.typical,
            "contributions": model.explainer.explain(wine, score),
            "model_version": model.version,
            "request_id": call.id,
        }

    singles = {name: {"value": wine} for name, wine in EXAMPLES.items()}
    batch = {"both": {"value": {"wines": [*EXAMPLES.values()]}}}
    endpoints: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "/predict": (predict, singles),
        "/predict/batch": (predict_batch, batch),
        "/explain": (explain, singles),
    }
    for path, (endpoint, examples) in endpoints.items():
        app.router.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            responses=documented(400, 401, 413, 415, 422, 503),
            route_class_override=BodyRoute,
            openapi_extra={"requestBody": {"content": {"application/json": {"examples": examples}}}},
        )

"""Floor A: FastAPI in its ordinary style, answering a constant: what the API answered before it told probabilities."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from wine_serving import assessing
from wine_serving.schema import BATCH_LIMIT, Wine
from wine_serving.told import typed_dict

Interval: Any = typed_dict(assessing.Interval)
Grade: Any = typed_dict(assessing.Grade)
Unusual: Any = typed_dict(assessing.Unusual)


class Assessment(TypedDict):
    """What is said of one wine."""

    quality: float
    interval: Interval
    grade: Grade
    warnings: list[Unusual]


class Prediction(Assessment):
    """And by which model."""

    model_version: str
    request_id: str


class Batch(BaseModel):
    """Many wines."""

    wines: list[Wine] = Field(min_length=1, max_length=BATCH_LIMIT)


class BatchPrediction(TypedDict):
    """What is said of each."""

    predictions: list[Assessment]
    model_version: str
    request_id: str


ASSESSMENT: Assessment = {
    "quality": 5.93,
    "interval": {"low": 4.86, "high": 7.0, "level": 0.9},
    "grade": {"value": 6, "share": 0.54},
    "warnings": [],
}

app = FastAPI()


@app.post("/predict")
async def predict(wine: Wine) -> Prediction:  # noqa: ARG001 - validated, and not looked at
    """Answer a constant."""
    return {**ASSESSMENT, "model_version": "v0", "request_id": "constant"}


@app.post("/predict/batch")
async def predict_batch(batch: Batch) -> BatchPrediction:
    """Answer a constant for each wine."""
    return {"predictions": [ASSESSMENT] * len(batch.wines), "model_version": "v0", "request_id": "constant"}

"""Floor A: FastAPI in its ordinary style with the API's own request and response models, answering a constant."""

from fastapi import FastAPI

from wine_serving.api.answers import BatchPrediction, Prediction
from wine_serving.assessing import Assessment
from wine_serving.schema import Batch, Wine

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

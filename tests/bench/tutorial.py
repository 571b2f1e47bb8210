"""The tutorial's way: FastAPI with a synchronous endpoint, a pickled random forest, and a data frame of one row."""

import os

import joblib
import pandas as pd
from fastapi import FastAPI

from wine_serving.schema import INPUTS, SEGMENTS, Wine

app = FastAPI()
forest = joblib.load(os.environ["BENCH_FOREST"])


@app.post("/predict")
def predict(wine: Wine) -> dict[str, float]:
    """Predict with scikit-learn."""
    row = wine.model_dump() | {"color": SEGMENTS.index(wine.color)}
    return {"quality": float(forest.predict(pd.DataFrame([row])[list(INPUTS)].to_numpy())[0])}

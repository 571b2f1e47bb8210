"""Made-up wines and a small real bundle trained on them, in a second: what most tests stand on."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import RandomForestRegressor

from wine_serving import bundle
from wine_serving.bundle import (
    Bundle,
    Calibration,
    DatasetRef,
    FeatureSpec,
    Golden,
    Metadata,
    Novelty,
    Preset,
    Reference,
)
from wine_serving.registry import DATASET, Record
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import FEATURES, INPUTS, MEASUREMENTS, SEGMENT, SEGMENTS, TARGET, encode_columns

CENTERS = {  # mean and standard deviation of each measurement, roughly as in Vinho Verde
    "fixed_acidity": (7.2, 0.8),
    "volatile_acidity": (0.34, 0.08),
    "citric_acid": (0.32, 0.06),
    "residual_sugar": (5.0, 1.2),
    "chlorides": (0.055, 0.01),
    "free_sulfur_dioxide": (30.0, 6.0),
    "total_sulfur_dioxide": (115.0, 20.0),
    "density": (0.9945, 0.001),
    "ph": (3.2, 0.1),
    "sulphates": (0.53, 0.08),
    "alcohol": (10.5, 0.8),
}


def made_up_wines(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Distinct wines with grades 3 to 9 that alcohol raises and volatile acidity lowers; the columns of a dataset."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame({name: random.normal(*CENTERS[name], rows).round(4) for name in MEASUREMENTS})
    table[SEGMENT] = np.where(np.arange(rows) % 4 == 0, "red", "white")
    signal = 5.8 + 0.6 * (table["alcohol"] - 10.5) - 3.0 * (table["volatile_acidity"] - 0.34)
    table[TARGET] = (signal + random.normal(0, 0.4, rows)).round().clip(3, 9).astype(int)
    return table.assign(n_rows=1, group=np.arange(rows), source="made up")


def publish_dataset(registry: FolderRegistry, directory: Path) -> Record:
    """Write made-up wines to `directory`, split as a dataset is, and publish them."""
    wines = made_up_wines(900)
    directory.mkdir()
    for name, part in {"train": wines[:500], "calibration": wines[500:700], "test": wines[700:]}.items():
        part.to_parquet(directory / f"{name}.parquet")
    facts = {"format": 2, "sources": {}, "split_seed": 0}
    (directory / "dataset.json").write_text(json.dumps(facts))
    (directory / "DATASET_CARD.md").write_text("# Made-up wines\n")
    return registry.publish(directory, DATASET, kind="dataset", metadata=facts)


def as_wines(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON objects that the API takes."""
    return table[list(INPUTS)].to_dict("records", into={})


def write_bundle(directory: Path, seed: int = 0, trees: int = 10, rows: int = 400) -> Bundle:
    """Train a small forest on made-up wines and write it to `directory` as a bundle."""
    table = made_up_wines(rows, seed)
    train, calibration = table.iloc[: rows * 3 // 4], table.iloc[rows * 3 // 4 :]
    forest = RandomForestRegressor(trees, min_samples_leaf=3, random_state=seed).fit(
        encode_columns(train), train[TARGET]
    )
    model = to_onnx(
        forest,
        initial_types=[("features", FloatTensorType([None, len(INPUTS)]))],
        final_types=[("quality", FloatTensorType([None, 1]))],
    )
    return bundle.write_bundle(
        directory,
        model.SerializeToString(),
        _metadata(forest, train, calibration),
        _reference(forest, train),
        card="# A small forest\n\nTrained on made-up wines.\n",
        dataset_card="# Made-up wines\n",
    )


def by_segment(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The wines of each segment."""
    return {segment: table[table[SEGMENT] == segment] for segment in SEGMENTS}


def _metadata(forest: RandomForestRegressor, train: pd.DataFrame, calibration: pd.DataFrame) -> Metadata:
    residuals, half_width = {}, {}
    for segment, part in by_segment(calibration).items():
        errors = np.sort(part[TARGET].to_numpy() - forest.predict(encode_columns(part)))
        residuals[segment] = errors.tolist()
        k = int(np.ceil(0.9 * (len(errors) + 1)))
        half_width[segment] = float(np.sort(np.abs(errors))[k - 1])
    return Metadata(
        features=[
            FeatureSpec(name=f.name, unit=f.unit, minimum=train[f.name].min(), maximum=train[f.name].max())
            for f in FEATURES
        ],
        inputs=list(INPUTS),
        segments=list(SEGMENTS),
        target=TARGET,
        estimator="random_forest",
        hyperparameters={"n_estimators": forest.n_estimators, "min_samples_leaf": 3},
        parameters={"seed": forest.random_state},
        cross_validation={"rmse": {"mean": 0.5, "sd": 0.05}},
        calibration=Calibration(level=0.9, residuals=residuals, half_width=half_width),
        dataset=DatasetRef(name="wine-quality-data", digest="0" * 64, sources={"made-up.csv": "1" * 64}),
        packages={"scikit-learn": sklearn.__version__},
    )


def _reference(forest: RandomForestRegressor, train: pd.DataFrame) -> Reference:
    golden, background = train.iloc[:8], train.sample(100, random_state=0)
    scores = forest.predict(encode_columns(golden))
    parts = by_segment(train)
    return Reference(
        golden=[Golden(wine=wine, quality=score) for wine, score in zip(as_wines(golden), scores, strict=True)],
        background=encode_columns(background).tolist(),
        typical_score=float(forest.predict(encode_columns(background)).mean()),
        presets=[
            Preset(
                name=f"typical-{segment}",
                label=f"A typical {segment}",
                wine=as_wines(part)[0],
                quality=part[TARGET].iloc[0],
            )
            for segment, part in parts.items()
        ],
        distribution={segment: Counter(part[TARGET].tolist()) for segment, part in parts.items()},
        typical={segment: {name: part[name].median() for name in MEASUREMENTS} for segment, part in parts.items()},
        usual={segment: _between(part, 0.05, 0.95) for segment, part in parts.items()},
        ranges={segment: _between(part, 0, 1) for segment, part in parts.items()},
        novelty={segment: _novelty(part[list(MEASUREMENTS)].to_numpy()) for segment, part in parts.items()},
    )


def _between(wines: pd.DataFrame, low: float, high: float) -> dict[str, tuple[float, float]]:
    return {name: (float(wines[name].quantile(low)), float(wines[name].quantile(high))) for name in MEASUREMENTS}


def _novelty(values: np.ndarray) -> Novelty:
    center, precision = values.mean(0), np.linalg.inv(np.cov(values.T))
    distances = np.einsum("ni,ij,nj->n", values - center, precision, values - center)
    return Novelty(center=center.tolist(), precision=precision.tolist(), threshold=float(np.quantile(distances, 0.995)))

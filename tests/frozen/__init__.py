"""What the first version of this project answered, and a registry that it made: later versions are held against both.

registry.tar.xz   made by `make pipeline PROFILE=quick`, then training with another seed and its evaluation
answers.npz       what `/predict` said, with that registry's production, to the wines below; a column for each field
"""

import tarfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from tests import tiny
from wine_serving.schema import FEATURES, INPUTS, MEASUREMENTS, SEGMENTS

HERE: Final = Path(__file__).parent
ANSWERS: Final = HERE / "answers.npz"
RANDOM_WINES: Final = 100_000
MARKS: Final = (*MEASUREMENTS, None)  # what a warning may be about: one bit each


def unpack_registry(place: Path) -> Path:
    """The kept registry, in a folder below `place`."""
    with tarfile.open(HERE / "registry.tar.xz") as packed:
        packed.extractall(place, filter="data")
    return place / "registry"


def frozen_wines(registry: Path) -> list[dict[str, Any]]:
    """All distinct wines of the registry's dataset, then as many random ones: half near those, half anywhere."""
    dataset = registry / "wine-quality-data" / "v0"
    known = pd.concat(pd.read_parquet(dataset / f"{name}.parquet") for name in ("train", "calibration", "test"))
    known = known[list(INPUTS)].reset_index(drop=True)
    random = np.random.default_rng(2026)
    near = known.sample(RANDOM_WINES // 2, replace=True, random_state=2026, ignore_index=True)
    spread = known[list(MEASUREMENTS)].std()
    anywhere = pd.DataFrame(index=range(RANDOM_WINES - len(near)))
    for feature in FEATURES:
        jitter = random.normal(0, 0.3 * spread[feature.name], len(near))
        near[feature.name] = (near[feature.name] + jitter).clip(feature.minimum, feature.maximum)
        anywhere[feature.name] = random.uniform(feature.minimum, feature.maximum, len(anywhere))
    anywhere["color"] = random.choice(SEGMENTS, len(anywhere))
    wines = pd.concat([known, near, anywhere], ignore_index=True)
    wines[list(MEASUREMENTS)] = wines[list(MEASUREMENTS)].round(4)
    wines["free_sulfur_dioxide"] = wines[["free_sulfur_dioxide", "total_sulfur_dioxide"]].min(axis=1)
    return tiny.as_wines(wines)


def as_columns(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """The answers as arrays of shape (n,): numbers as they are, `warnings` as bits in the order of MARKS."""
    bits = {field: 1 << place for place, field in enumerate(MARKS)}
    return {
        "quality": np.array([each["quality"] for each in answers], np.float32),
        "half_width": np.array(
            [(each["interval"]["high"] - each["interval"]["low"]) / 2 for each in answers], np.float32
        ),
        "grade": np.array([each["grade"]["value"] for each in answers], np.int8),
        "share": np.array([round(1000 * each["grade"]["share"]) for each in answers], np.int16),
        "warnings": np.array([sum(bits[one["field"]] for one in each["warnings"]) for each in answers], np.int16),
    }

"""How a model is packed: a directory with the ONNX file and everything that is needed to trust and explain it.

model.onnx        input "features", float32, shape (n, len(INPUTS)); output "quality", float32, shape (n, 1)
metadata.json     what determines the model (`Metadata`)
reference.json    what it is compared with (`Reference`), from training wines only
out_of_fold.json  what it says of training wines when not fitted on them (`OutOfFold`); serving never opens it
MODEL_CARD.md     for people
DATASET_CARD.md   of the dataset that the model was trained on
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from wine_serving.errors import BundleError
from wine_serving.schema import FEATURES, INPUTS, SEGMENTS, TARGET, Wine, encode

_log = logging.getLogger(__name__)
FORMAT: Final = 2
MANY: Final = 64  # wines that are worth being put in order before they are scored
GOLDEN_TOLERANCE: Final = 1e-3  # quality points; platforms differ by about 1e-5, a wrong input order by tenths
MODEL_FILE: Final = "model.onnx"
METADATA_FILE: Final = "metadata.json"
REFERENCE_FILE: Final = "reference.json"
OUT_OF_FOLD_FILE: Final = "out_of_fold.json"
CARD_FILE: Final = "MODEL_CARD.md"
DATASET_CARD_FILE: Final = "DATASET_CARD.md"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


PartT = TypeVar("PartT", bound=_Part)


class FeatureSpec(_Part):
    """One measurement as the model was trained on it."""

    name: str
    unit: str
    minimum: float
    maximum: float


class Calibration(_Part):
    """Split-conformal calibration (Papadopoulos et al. 2002; Lei et al. 2018), separately for each segment.

    `residuals`: actual minus predicted on the calibration split, ascending. `half_width`: the ⌈level·(n+1)⌉-th smallest
    absolute residual, so that score ± half_width covers a new wine with probability `level` at least.
    """

    level: float
    residuals: dict[str, list[float]]
    half_width: dict[str, float]


class DatasetRef(_Part):
    """The dataset version that the model was trained on, by content; and the files that it was made from."""

    name: str
    digest: str
    sources: dict[str, str] = {}  # file → SHA-256; of models from before it was kept there is none


class Recipe(_Part):
    """All that fits the model again: what `recipes.recipe` takes, and the text of `recipes.derive` at training."""

    estimator: str
    parameters: dict[str, Any]
    seed: int
    derived: str


class Metadata(_Part):
    """What determines the model; nothing here varies between two runs of the same thing on one platform."""

    format: Literal[1, 2] = FORMAT
    features: list[FeatureSpec]
    inputs: list[str]
    segments: list[str]
    target: str
    recipe: Recipe | None = None  # since format 2
    estimator: str
    hyperparameters: dict[str, Any]
    parameters: dict[str, Any]  # of the training notebook, as far as they determine the model
    cross_validation: dict[str, Any]
    calibration: Calibration
    dataset: DatasetRef
    packages: dict[str, str]


class OutOfFold(_Part):
    """Fold and prediction of each training wine, in the dataset's order, by models that saw no wine of its fold."""

    split_seed: int
    fold: list[int]
    quality: list[float]

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """Of the bundle in `directory`; None where its format is from before there were any."""
        path = directory / OUT_OF_FOLD_FILE
        return _read(path, cls) if path.exists() else None

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if len(self.fold) != len(self.quality):
            raise ValueError(f"there are {len(self.fold)} folds and {len(self.quality)} predictions")
        return self


class Golden(_Part):
    """A training wine and what the fitted estimator (not the exported file) says of it."""

    wine: dict[str, Any]
    quality: float


class Preset(_Part):
    """A real wine to start from: its name in links, its label, its measurements and the tasters' grade."""

    name: str
    label: str
    wine: dict[str, Any]
    quality: float  # the median of several tastings may lie between two grades


class Novelty(_Part):
    """When a combination of measurements is unlike the training wines: squared Mahalanobis distance above `threshold`.

    `center`: shape (11,), `precision`: shape (11, 11), over the measurements of one segment, in their units.
    """

    center: list[float]
    precision: list[list[float]]
    threshold: float


class Reference(_Part):
    """What the model is compared with; from training wines only."""

    golden: list[Golden]
    background: list[list[float]]  # encoded wines, shape (100, len(INPUTS)), for explanations
    typical_score: float  # mean prediction over the background
    presets: list[Preset]
    distribution: dict[str, dict[int, int]]  # segment → grade → number of wines
    typical: dict[str, dict[str, float]]  # segment → measurement → median
    usual: dict[str, dict[str, tuple[float, float]]]  # segment → measurement → 5 % and 95 % quantile
    ranges: dict[str, dict[str, tuple[float, float]]]  # segment → measurement → smallest, largest
    novelty: dict[str, Novelty]


@dataclass(frozen=True)
class Bundle:
    """A loaded model with what is needed to trust it. The API serves with it and the evaluation judges with it."""

    directory: Path
    session: onnxruntime.InferenceSession
    metadata: Metadata
    reference: Reference

    @classmethod
    def load(cls, directory: Path) -> Self:
        """The bundle in `directory`, or a BundleError: unreadable, or made for another feature contract."""
        metadata = _read(directory / METADATA_FILE, Metadata)
        reference = _read(directory / REFERENCE_FILE, Reference)
        _check_contract(directory, metadata)
        return cls(directory, _open_session(directory / MODEL_FILE), metadata, reference)

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Quality for encoded wines of shape (n, len(INPUTS)); shape (n,)."""
        if len(rows) < MANY:
            return self._scored(rows)
        # Wines that are alike take the same turns in most trees, and a processor foresees the turns that it has just
        # seen: beside each other they take four fifths of the time. What is said of each is the same.
        order, quality = rows[:, self._followed].argsort(), np.empty(len(rows), np.float32)
        quality[order] = self._scored(rows[order])
        return quality

    def _scored(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        quality: NDArray[np.float32] = self.session.run(None, {"features": rows})[0]
        return quality.reshape(-1)

    @cached_property
    def _followed(self) -> int:
        """The input that the score follows most closely among the background's wines."""
        wines = np.array(self.reference.background, np.float32)
        moves = np.column_stack([wines, self._scored(wines)])
        moves -= moves.mean(axis=0)
        spread = np.sqrt((moves**2).sum(axis=0))
        return int(np.abs(moves[:, :-1].T @ moves[:, -1] / np.where(spread, spread, 1)[:-1]).argmax())

    def score(self, wine: Wine) -> float:
        """Quality of one wine."""
        return float(self.predict(np.array([encode(wine)], dtype=np.float32))[0])

    @cached_property
    def _golden_rows(self) -> NDArray[np.float32]:
        wines = [Wine.model_validate(golden.wine) for golden in self.reference.golden]
        return np.array([encode(wine) for wine in wines], dtype=np.float32)

    def check_golden(self) -> None:
        """Predict the golden wines; a BundleError names the first that the model does not answer as recorded."""
        scores = self.predict(self._golden_rows)
        for number, (golden, score) in enumerate(zip(self.reference.golden, scores, strict=True)):
            if not abs(float(score) - golden.quality) <= GOLDEN_TOLERANCE:
                raise BundleError(
                    f"golden wine {number} scores {score:.4f} where {golden.quality:.4f} was recorded at training: "
                    f"the model in {self.directory} is not the one that was judged; publish or promote another version"
                )


def write_bundle(
    directory: Path,
    model: bytes,
    metadata: Metadata,
    reference: Reference,
    card: str,
    dataset_card: str,
    *,
    out_of_fold: OutOfFold | None = None,
) -> Bundle:
    """Write a bundle to `directory`; it comes back loaded, with its golden wines answered. `model`: the ONNX file."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MODEL_FILE).write_bytes(model)
    texts = {
        METADATA_FILE: metadata.model_dump_json(indent=1),
        REFERENCE_FILE: reference.model_dump_json(indent=1),
        CARD_FILE: card,
        DATASET_CARD_FILE: dataset_card,
    }
    if out_of_fold is not None:
        texts[OUT_OF_FOLD_FILE] = out_of_fold.model_dump_json()
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
    bundle = Bundle.load(directory)
    bundle.check_golden()
    return bundle


def _read(path: Path, model: type[PartT]) -> PartT:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}; fetch the bundle again") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BundleError(
            f"{path} does not fit a format (1 to {FORMAT}) of this code in {where} ({first['type']}); "
            "train again with this version of the project, or serve with the version that trained it"
        ) from None


def _check_contract(directory: Path, metadata: Metadata) -> None:
    expected: Mapping[str, object] = {"inputs": list(INPUTS), "segments": list(SEGMENTS), "target": TARGET}
    units = {feature.name: feature.unit for feature in FEATURES}
    differing = [name for name, value in expected.items() if getattr(metadata, name) != value]
    if {spec.name: spec.unit for spec in metadata.features} != units:
        differing.append("features")
    if differing:
        raise BundleError(
            f"the bundle in {directory} was made for another feature contract (its {', '.join(differing)} differ): "
            "train again"
        )


def _open_session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a container limited to one CPU still sees the host's cores
    options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime raises its own classes, RuntimeError and ValueError alike
        _log.error("onnxruntime: %s", error)
        raise BundleError(f"{path} is no model that onnxruntime can load: fetch the bundle again") from None
    shapes = [(port.name, port.type, port.shape[1:]) for port in (*session.get_inputs(), *session.get_outputs())]
    if shapes != [("features", "tensor(float)", [len(INPUTS)]), ("quality", "tensor(float)", [1])]:
        raise BundleError(f"{path} has inputs and outputs {shapes}, not the ones of this feature contract: train again")
    return session

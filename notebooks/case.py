"""What is judged: a candidate beside whom it is compared with, on the wines that can tell the two apart."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import onnxruntime
import pandas as pd
import probabilities
from export_onnx import export
from numpy.typing import NDArray
from recipes import refit
from resampling import Bootstrap, Estimate, Floats, rmse_difference
from splits import grade_of

from wine_serving.assessing import GOOD
from wine_serving.bundle import Bundle, Metadata
from wine_serving.errors import BundleError
from wine_serving.schema import SEGMENT, SEGMENTS, TARGET, encode_columns
from wine_serving.verdict import METRIC_NAMES, Metric

ALL: Final = "all wines"
BANDS: Final = {  # of grades: the extreme ones are too rare to stand alone
    "grade 4 and less": (0, 4),
    "grade 5": (5, 5),
    "grade 6": (6, 6),
    "grade 7": (7, 7),
    "grade 8 and more": (8, 10),
}
COLORS: Final = {f"{segment} wines": segment for segment in SEGMENTS}
OWN: Final = ("candidate", "mean", "ridge")  # roles that no test wine is known to
Mask = NDArray[np.bool_]
LOW: Final = 5.0  # scores below are rare
HIGH: Final = 6.5  # as are those from here on
GREAT: Final = 8  # and grades from here on
FEW: Final = 20  # test wines: of fewer nothing is said
SAME: Final = 1e-3  # score points; platforms differ by a thousandth of it


@dataclass(frozen=True)
class Case:
    """What is judged: the candidate beside whom it is compared with, on the test wines of its dataset.

    Roles are "candidate", "mean", "ridge", "production" where there is one to compare with, and any other name for a
    version that was promoted before. A candidate that cannot be loaded has no predictions, and the mean stands for it
    wherever something is drawn.
    """

    bundles: Mapping[str, Bundle]
    defect: str  # why the candidate cannot be served; empty when it can
    untraced: str  # why its record does not lead to the dataset that it was made from; empty when it does
    splits: Mapping[str, pd.DataFrame]  # of the candidate's dataset
    unseen: Mask  # the test wines that no other version was trained or calibrated on: those it is compared on
    predictions: Mapping[str, Floats]  # of the test wines
    resamples: Bootstrap  # of the test wines
    rival: str  # the role that it is compared with first: production, or else a straight line
    incomparable: str  # why nothing follows from that comparison, and the remedy; empty when it does
    best: str | None  # the role that did best among other versions that were promoted on this split
    out_of_fold: pd.DataFrame | None  # of training wines: group, quality, predictions by role; None without any
    look: int  # how many candidates this production has been compared with on this split, this one included
    trials: int  # how many settings the search tried that found the candidate
    bounds: Mapping[str, Any]  # the evaluation's parameters

    @property
    def test(self) -> pd.DataFrame:
        """The test wines."""
        return self.splits["test"]

    @property
    def judged(self) -> str:
        """The role that is judged."""
        return "candidate" if "candidate" in self.predictions else "mean"

    @property
    def candidate(self) -> Bundle:
        """The bundle that is judged."""
        return self.bundles["candidate"]

    @cached_property
    def slices(self) -> dict[str, Mask]:
        """Which test wines belong to a slice: all, those of a colour, those of a band of grades; none is empty."""
        grade = pd.Series(grade_of(self.test[TARGET]))
        masks = {ALL: np.full(len(self.test), True)}
        masks |= {name: (self.test[SEGMENT] == color).to_numpy() for name, color in COLORS.items()}
        masks |= {name: grade.between(*ends).to_numpy() for name, ends in BANDS.items()}
        return {name: rows for name, rows in masks.items() if rows.any()}

    @cached_property
    def of_training(self) -> Bootstrap:
        """Resamples of the training wines."""
        return Bootstrap(self.splits["train"]["group"], self.resamples.n, self.resamples.seed)

    def wines(self, other: str, part: str = ALL) -> Mask:
        """Which wines of a slice a comparison with `other` is about: those that it has not seen."""
        return self.slices[part] & (self.unseen if other not in OWN else True)

    @cached_property
    def _known(self) -> dict[tuple[str, bytes], dict[str, Floats]]:
        return {}

    def samples(self, role: str, rows: Mask) -> dict[str, Floats]:
        """Each metric of a role on some wines, as it is and for every resample; coverage where there are intervals."""
        if (role, rows.tobytes()) not in self._known:
            actual = self.test[TARGET].to_numpy(float)
            found = self.resamples.metrics(actual, self.predictions[role], rows)
            if bundle := self.bundles.get(role):
                reach = self.test[SEGMENT].map(bundle.metadata.calibration.half_width).to_numpy()
                inside = np.abs(actual - self.predictions[role]) <= reach
                found["coverage"] = self.resamples.means(inside, rows)
            self._known[role, rows.tobytes()] = found
        return self._known[role, rows.tobytes()]

    def measure(self, role: str, part: str = ALL, only: Collection[str] = METRIC_NAMES) -> dict[str, Metric]:
        """The metrics of a role on those wines of a slice that it has not seen, each with its interval."""
        rows = self.wines(role, part)
        samples = self.samples(role, rows) if rows.any() else {}
        return {name: self.resamples.measured(name, samples[name], rows) for name in only if name in samples}

    def trust(self, role: str) -> dict[str, Metric]:
        """How far a reader may trust what a role says of a wine: where scores are rare, and its probabilities."""
        wines, bundle = self.wines(role), self.bundles.get(role)
        if bundle is None or not wines.any():
            return {}
        return self._where_scores_are_rare(role, bundle, wines) | self._probabilities(bundle, wines)

    def _where_scores_are_rare(self, role: str, bundle: Bundle, wines: Mask) -> dict[str, Metric]:
        actual, score = self.test[TARGET].to_numpy(float), self.predictions[role]
        inside = np.abs(actual - score) <= self.test[SEGMENT].map(bundle.metadata.calibration.half_width).to_numpy()
        asked = {
            "coverage_scored_low": (inside, wines & (score < LOW)),
            "coverage_scored_high": (inside, wines & (score >= HIGH)),
            "great_scored_below_7": (score < GOOD, wines & (grade_of(actual) >= GREAT)),
        }
        return {
            name: self.resamples.share(self.resamples.means(hits, rows), rows)
            for name, (hits, rows) in asked.items()
            if rows.sum() >= FEW
        }

    def _probabilities(self, bundle: Bundle, wines: Mask) -> dict[str, Metric]:
        said = {
            "rps": probabilities.of_wines(bundle, self.test),
            "rps_climatology": probabilities.climatology(self.splits["train"], self.test),
        }
        samples = {
            name: self.resamples.means(probabilities.ranked_probability_scores(each, self.test[TARGET]), wines)
            for name, each in said.items()
        }
        samples["rps_skill"] = 1 - samples["rps"] / samples["rps_climatology"]
        return {name: self.resamples.interval(each) for name, each in samples.items()}

    def difference(self, other: str, part: str = ALL, metric: str = "rmse") -> Metric | None:
        """The paired difference of a metric, of who is judged minus `other`; None where both have no wine unseen."""
        rows = self.wines(other, part)
        if not rows.any():
            return None
        ours, theirs = (self.samples(role, rows)[metric] for role in (self.judged, other))
        return self.resamples.interval(ours - theirs)

    @cached_property
    def reproduction(self) -> tuple[float | None, str]:
        """How far the candidate is, at most, from its recipe fitted again; or None, and why it cannot be fitted."""
        wines = encode_columns(pd.concat(self.splits.values()))
        try:
            again = exported(self.candidate.metadata, self.splits["train"])
        except BundleError as error:
            return None, str(error)
        return float(np.abs(again(wines) - self.candidate.predict(wines)).max()), ""

    @property
    def reproduced(self) -> bool:
        """Whether its recipe, fitted again, says the same of every wine."""
        apart, _ = self.reproduction
        return apart is not None and apart <= SAME

    def gain(self, other: str) -> tuple[Estimate, str]:
        """The RMSE minus that of `other` on all wines that neither was fitted on, and which wines these are."""
        rows, name = self.wines(other), "test wines alone, as no folds are shared"
        actual = self.test[TARGET].to_numpy(float)[rows]
        errors = [actual - self.predictions[role][rows] for role in (self.judged, other)]
        groups = self.test["group"].to_numpy()[rows]
        if self.out_of_fold is not None and other in self.out_of_fold and self.reproduced:
            held_out, name = self.out_of_fold.dropna(subset=[other]), "test wines and out-of-fold predictions"
            more = [held_out[TARGET] - held_out[role] for role in ("candidate", other)]
            errors = [np.concatenate(pair) for pair in zip(errors, more, strict=True)]
            groups = np.concatenate([groups, held_out["group"]])
        return rmse_difference(errors[0], errors[1], groups), f"{len(groups)} wines: {name}"


def exported(
    metadata: Metadata, train: pd.DataFrame, seed: int | None = None
) -> Callable[[NDArray[np.float32]], Floats]:
    """The recipe that a bundle names, fitted again and exported: encoded wines to quality; BundleError if it cannot."""
    model = export(refit(metadata, train, seed)).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {"features": rows})[0].reshape(-1).astype(float)

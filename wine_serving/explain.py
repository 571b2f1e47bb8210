"""Why a wine scores as it does: one signed contribution for each measurement, in score points."""

from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from wine_serving.bundle import Bundle
from wine_serving.schema import INPUTS, Wine, encode

PAIRS: Final = 4  # permutations, each walked forwards and backwards


class Contribution(TypedDict):
    """How far one measurement moved the score away from the typical score."""

    field: str
    value: float | str
    contribution: float


class Explainer:
    """Shapley values of a model's inputs by antithetic permutation sampling.

    Inputs that are not yet "known" take the values of the background wines (interventional Shapley values, Strumbelj &
    Kononenko 2014). Along a random order of inputs each becomes known in turn; the change of the mean prediction is its
    contribution, averaged over PAIRS orders and their reverses (Mitchell, Cooper, Frank & Holmes 2022). The orders are
    drawn once from a fixed seed, so that a wine is always explained alike. Contributions sum to the score minus
    `typical`, the mean score of the background.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._background = np.array(bundle.reference.background, dtype=np.float32)
        self.typical = float(bundle.predict(self._background).mean(dtype=np.float64))

    @cached_property  # numpy's generators take memory and start-up time, and most services are never asked to explain
    def _orders(self) -> list[NDArray[np.intp]]:
        random = np.random.default_rng(0)
        forwards = [random.permutation(len(INPUTS)) for _ in range(PAIRS)]
        return [order for forward in forwards for order in (forward, forward[::-1])]

    def explain(self, wine: Wine, score: float) -> list[Contribution]:
        """The contributions of the inputs to `score` (of that wine), in the order of INPUTS, in score points."""
        row = np.array(encode(wine), dtype=np.float32)
        totals = np.zeros(len(INPUTS))
        for order in self._orders:
            totals[order] += np.diff(self._walk(row, order), prepend=self.typical, append=score)
        values = totals / len(self._orders)
        return [
            {"field": name, "value": getattr(wine, name), "contribution": value}
            for name, value in zip(INPUTS, values.tolist(), strict=True)
        ]

    def _walk(self, row: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Mean predictions while the inputs become known in `order`, without both ends; shape (len(INPUTS) - 1,)."""
        steps = np.repeat(self._background[None], len(INPUTS) - 1, axis=0)
        for number, column in enumerate(order[:-1]):
            steps[number:, :, column] = row[column]
        scores = self._bundle.predict(steps.reshape(-1, len(INPUTS)))
        means: np.ndarray = scores.reshape(len(INPUTS) - 1, -1).mean(axis=1, dtype=np.float64)
        return means

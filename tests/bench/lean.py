"""Ours without the probabilities and ids that floor A does not tell: what they cost on top is the difference.

What is left out is made all the same, and taking it out costs a little, so the difference is rather too small.
"""

from collections.abc import Sequence

import msgspec

from wine_serving.api import wines
from wine_serving.app import create_app
from wine_serving.assessing import Assessment, Grade, Interval, Unusual
from wine_serving.settings import Settings


class Lean(msgspec.Struct, gc=False):
    """What is said of one wine, as floor A says it."""

    quality: float
    interval: Interval
    grade: Grade
    warnings: Sequence[Unusual]


_encode = msgspec.json.Encoder().encode


def _lean(told: object) -> bytes:
    if isinstance(told, Assessment):
        told = Lean(told.quality, told.interval, told.grade, told.warnings)
    return _encode(told)


wines.encode = _lean  # type: ignore[attr-defined]
app = create_app(Settings.from_environment())

"""The model bundle: what it answers, and what it refuses to load."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import tiny
from wine_serving.bundle import CARD_FILE, DATASET_CARD_FILE, MANY, MODEL_FILE, Bundle, write_bundle
from wine_serving.errors import BundleError
from wine_serving.schema import encode_columns


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.load(tiny_bundle)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_golden_wines_of_an_untouched_bundle_are_answered(bundle: Bundle) -> None:
    """The exported model says what the fitted estimator said."""
    bundle.check_golden()


@pytest.mark.parametrize("count", [0, 1, MANY - 1, MANY, 1000])
def test_each_wine_is_scored_as_it_would_be_alone(bundle: Bundle, count: int) -> None:
    """In the order in which they came, whatever order they are scored in, and to the last bit."""
    rows = encode_columns(tiny.made_up_wines(1000, seed=5))[:count]
    alone = [bundle.session.run(None, {"features": row[None]})[0].item() for row in rows]
    assert bundle.predict(rows).tolist() == alone


def test_other_model_behind_the_same_record_fails_its_golden_wines(bundle_copy: Path, tmp_path: Path) -> None:
    """A model file swapped for another is found out by the golden wines."""
    tiny.write_bundle(tmp_path / "other", seed=1)
    (tmp_path / "other" / "model.onnx").replace(bundle_copy / "model.onnx")
    with pytest.raises(BundleError, match="golden wine 0 scores"):
        Bundle.load(bundle_copy).check_golden()


SPOILERS = {
    "truncated model": (
        lambda d: (d / "model.onnx").write_bytes((d / "model.onnx").read_bytes()[:1000]),
        "no model that onnxruntime",
    ),
    "no model": (lambda d: (d / "model.onnx").unlink(), "no model that onnxruntime"),
    "no metadata": (lambda d: (d / "metadata.json").unlink(), "metadata.json cannot be read"),
    "truncated reference": (lambda d: (d / "reference.json").write_text("{"), "reference.json does not fit a format"),
    "other format": (lambda d: edit(d / "metadata.json", format=3), "does not fit a format .1 to 2. of this code"),
    "other inputs": (lambda d: edit(d / "metadata.json", inputs=["alcohol"]), "another feature contract"),
    "other segments": (lambda d: edit(d / "metadata.json", segments=["white", "red"]), "another feature contract"),
}


@pytest.mark.parametrize(("spoil", "sentence"), SPOILERS.values(), ids=SPOILERS)
def test_spoiled_bundle_is_refused_with_a_reason(
    bundle_copy: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    """A corrupted, truncated or incompatible bundle is never served."""
    spoil(bundle_copy)
    with pytest.raises(BundleError, match=sentence):
        Bundle.load(bundle_copy)


def test_bundle_that_is_written_is_the_one_that_is_read(bundle: Bundle, tmp_path: Path) -> None:
    """Byte for byte; it comes back loaded."""
    files = {path.name: path.read_bytes() for path in bundle.directory.iterdir()}
    cards = [files[name].decode() for name in (CARD_FILE, DATASET_CARD_FILE)]
    again = write_bundle(tmp_path / "again", files[MODEL_FILE], bundle.metadata, bundle.reference, *cards)
    assert {path.name: path.read_bytes() for path in again.directory.iterdir()} == files


def test_model_that_says_something_else_is_not_written_unseen(bundle: Bundle, tmp_path: Path) -> None:
    """A bundle's golden wines are answered before anybody is given it."""
    other = tiny.write_bundle(tmp_path / "other", seed=1)
    model = (other.directory / MODEL_FILE).read_bytes()
    with pytest.raises(BundleError, match="golden wine"):
        write_bundle(tmp_path / "mixed", model, bundle.metadata, bundle.reference, "# A card\n", "# A card\n")

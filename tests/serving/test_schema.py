"""The feature contract."""

import json
import math
import re
import tokenize
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests import tiny
from tests.conftest import ROOT
from wine_serving import schema
from wine_serving.errors import ContractError
from wine_serving.schema import (
    FEATURES,
    INPUTS,
    MEASUREMENTS,
    SEGMENT,
    SEGMENTS,
    Feature,
    Wine,
    possible,
    refusals,
)

GOOD = tiny.as_wines(tiny.made_up_wines(1))[0]
NAMES_MEASUREMENTS = {"schema.py", "oenology.py", "units.py"}  # what is about wine, and nothing else

BAD_WINES = {
    "alcohol in words": ({"alcohol": "strong"}, "alcohol must be a number, not 'strong'"),
    "a number in quotes": ({"alcohol": "10.5"}, "alcohol must be a number, not '10.5'"),
    "true for a number": ({"alcohol": True}, "alcohol must be a number, not True"),
    "nothing for a number": ({"alcohol": None}, "alcohol must be a number, not None"),
    "negative acidity": ({"fixed_acidity": -1.0}, "fixed_acidity must be at least 0 g/L as tartaric acid, but is -1"),
    "density in kg/m³": ({"density": 994.0}, "density must be at most 1.2 g/mL, but is 994"),
    "not a number": ({"ph": math.nan}, "ph must be a finite number"),
    "infinite": ({"ph": math.inf}, "ph must be a finite number"),
    "unknown colour": ({"color": "rosé"}, "color must be 'red' or 'white', not 'rosé'"),
    "unknown field": ({"price": 9.0}, "price is not a known field"),
    "more free than total": (
        {"free_sulfur_dioxide": 50.0, "total_sulfur_dioxide": 30.0},
        "free_sulfur_dioxide (50.0) is above total_sulfur_dioxide (30.0)",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), BAD_WINES.values(), ids=BAD_WINES)
def test_bad_wine_is_refused_with_a_sentence_that_names_the_field(change: dict[str, object], sentence: str) -> None:
    """Nothing is coerced, clipped or dropped: each broken rule is said."""
    with pytest.raises(ValidationError) as refused:
        Wine.model_validate(GOOD | change)
    assert schema.problems(refused.value)[0].message.startswith(sentence)


@pytest.mark.parametrize("name", INPUTS)
def test_missing_field_is_named(name: str) -> None:
    """A wine without one of its fields is refused, and the answer names it."""
    with pytest.raises(ValidationError) as refused:
        Wine.model_validate({key: value for key, value in GOOD.items() if key != name})
    assert schema.problems(refused.value) == [(None, name, f"{name} is missing")]


wines = st.fixed_dictionaries(
    {feature.name: st.floats(feature.minimum, feature.maximum) for feature in FEATURES}
    | {"color": st.sampled_from(SEGMENTS)}
).filter(lambda wine: wine["free_sulfur_dioxide"] <= wine["total_sulfur_dioxide"])


@given(wines)
def test_possible_wine_is_encoded_in_the_order_of_the_inputs(wine: dict[str, float]) -> None:
    """Every wine within the bounds is accepted unchanged, and its input row keeps the contract's order."""
    row = schema.encode(Wine.model_validate_json(json.dumps(wine)))
    assert row == (*(wine[feature.name] for feature in FEATURES), SEGMENTS.index(wine["color"]))


@given(st.lists(wines, min_size=1, max_size=10))
def test_columns_are_encoded_as_each_wine_is(wines: list[dict[str, float]]) -> None:
    """There is one encoding: by columns it gives the rows that wines give one by one, in single precision."""
    rows = [schema.encode(Wine.model_validate(wine)) for wine in wines]
    columns = {name: [wine[name] for wine in wines] for name in INPUTS}
    encoded = schema.encode_columns(columns)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, np.array(rows, dtype=np.float32))
    np.testing.assert_array_equal(schema.encode_columns(pd.DataFrame(wines)), encoded)


def test_column_with_an_unknown_segment_is_refused() -> None:
    """Its row is no row of another segment."""
    table = tiny.made_up_wines(5).assign(color=["red", "white", "rosé", "red", "red"])
    with pytest.raises(ContractError, match="color must be one of red, white, not rosé"):
        schema.encode_columns(table)


def test_no_other_module_names_a_measurement() -> None:
    """Another table than wine begins in the schema, and ends there: elsewhere names come from it."""
    names = {*INPUTS, *(name.upper() for name in INPUTS)}
    found = {
        f"{path.name}:{token.start[0]}: {token.string}"
        for path in (ROOT / "wine_serving").rglob("*.py")
        if path.name not in NAMES_MEASUREMENTS
        for token in tokenize.generate_tokens(StringIO(path.read_text(encoding="utf-8")).readline)
        if token.type in (tokenize.NAME, tokenize.STRING) and names & set(re.findall(r"\w+", token.string))
    }
    assert found == set()


def around_the_bounds(feature: Feature) -> st.SearchStrategy[float | None]:
    """Values of a measurement that are allowed, on the edge, beyond it, or no numbers at all."""
    edges = [np.nextafter(end, way) for end in (feature.minimum, feature.maximum) for way in (-np.inf, end, np.inf)]
    return st.floats(feature.minimum, feature.maximum) | st.sampled_from([*map(float, edges), np.nan, np.inf, None])


@given(
    st.lists(
        st.fixed_dictionaries(
            {feature.name: around_the_bounds(feature) for feature in FEATURES}
            | {SEGMENT: st.sampled_from([*SEGMENTS, "rosé", None])}
        ),
        min_size=1,
        max_size=5,
    )
)
def test_rules_for_very_many_rows_are_those_for_one(wines: list[dict[str, Any]]) -> None:
    """The same rows are refused, at the bounds and beside them; who is refused is told why."""
    rows = np.array(
        [
            [np.nan if wine[name] is None else wine[name] for name in MEASUREMENTS]
            + [SEGMENTS.index(wine[SEGMENT]) if wine[SEGMENT] in SEGMENTS else -1]
            for wine in wines
        ]
    )
    refused = {problem.row for problem in refusals(wines)}
    assert possible(rows).tolist() == [row not in refused for row in range(len(wines))]

"""The examples in the docstrings of what stands beside the notebooks."""

import doctest
import importlib

import pytest

from wine_serving.settings import ROOT

MODULES = [path.stem for path in sorted((ROOT / "notebooks").glob("*.py")) if ">>>" in path.read_text()]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    """They say more than words only as long as they hold."""
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed

"""The page's rooms: what each may know."""

import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from tests.conftest import ROOT
from wine_serving.schema import FEATURES, MEASUREMENTS

MODULES = sorted((ROOT / "wine_ui").glob("*.py"))
ABOUT_WINE = {"oenology.py", "units.py"}
NAMED = re.compile(rf"\b({'|'.join([*MEASUREMENTS, *(feature.label for feature in FEATURES)])})\b", re.IGNORECASE)


def test_page_knows_the_api_over_http_only() -> None:
    """No module of the page imports the service's code, or what only models need."""
    modules = ", ".join(f"wine_ui.{path.stem}" for path in MODULES if path.stem not in ("__init__", "app"))
    script = f"import sys, {modules}; print({{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not [name for name in ("wine_serving", "sklearn", "onnxruntime", "wandb") if f"'{name}'" in loaded]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_measurements_are_named_in_two_rooms_only(path: Path) -> None:
    """Whoever brings another table than wine changes no other module: the API says what is measured."""
    with tokenize.open(path) as source:
        named = {
            found for token in tokenize.generate_tokens(source.readline) if token.type != tokenize.COMMENT
            for found in NAMED.findall(token.string)
        }  # fmt: skip
    assert bool(named) == (path.name in ABOUT_WINE), named

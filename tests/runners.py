"""notebooks/run.py and the kernels that it starts, as forks of one process that has imported their packages."""

from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.forked import Forks

SCRIPT = f"import sys; sys.path.insert(0, {str(ROOT / 'notebooks')!r}); import run; sys.exit(run.main())"
RUNNER = ("papermill", "nbconvert", "yaml")
KERNEL = ("ipykernel.kernelapp", "ipykernel.ipkernel", "matplotlib_inline.backend_inline", "matplotlib.pyplot")
NOTEBOOK = ("wandb", "sklearn.ensemble", "sklearn.inspection", "sklearn.svm", "skl2onnx", "onnxruntime", "pandas")


@pytest.fixture(scope="module")
def runners() -> Iterator[Forks]:
    """As matplotlib is imported but once, it is told of the backend that run.py tells every kernel of."""
    with Forks(*RUNNER, *KERNEL, *NOTEBOOK, MPLBACKEND="module://matplotlib_inline.backend_inline") as forks:
        yield forks

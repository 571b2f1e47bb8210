"""What every notebook begins and ends with: the tracked run, where its results come from, the look of its pictures."""

import math
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import matplotlib.pyplot as plt
import pandas as pd
import redaction
import wandb
from IPython import get_ipython
from matplotlib_inline.backend_inline import set_matplotlib_formats
from parameters import declared

from wine_serving.provenance import current_commit, current_user
from wine_serving.registry import Registry, open_registry, tracking
from wine_serving.schema import FEATURES
from wine_serving.settings import Settings

WINE: Final = "#7b2d43"
GOLD: Final = "#c9a227"
GREY: Final = "#8c8c8c"
PALE: Final = "#b8b0a6"
RED, WHITE = WINE, GOLD  # wines by their colour
LABELS: Final = {feature.name: feature.label for feature in FEATURES}  # the laboratory's words for the columns
IN_TEXT: Final = {name: label[0].lower() + label[1:] for name, label in LABELS.items()}  # within a sentence
DIGITS: Final = {feature.name: max(0, -math.floor(math.log10(feature.step))) for feature in FEATURES}
DOT: Final[dict[str, Any]] = {"fmt": "o", "color": WINE, "capsize": 3}  # a figure with its interval
SHADES: Final = (WINE, GOLD, "#3d6b6b", "#1f1a17", GREY)  # what else is told apart

PACKAGES: Final = {  # as they are imported, and as they are installed
    "numpy": "numpy",
    "pandas": "pandas",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "skl2onnx": "skl2onnx",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "matplotlib": "matplotlib",
    "wandb": "wandb",
}


def begin(notebook: str, names: Mapping[str, Any]) -> tuple[Registry, Any]:
    """The registry and a tracked run; `names` (the notebook's globals) hold the values of the declared parameters.

    In a kernel that has begun before, the run before is finished first.
    """
    settings = Settings.from_environment()
    known = declared(Path(__file__).with_name(f"{notebook}.ipynb"))
    parameters = {name: names[name] for name in known}
    registry = open_registry(settings.registry)
    run = wandb.init(job_type=notebook, config=parameters, reinit="finish_previous", **tracking(settings.registry))
    get_ipython().events.register("post_run_cell", finish_failed)
    set_style()
    return registry, run


def as_measured(name: str, value: float) -> str:
    """A value with as many digits as the laboratory writes.

    >>> as_measured("volatile_acidity", 0.0796), as_measured("free_sulfur_dioxide", 14.0)
    ('0.08', '14')
    """
    return f"{value:.{DIGITS[name]}f}"


def needs(*packages: str) -> None:
    """Where one of these is not installed: a sentence that says what installs it, and the cells below do nothing."""
    if missing := [name for name in packages if find_spec(name) is None]:
        print(f"{' and '.join(missing)} are not installed: `make search` installs what this takes. Nothing is run.")
        get_ipython().input_transformers_cleanup.append(lambda _: [])


def finish_failed(result: Any) -> None:
    """End the run as failed when a cell has raised; IPython keeps this hook once, however often it is registered."""
    if result.error_in_exec is not None and wandb.run is not None:
        wandb.run.finish(exit_code=1)


def set_style() -> None:
    """Pictures are drawn as vectors without a box around them, and tables show a digest whole."""
    set_matplotlib_formats("svg")
    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    pd.set_option("display.max_colwidth", None)


def end(run: Any, inputs: Sequence[str] = (), outputs: Sequence[str] = (), **summary: Any) -> pd.DataFrame:
    """Finish the run with its summary. The result says with what and from what everything above was made."""
    if wandb.run is not None and wandb.run is run:  # not when this cell runs a second time
        wandb.run.summary.update(summary)
        wandb.run.finish()
    return provenance(run, inputs, outputs)


def provenance(run: Any, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> pd.DataFrame:
    """With what and from what everything above was made."""
    settings = Settings.from_environment()
    facts = {
        "parameter": {name: repr(value) for name, value in dict(run.config).items()},
        "lineage": {"made from": ", ".join(inputs) or "nothing", "made": ", ".join(outputs) or "nothing"},
        "code": {"commit": current_commit() or "unknown", "by": current_user()},
        "environment": {
            "Python": platform.python_version(),
            "platform": platform.platform(),
            "registry": settings.registry,
            "run": run.url or run.id,
        },
        "package": {name: version(name) for module, name in PACKAGES.items() if module in sys.modules},
    }
    rows = {(kind, name): value for kind, each in facts.items() for name, value in each.items()}
    return pd.DataFrame({"value": rows}).rename_axis(["", ""])


@contextmanager
def pages_so_far() -> Iterator[Path | None]:
    """A folder with the notebook that is being executed, as far as it has come, and its page; None in JupyterLab."""
    executed = os.environ.get("PAPERMILL_OUTPUT_PATH")
    if executed is None:
        yield None
        return
    from pages import render  # late: nbconvert is needed here only

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / Path(executed).name
        redaction.write(copy, Path(executed).read_text(encoding="utf-8"))  # whoever wrote it
        render(copy)
        yield Path(folder)

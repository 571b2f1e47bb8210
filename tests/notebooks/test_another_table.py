"""CONTRIBUTING, "Another table than wine": the places that it names are all that has to change."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import servers
from tests.conftest import ROOT

ROOMS = ("notebooks", "wine_serving", "wine_ui")
CONTRACT = '''class Wine(BaseModel):
    """One cheese as a dairy measures it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    fat: float = measurement("Fat", "g/100 g", 0.0, 60.0, step=0.1, group="Body", help="Fat in the cheese.")
    salt: float = measurement("Salt", "g/100 g", 0.0, 10.0, step=0.1, group="Body", help="Salt in the cheese.")
    moisture: float = measurement("Moisture", "%", 0.0, 90.0, step=1, group="Body", help="Water in the cheese.")
    calcium: float = measurement("Calcium", "mg/100 g", 0.0, 2000.0, step=1, group="Body", help="From the milk.")
    age: float = measurement("Age", "weeks", 0.0, 500.0, step=1, group="Cellar", help="Since it was made.")
    milk: Literal["cow", "goat"] = Field(title="Milk", description="Whose milk.")


'''
SETTINGS = {
    "SEGMENT": '"milk"',
    "PARTS": "()",
    "TARGET": '"liking"',
    "TARGET_LABEL": '"Liking: the mean of ten panelists"',
    "TARGET_RANGE": "(0, 10)",
    "_FIRST": '{"cow": (30.0, 1.8, 40.0, 700.0, 20.0), "goat": (25.0, 1.5, 55.0, 300.0, 4.0)}',
}
PIPELINE = """
import sys
from tests.cells import Cells
given = {
    "01_data": {"data_dir": sys.argv[1]},
    "02_eda": {"n_trees": 2, "n_folds": 2},
    "03_training": {"n_estimators": 15, "min_samples_leaf": 10, "publish_as": "candidate"},
    "04_evaluation": {"n_resamples": 100, "promote": "first", "reports": "reports"},
}
for notebook, parameters in given.items():
    cells = Cells(notebook, **parameters).run()
print(*cells["judgement"].told(), sep="\\n")
"""
VISIT = """
from streamlit.testing.v1 import AppTest
page = AppTest.from_file("wine_ui/app.py", default_timeout=60).run()
print([each.label for each in page.text_input], page.button_group(key="milk").label)
print(page.metric[0].value, [each.value for each in page.exception])
"""
ORIGIN = '''"""Where the cheeses come from: one file of the dairy's own."""

from pathlib import Path

from wine_serving.settings import ROOT

NAME = "dairy"


def fetch(folder: str) -> tuple[dict[str, Path], str]:
    """The files by name, and who served them."""
    return {"cheese.csv": ROOT / folder / "cheese.csv"}, folder


def constants(_: str) -> dict[str, str]:
    """The file has all its columns."""
    return {}
'''


@pytest.fixture(scope="module")
def dairy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which only schema.py and origin.py are changed, and a made-up table of cheeses."""
    project = tmp_path_factory.mktemp("dairy")
    for room in ROOMS:
        shutil.copytree(ROOT / room, project / room)
    schema = project / "wine_serving" / "schema.py"
    text = schema.read_text()
    text = re.sub(r"(?ms)^class Wine\(BaseModel\):.*?(?=^BATCH_LIMIT)", CONTRACT, text)
    for name, value in SETTINGS.items():
        text = re.sub(rf"(?ms)^{name}: Final = (\{{.*?^\}}|[^\n#]*)", f"{name}: Final = {value}", text)
    schema.write_text(text)
    (project / "notebooks" / "origin.py").write_text(ORIGIN)
    random = np.random.default_rng(0)
    cheeses = pd.DataFrame(
        {
            "fat": random.normal(28, 5, 2400).round(3),
            "salt": random.normal(1.8, 0.3, 2400).round(4),
            "moisture": random.normal(45, 6, 2400).round(3),
            "calcium": random.normal(600, 90, 2400).round(2),
            "age": random.uniform(2, 60, 2400).round(3),
            "milk": random.choice(["cow", "goat"], 2400),
        }
    )
    liking = 6 + 0.15 * (cheeses["fat"] - 28) - 0.1 * np.abs(cheeses["age"] - 25) + random.normal(0, 1.2, 2400)
    cheeses.assign(liking=liking.round().clip(0, 10).astype(int)).to_csv(project / "cheese.csv", index=False)
    return project


@pytest.mark.timeout(900)
def test_another_table_is_trained_judged_and_served(dairy: Path, tmp_path: Path) -> None:
    """From a CSV of cheeses to a promoted model that answers over HTTP."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("WINE_", "WANDB_"))}
    variables = {"PYTHONPATH": str(dairy), "WINE_REGISTRY": f"folder:{dairy / 'registry'}", "WANDB_MODE": "disabled"}
    paths = os.pathsep.join(map(str, (dairy / "notebooks", dairy, ROOT)))  # the copy's own code, and tests/cells.py
    done = subprocess.run(
        [sys.executable, "-c", PIPELINE, dairy],
        capture_output=True,
        text=True,
        check=False,
        env=given | variables | {"PYTHONPATH": paths, "MPLBACKEND": "agg"},
        cwd=dairy,
    )
    assert done.returncode == 0, done.stderr
    assert "Promoted: v0 is now production" in done.stdout
    port = servers.free_port()
    uvicorn = [sys.executable, "-m", "uvicorn", "wine_serving.app:app", "--host", "127.0.0.1", "--port", str(port)]
    with servers.Server(uvicorn, "/health", tmp_path / "log", port, cwd=dairy, **variables) as server:
        cheese = {"fat": 30.0, "salt": 1.8, "moisture": 40.0, "calcium": 700.0, "age": 25.0, "milk": "cow"}
        answer = server.post("/predict", json=cheese).raise_for_status().json()
        assert answer["interval"]["low"] < answer["quality"] < answer["interval"]["high"]
        refused = server.post("/predict", json=cheese | {"milk": "oat"})
        assert refused.json()["errors"][0]["field"] == "milk"
        schema = server.get("/schema").json()
        assert [field["label"] for field in schema["fields"]] == ["Fat", "Salt", "Moisture", "Calcium", "Age"]
        seen = subprocess.run(
            [sys.executable, "-c", VISIT],
            capture_output=True,
            text=True,
            check=True,
            env=given | variables | {"WINE_API_URL": server.address},
            cwd=dairy,
        )
        assert "'Fat (g/100 g)'" in seen.stdout
        assert "Milk" in seen.stdout
        assert "of 10" in seen.stdout
        assert seen.stdout.endswith("[]\n")

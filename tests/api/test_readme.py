"""README's clients are run as they stand there, against a real server."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests import tiny
from tests.conftest import ROOT
from tests.servers import Server

README = (ROOT / "README.md").read_text(encoding="utf-8")
CLIENTS = {
    language: re.search(rf"```{language}\n((?:(?!```).)*?localhost:8000/predict.*?)```", README, re.DOTALL)
    for language in ("python", "bash", "r")
}
PROGRAMS = {"python": [sys.executable, "-c"], "bash": ["bash", "-ec"], "r": ["Rscript", "-e"]}


@pytest.mark.parametrize("language", CLIENTS)
def test_client_of_ten_lines_runs_as_it_stands(language: str, server: Server, tmp_path: Path) -> None:
    """It prints or writes an answer for each wine; where the language is not installed, its length is still held."""
    found = CLIENTS[language]
    assert found
    assert found[1].count("\n") <= 10
    needed = shutil.which({"bash": "curl"}.get(language, PROGRAMS[language][0]))
    if needed is None or (language == "r" and not has_httr2()):
        pytest.skip(f"{language} is not installed here")
    tiny.made_up_wines(5).drop(columns=["color", "quality"]).to_csv(tmp_path / "cellar.csv", index=False)
    command = [*PROGRAMS[language], found[1].replace("http://localhost:8000", server.address)]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    if language == "bash":
        assert pd.read_csv(tmp_path / "scored.csv")["score"].notna().sum() == 5
    else:
        assert re.search(r"\d\.\d", done.stdout)


def has_httr2() -> bool:
    """Whether R has what its client asks with."""
    return subprocess.run(["Rscript", "-e", "library(httr2)"], check=False, capture_output=True).returncode == 0

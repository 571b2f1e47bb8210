"""Setting up: the menu, the environment, the locks and the layout that people rely on."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
TARGETS = [
    "pipeline",
    "data",
    "eda",
    "train",
    "evaluate",
    "serve",
    "api",
    "ui",
    "lab",
    "promote",
    "rollback",
    "compare",
    "test",
    "check",
    "bench",
    "images",
    "deploy",
    "sync",
]
TOP_LEVEL = [
    "notebooks",
    "wine_serving",
    "wine_ui",
    "tests",
    "requirements",
    "environment.yml",
    "Dockerfile.api",
    "Dockerfile.ui",
    "README.md",
    "pyproject.toml",
    "Makefile",
    "LICENSE",
]


def tracked() -> list[str]:
    return subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, env=environment, timeout=60)


def pins(lock: Path) -> dict[str, set[str]]:
    """Package → the versions that the lock pins, one for each platform or Python that needs another."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.\[\]-]+)==(\S+)", lock.read_text(), flags=re.M):
        found.setdefault(name, set()).add(version)
    return found


def test_make_alone_prints_the_menu() -> None:
    """Every promised target is there, with a line that says what it does."""
    menu = make().stdout
    assert [target for target in TARGETS if not re.search(rf"make {target} +\S", menu)] == []


def test_unsupported_python_gets_one_sentence(tmp_path: Path) -> None:
    """Somebody with an old Python learns what to do instead of reading a build log."""
    old = tmp_path / "python3.10"  # a Python that believes itself older than it is
    pretend = "import sys; sys.version_info = (3, 10, 13); sys.version = '3.10.13 (main)'; "
    old.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} -c "{pretend}$1"\n')
    old.chmod(0o755)
    refused = make(f"VENV={tmp_path}/venv", f"PYTHON={old}", "environment")
    assert refused.returncode != 0
    assert refused.stderr.startswith(f"Python 3.11 to 3.14 is needed, and {old} is 3.10.13: install one")
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    {
        "promote": (["promote", "VERSION=v1"], "Say which version and why"),
        "compare": (["compare", "A=v1"], "Say which two versions"),
    }.values(),
)
def test_target_without_its_variables_says_which(arguments: list[str], sentence: str) -> None:
    """A forgotten variable is a sentence, not a traceback."""
    refused = make(*arguments)
    assert refused.returncode != 0
    assert sentence in refused.stderr


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_and_hashed(lock: Path) -> None:
    """Nothing is installed that was not there when the lock was made."""
    requirements = re.split(r"\n(?=\S)", lock.read_text().strip())
    loose = [each for each in requirements if not re.match(r"\S+==\S+[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", each)]
    assert loose == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_smaller_locks_agree_with_the_whole(lock: Path) -> None:
    """What is served was tested with the same versions."""
    everything = pins(ROOT / "requirements" / "dev.txt")
    assert {name: versions for name, versions in pins(lock).items() if not versions <= everything[name]} == {}


def test_lock_holds_every_declared_package() -> None:
    """A package added to pyproject.toml is in the lock as well."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    declared = {re.split(r"[^\w.-]", line)[0].lower() for lines in extras.values() for line in lines}
    assert declared - set(pins(ROOT / "requirements" / "dev.txt")) == set()


def test_conda_installs_the_same_lock() -> None:
    """Conda users get a supported Python, the hashed lock, and a make that knows."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (python,) = [each for each in environment["dependencies"] if str(each).startswith("python=")]
    (pip,) = [each["pip"] for each in environment["dependencies"] if isinstance(each, dict)]
    low, high = re.findall(r"3\.(\d+)", project["requires-python"])
    assert int(low) <= int(python.removeprefix("python=3.")) < int(high)
    assert pip == ["--require-hashes", "--requirement=requirements/dev.txt"]
    assert environment["variables"] == {"WINE_ENV": "conda"}
    assert environment["name"] == project["name"]


def test_conda_environment_is_used_as_it_is() -> None:
    """Inside conda, make calls that Python and creates no other environment."""
    commands = make("--dry-run", "--always-make", "WINE_ENV=conda", "check").stdout
    assert "python -m ruff check" in commands
    assert ".venv" not in commands


def test_top_level_is_the_agreed_layout() -> None:
    """The first look at the repository shows what it is made of and nothing else."""
    names = {path.split("/")[0] for path in tracked()}
    assert sorted(name for name in names if not name.startswith(".")) == sorted(TOP_LEVEL)


def test_readme_names_only_targets_that_exist() -> None:
    """Every `make` command in the README can be typed."""
    named = set(re.findall(r"\bmake ([a-z]+)\b", (ROOT / "README.md").read_text()))
    rules = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert named - rules == set()


def test_notebooks_pass_the_filter_on_their_way_into_git() -> None:
    """Git hands every notebook to the filter that strips outputs, and compares it cell by cell."""
    answer = subprocess.run(
        ["git", "check-attr", "filter", "diff", "merge", "--", "notebooks/01_data.ipynb"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert re.findall(r": (\w+): (\w+)", answer) == [
        ("filter", "nbstripout"), ("diff", "jupyternotebook"), ("merge", "jupyternotebook")
    ]  # fmt: skip

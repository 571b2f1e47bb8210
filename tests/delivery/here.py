"""The checkout and the machine, as the tests that build and release see them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT

STAND_INS = ROOT / "tests" / "stand_ins"
PATH = os.pathsep.join([str(STAND_INS), os.environ["PATH"]])
QUICK_PATH = os.pathsep.join([str(STAND_INS), str(Path(sys.executable).parent), os.environ["PATH"]])  # on this Python
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
API, UI = "wine-quality-api", "wine-quality-ui"
HAS_GIT = bool(shutil.which("git")) and (ROOT / ".git").exists()  # a ZIP has none
COMMIT = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip() if HAS_GIT else "unknown"

# This machine's settings of pip and its certificates are there while building, and in no layer.
HOST = [Path("/etc/pip.conf"), Path("/etc/ssl/certs/ca-certificates.crt")]
BASE_IMAGE = os.environ.get("BASE_IMAGE", "docker.io/library/python:3.11-slim")
PULL = ["--pull-never"] if BASE_IMAGE.startswith("localhost/") else []
BUILD_FLAGS = ["--network=host", *PULL, *(f"--volume={path}:{path}:ro" for path in HOST if path.is_file())]


def needs(needed: Mapping[str, object]) -> pytest.MarkDecorator:
    """Skip where something is missing, and say what."""
    missing = [name for name, found in needed.items() if not found]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def export(registry: Path, directory: Path, ref: str = "wine-quality:production") -> None:
    """What `make export` does, from a registry of the test's own."""
    command = [sys.executable, "-m", "wine_serving", "export", str(directory), ref]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"WINE_REGISTRY": f"folder:{registry}"}, check=True)

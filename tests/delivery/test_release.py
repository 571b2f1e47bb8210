"""What a release takes to be deployed: the images that were pushed of this commit, with the version of the export."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.delivery.here import API, UI, export
from wine_serving.registry.folder import FolderRegistry

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGEST = f"sha256:{'a' * 64}"
PLACE = "registry.example.org/wine"
DOCKER = f"""#!/bin/sh
echo "$*" >> docker-calls
case "$*" in "images "*) echo {DIGEST};; "buildx inspect") echo "Driver: docker";; esac
"""


@pytest.fixture
def checkout(promoted: FolderRegistry, tmp_path: Path) -> Path:
    """A checkout of the scripts with an export of version v0, where docker builds and gcloud only repeats its words."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / ".github", checkout / ".github")
    export(promoted.root, checkout / "artifacts" / "image")
    (checkout / "bin").mkdir()
    for name, script in {"docker": DOCKER, "gcloud": "#!/bin/sh\necho called\n"}.items():
        (checkout / "bin" / name).write_text(script)
        (checkout / "bin" / name).chmod(0o755)
    return checkout


def run(checkout: Path, script: str, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts, on one commit unless another one is given."""
    path = f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "GITHUB_SHA": COMMIT, "GCP_PROJECT": "a-project", **variables}
    call = [sys.executable, str(checkout / ".github" / script), command]
    return subprocess.run(call, cwd=checkout, env=environment, check=False, capture_output=True, text=True)


def push(checkout: Path, **differing: str) -> None:
    """What a push leaves."""
    release = json.loads((checkout / "artifacts" / "image" / "release.json").read_text())
    images = {name: f"{PLACE}/{name}@{DIGEST}" for name in (API, UI)}
    note = release | {"commit": COMMIT, "built": images, "pushed": images} | differing
    (checkout / "artifacts" / "containers.json").write_text(json.dumps(note))


def test_an_export_says_what_it_carries(checkout: Path, promoted: FolderRegistry) -> None:
    """Model, version and digest stand in release.json."""
    record = promoted.record("wine-quality:production")
    release = json.loads((checkout / "artifacts" / "image" / "release.json").read_text())
    assert release | {"model": "wine-quality", "version": record.version, "digest": record.digest} == release


def test_what_was_pushed_is_what_is_deployed(checkout: Path) -> None:
    """Images of this commit and of the exported version go on to the cloud."""
    push(checkout)
    assert "gcloud lists the services" in run(checkout, "release.py", "release").stderr


def test_images_of_another_commit_are_refused(checkout: Path) -> None:
    """What was pushed before the code changed is not what somebody deploys now."""
    push(checkout)
    done = run(checkout, "release.py", "release", GITHUB_SHA="f" * 40)
    assert done.returncode == 1
    assert f"names images of commit {COMMIT}, and here is {'f' * 40}" in done.stderr


@pytest.mark.parametrize("field", ["version", "digest"])
def test_images_with_another_model_are_refused(checkout: Path, field: str) -> None:
    """What was pushed with another model inside does not pass for the exported one."""
    push(checkout)
    file = checkout / "artifacts" / "image" / "release.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: "another"}))
    done = run(checkout, "release.py", "release")
    assert done.returncode == 1
    assert f"names images of {field}" in done.stderr
    assert "and here is another: `make images PUSH=HOST/PATH` again" in done.stderr


def test_images_that_were_never_pushed_are_refused(checkout: Path) -> None:
    """Images that were only built, and a checkout without any export, are told what is missing."""
    done = run(checkout, "containers.py", "build")
    assert done.returncode == 0, done.stderr
    assert "no images were pushed from here: `make images PUSH=" in run(checkout, "release.py", "release").stderr
    shutil.rmtree(checkout / "artifacts" / "image")
    assert "release.json is not there: `make export` first" in run(checkout, "release.py", "release").stderr


def test_images_that_were_never_asked_are_not_pushed(checkout: Path) -> None:
    """Where a container of what was built does not answer, nothing leaves this machine."""
    done = run(checkout, "containers.py", "build", PUSH=PLACE, RELEASE_PATIENCE="1")
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    calls = (checkout / "docker-calls").read_text()
    assert "run --detach --read-only --memory=512m --cpus=1" in calls
    assert "push" not in calls


def test_the_base_is_one_that_dependabot_raises() -> None:
    """It stands literally, by tag and digest, as a stage of its own, and nothing else comes from elsewhere."""
    for file in ("Dockerfile.api", "Dockerfile.ui"):
        first, *others = re.findall(r"^FROM (.+)$", (ROOT / file).read_text(), re.MULTILINE)
        assert re.fullmatch(r"python:3\.11-slim@sha256:[0-9a-f]{64} AS base", first)
        assert {other.split()[0] for other in others} <= {"base", "unbaked"}


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_a_release_needs_no_environment(checkout: Path) -> None:
    """On a machine that has Python and no packages, as the one that deploys, the targets of a release run."""
    shutil.copy(ROOT / "Makefile", checkout)
    path = f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "WINE_ENV")} | {
        "PATH": path,
        "GITHUB_SHA": COMMIT,
    }
    push(checkout)
    call = ["make", "deploy", "GCP_PROJECT=a-project"]
    done = subprocess.run(call, cwd=checkout, env=environment, check=False, capture_output=True, text=True)
    assert "gcloud lists the services in a form that is no JSON" in done.stderr

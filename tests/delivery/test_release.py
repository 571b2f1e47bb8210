"""What a release takes to be deployed: the images that were pushed of this commit, with the version of the export."""

import json
import os
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
case "$*" in "image inspect"*) echo '[{{"RepoDigests": ["'"${{3%:*}}"'@{DIGEST}"]}}]';; esac
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


def test_an_export_says_what_it_carries(checkout: Path, promoted: FolderRegistry) -> None:
    """Model, version and digest stand in release.json, and the version is what a workflow's step gets."""
    record = promoted.record("wine-quality:production")
    release = json.loads((checkout / "artifacts" / "image" / "release.json").read_text())
    assert release | {"model": "wine-quality", "version": record.version, "digest": record.digest} == release
    assert run(checkout, "containers.py", "version").stdout == "version=v0\n"


def test_what_was_pushed_is_what_is_deployed(checkout: Path) -> None:
    """The digests come with the commit and the version that are inside, and a release goes on to the cloud."""
    built = run(checkout, "containers.py", "build", PUSH=PLACE)
    assert built.returncode == 0, built.stderr
    pushed = json.loads((checkout / "artifacts" / "containers.json").read_text())
    assert pushed["images"] == {name: f"{PLACE}/{name}@{DIGEST}" for name in (API, UI)}
    assert (pushed["commit"], pushed["version"]) == (COMMIT, "v0")
    assert "MODEL_VERSION=v0" in (checkout / "docker-calls").read_text()
    assert "gcloud lists the services" in run(checkout, "release.py", "release").stderr


def test_images_of_another_commit_are_refused(checkout: Path) -> None:
    """What was pushed before the code changed is not what somebody deploys now."""
    run(checkout, "containers.py", "build", PUSH=PLACE)
    done = run(checkout, "release.py", "release", GITHUB_SHA="f" * 40)
    assert done.returncode == 1
    assert f"names images of commit {COMMIT}, and here is {'f' * 40}" in done.stderr


@pytest.mark.parametrize("field", ["version", "digest"])
def test_images_with_another_model_are_refused(checkout: Path, field: str) -> None:
    """What was pushed with another model inside does not pass for the exported one."""
    run(checkout, "containers.py", "build", PUSH=PLACE)
    file = checkout / "artifacts" / "image" / "release.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: "another"}))
    done = run(checkout, "release.py", "release")
    assert done.returncode == 1
    assert f"names images of {field}" in done.stderr
    assert "and here is another: `make images PUSH=…` again" in done.stderr


def test_images_that_were_never_pushed_are_refused(checkout: Path) -> None:
    """Images that were only built, one image alone, and a checkout without any export are told what is missing."""
    run(checkout, "containers.py", "build")
    assert "no images were pushed from here: `make images PUSH=" in run(checkout, "release.py", "release").stderr
    alone = run(checkout, "release.py", "release", API_IMAGE=f"{PLACE}/{API}@{DIGEST}")
    assert "UI_IMAGE='' cannot be used" in alone.stderr
    shutil.rmtree(checkout / "artifacts" / "image")
    assert "release.json is not there: `make export` first" in run(checkout, "release.py", "release").stderr


def test_both_images_may_be_named(checkout: Path) -> None:
    """A workflow names both by digest, and nothing that was pushed from elsewhere is looked at."""
    named = {"API_IMAGE": f"{PLACE}/{API}@{DIGEST}", "UI_IMAGE": f"{PLACE}/{UI}@{DIGEST}"}
    assert "gcloud lists the services" in run(checkout, "release.py", "release", **named).stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_a_release_needs_no_environment(checkout: Path) -> None:
    """On a machine that has Python and no packages, as the one that deploys, the targets of a release run."""
    shutil.copy(ROOT / "Makefile", checkout)
    path = f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "WINE_ENV")} | {
        "PATH": path
    }
    call = [
        "make",
        "deploy",
        "GCP_PROJECT=a-project",
        f"API_IMAGE={PLACE}/{API}@{DIGEST}",
        f"UI_IMAGE={PLACE}/{UI}@{DIGEST}",
    ]
    done = subprocess.run(call, cwd=checkout, env=environment, check=False, capture_output=True, text=True)
    assert "gcloud lists the services in a form that is no JSON" in done.stderr

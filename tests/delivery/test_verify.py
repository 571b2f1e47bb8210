"""What is deployed was built by the workflow on main, of this commit: `make verify`, on a stand-in for `gh`."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.delivery.here import API, QUICK_PATH, UI, export, needs
from wine_serving.registry.folder import FolderRegistry

pytestmark = needs({name: shutil.which(name) for name in ("bash", "jq", "sha256sum")})
COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGESTS = {API: "a" * 64, UI: "b" * 64}


class Checkout:
    """One that is about to deploy: an export, and the note of what was pushed."""

    def __init__(self, folder: Path, exported: Path, model_digest: str) -> None:
        self.folder = folder
        shutil.copytree(ROOT / ".github", folder / ".github")
        shutil.copytree(exported, folder / "artifacts" / "image")
        images = {name: f"registry.example.org/{name}@sha256:{digest}" for name, digest in DIGESTS.items()}
        (folder / "artifacts" / "containers.json").write_text(json.dumps({"commit": COMMIT, "pushed": images}))
        self.digests = [*DIGESTS.values(), model_digest]

    def attest(self, number: int | None = None, **differing: Any) -> None:
        """All three subjects; the one with the number differs."""
        lines = [
            {"with": {"subject-digest": f"sha256:{digest}"}} | (differing if place == number else {})
            for place, digest in enumerate(self.digests)
            if not (place == number and differing.get("missing"))
        ]
        (self.folder / "attested").write_text("\n".join(map(json.dumps, lines)))

    def verify(self, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PATH": QUICK_PATH, "GH_STORE": str(self.folder / "artifacts")}
        environment |= {"GH_ATTESTED": str(self.folder / "attested"), "ATTESTED_BY": "somebody/wine"} | variables
        script = [self.folder / ".github" / "verify.sh"]
        return subprocess.run(script, env=environment, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def exported(served_registry: FolderRegistry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make export` has made of production."""
    place = tmp_path_factory.mktemp("exported") / "image"
    export(served_registry.root, place)
    return place


@pytest.fixture
def checkout(tmp_path: Path, exported: Path, served_registry: FolderRegistry) -> Checkout:
    return Checkout(tmp_path / "checkout", exported, served_registry.record("wine-quality:production").digest)


def test_what_the_workflow_attests_may_be_deployed(checkout: Checkout) -> None:
    """Both images by digest, and the model by the digest that registry, record and API know it by."""
    checkout.attest()
    done = checkout.verify()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("attested by somebody/wine") == 3


FAULTS: dict[str, dict[str, Any]] = {
    "missing": {"missing": True},
    "tampered": {"tampered": True},
    "signed by another workflow": {"workflow": "somebody/wine/.github/workflows/pull-request.yml"},
    "of another commit": {"commit": "f" * 40},
    "another statement": {"predicate": "https://cyclonedx.org/bom"},
}


@pytest.mark.parametrize("subject", range(3), ids=["api", "ui", "model"])
@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_is_wrong_with_an_attestation_stops_a_release(checkout: Checkout, fault: str, subject: int) -> None:
    """Of the two images and the model each must be attested, by this workflow, of this commit."""
    checkout.attest(subject, **FAULTS[fault])
    done = checkout.verify()
    assert done.returncode == 1
    assert "nothing of this commit's workflow attests" in done.stderr


@pytest.mark.parametrize("version", ["2.49", "2.66"])
def test_an_old_gh_is_not_relied_on(checkout: Checkout, version: str) -> None:
    """One that finds nothing wrong where nothing is attested ends the release."""
    done = checkout.verify(GH_VERSION=version)
    assert done.returncode == 1
    assert "install gh 2.67 or newer" in done.stderr


def test_a_model_that_was_altered_is_not_deployed(checkout: Checkout) -> None:
    """Its files must give the very digest that was attested."""
    checkout.attest()
    (checkout.folder / "artifacts" / "image" / "wine-quality" / "v0" / "MODEL_CARD.md").write_text("altered")
    done = checkout.verify()
    assert done.returncode == 1
    assert "does not hold what its record says" in done.stderr


def test_where_nothing_can_be_attested_the_release_says_so(checkout: Checkout) -> None:
    """A private repository on an ordinary plan deploys all the same."""
    done = checkout.verify(ATTESTED_BY="")
    assert done.returncode == 0
    assert "::notice title=Not verified" in done.stdout

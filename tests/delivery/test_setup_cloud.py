"""The one-time set-up of a Google project: what it makes, that it can run again, that the SDK knows its calls.

Where GCLOUD_LINT names a command that knows the real SDK, it is given every call.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest

from tests.conftest import ROOT
from tests.delivery.here import PATH, STAND_INS, needs

pytestmark = [pytest.mark.delivery, needs({name: which(name) for name in ("bash", "openssl")})]


class Project:
    """A Google project that was set up twice."""

    def __init__(self, cloud: Path) -> None:
        self.cloud = cloud
        self.environment = {
            **os.environ,
            "PATH": PATH,
            "GCLOUD_STATE": str(cloud),
            "GCLOUD_REVISION": shlex.join([sys.executable, str(STAND_INS / "revision.py")]),
            "GCP_PROJECT": "a-project",
            "GITHUB_REPOSITORY": "somebody/wine",
            "ALERT_EMAIL": "somebody@example.org",
            "WANDB_API_KEY": "not-a-real-key",
        }

    def set_up(self) -> list[str]:
        """Run the script; all calls so far."""
        script = [ROOT / ".github" / "setup-cloud.sh"]
        done = subprocess.run(script, env=self.environment, check=False, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "not-a-real-key" not in done.stdout + done.stderr
        return [" ".join(json.loads(line)) for line in (self.cloud / "calls.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("cloud"))
    yield project
    subprocess.run([STAND_INS / "gcloud", "--stop"], env=project.environment, check=True)


@pytest.fixture(scope="module")
def first(project: Project) -> list[str]:
    """The calls that set up a new project."""
    return project.set_up()


def test_a_new_project_gets_everything_and_a_second_run_nothing(project: Project, first: list[str]) -> None:
    """Everything is made once; only bindings, switched-on interfaces and policies are said again, as they are."""
    made = [call for call in first if " create" in call]
    assert [call.partition(" create")[0] for call in made] == [
        "projects",
        "artifacts repositories",
        *["iam service-accounts"] * 3,
        *["secrets"] * 2,
        "iam workload-identity-pools",
        "iam workload-identity-pools providers",
        "monitoring uptime",
        "beta monitoring channels",
        *["alpha monitoring policies"] * 2,
    ]
    again = project.set_up()[len(first) :]
    assert again
    assert not [call for call in again if " create" in call or "run deploy" in call]


def test_only_the_main_branch_of_this_repository_may_deploy(first: list[str]) -> None:
    """The federation names both, and the deployer gets no role on the whole project but to look."""
    (provider,) = [call for call in first if "create-oidc" in call]
    assert "assertion.repository == 'somebody/wine' && assertion.ref == 'refs/heads/main'" in provider
    on_project = [call for call in first if call.startswith("projects add-iam-policy-binding")]
    assert [call.partition("--role=")[2].split()[0] for call in on_project] == ["roles/run.viewer"]
    assert not [call for call in first if "roles/owner" in call or "roles/editor" in call or "admin" in call]


def test_the_alerts_are_readable(project: Project, first: list[str]) -> None:
    """Both policies are JSON that asks for 5xx answers and for the uptime check."""
    assert first
    created = json.loads((project.cloud / "state.json").read_text())["created"]
    policies = [policy for name, policy in created.items() if name.startswith("alpha monitoring policies")]
    filters = sorted(policy["conditions"][0]["conditionThreshold"]["filter"] for policy in policies)
    assert 'uptime_check/check_passed" AND resource.type="uptime_url"' in filters[0]
    assert 'response_code_class="5xx"' in filters[1]

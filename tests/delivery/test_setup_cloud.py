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
            "GITHUB_REPOSITORY_ID": "4711",
        }

    def run(self, command: str = "cloud", **variables: str) -> subprocess.CompletedProcess[str]:
        script = [str(ROOT / ".github" / "setup-cloud.sh"), command]
        environment = self.environment | variables
        return subprocess.run(script, env=environment, check=False, capture_output=True, text=True, timeout=600)

    def set_up(self) -> list[str]:
        """Run the script; all calls so far."""
        done = self.run()
        assert done.returncode == 0, done.stdout + done.stderr
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
        *["iam service-accounts"] * 5,
        "secrets",
        "logging buckets",
        "logging sinks",
        "iam workload-identity-pools",
        "iam workload-identity-pools providers",
        "monitoring uptime",
        "beta monitoring channels",
        *["alpha monitoring policies"] * 3,
    ]
    again = project.set_up()[len(first) :]
    assert again
    assert not [call for call in again if " create" in call or "run deploy" in call]


def test_only_the_main_branch_of_this_repository_may_deploy(first: list[str]) -> None:
    """By its number, which no other repository ever gets; and nobody gets a role on the whole project but to look."""
    (provider,) = [call for call in first if "create-oidc" in call]
    assert "assertion.repository_id == '4711' && assertion.ref == 'refs/heads/main'" in provider
    on_project = [call for call in first if call.startswith("projects add-iam-policy-binding")]
    assert [call.partition("--role=")[2].split()[0] for call in on_project] == ["roles/run.viewer"]
    assert not [call for call in first if "roles/owner" in call or "roles/editor" in call or "admin" in call]


def test_building_and_deploying_are_two_accounts(first: list[str]) -> None:
    """The builder may only push images; the deployer may not, and speaks only for the environment `production`."""
    builder = [call for call in first if "binding" in call and "wine-quality-builder@" in call]
    assert [call.partition("roles/")[2].split()[0] for call in builder] == [
        "artifactregistry.writer",
        "iam.workloadIdentityUser",
    ]
    assert "/subject/repo:somebody/wine:ref:refs/heads/main" in builder[-1]
    deployer = [call for call in first if "binding" in call and "wine-quality-deployer@" in call]
    assert "/subject/repo:somebody/wine:environment:production" in deployer[-1]
    assert not [call for call in deployer if "artifactregistry.writer" in call]


@pytest.mark.parametrize(
    "odd",
    [{"GITHUB_REPOSITORY": "somebody/wine' || true || 'x"}, {"GITHUB_REPOSITORY_ID": "1' || true || '"}],
    ids=["name", "number"],
)
def test_a_quote_adds_nothing_to_a_condition(project: Project, first: list[str], odd: dict[str, str]) -> None:
    """It is refused before anything is asked for."""
    assert first
    before = len((project.cloud / "calls.jsonl").read_text())
    done = project.run(**odd)
    assert done.returncode == 1
    assert "cannot be used" in done.stderr
    assert len((project.cloud / "calls.jsonl").read_text()) == before


def test_predictions_are_kept_and_only_the_weekly_look_reads_them(project: Project, first: list[str]) -> None:
    """For 400 days, of the API alone; its account may look at that bucket from its environment, and do nothing else."""
    (bucket,) = [call for call in first if call.startswith("logging buckets create")]
    assert "--retention-days=400" in bucket
    created = json.loads((project.cloud / "state.json").read_text())["created"]
    assert created["logging sinks wine-quality-predictions"] == (
        'resource.type="cloud_run_revision" AND resource.labels.service_name="wine-quality-api" AND '
        'jsonPayload.message=("prediction" OR "refused")'
    )
    monitor = [call for call in first if "binding" in call and "wine-quality-monitor@" in call]
    assert [call.partition("roles/")[2].split()[0] for call in monitor] == [
        "logging.viewAccessor",
        "iam.workloadIdentityUser",
    ]
    assert "/subject/repo:somebody/wine:environment:monitoring" in monitor[-1]


def test_the_alerts_are_readable(project: Project, first: list[str]) -> None:
    """All three policies are JSON: the uptime check, 5xx answers, and slow answers of the API."""
    assert first
    created = json.loads((project.cloud / "state.json").read_text())["created"]
    policies = [policy for name, policy in created.items() if name.startswith("alpha monitoring policies")]
    filters = sorted(policy["conditions"][0]["conditionThreshold"]["filter"] for policy in policies)
    assert 'uptime_check/check_passed" AND resource.type="uptime_url"' in filters[0]
    assert 'response_code_class="5xx"' in filters[1]
    assert 'request_latencies" AND' in filters[2]
    assert 'service_name="wine-quality-api"' in filters[2]


def test_what_was_made_is_taken_back(project: Project, first: list[str]) -> None:
    """All of it, said again it removes nothing, and a project can be set up anew; what stays is listed."""
    assert first
    done = project.run("cloud-remove")
    assert done.returncode == 0, done.stdout + done.stderr
    state = json.loads((project.cloud / "state.json").read_text())
    assert not state["services"]
    left = {name for name, made in state["created"].items() if made != "deleted"}
    assert {name.partition(" ")[0] for name in left} == {"projects", "iam"}  # the provider goes with its pool
    assert not [name for name in left if "service-accounts" in name]
    assert "gcloud projects delete a-project" in done.stdout
    assert " delete " not in project.run("cloud-remove").stdout.replace("projects delete", "")
    assert project.run().returncode == 0


def test_what_could_not_be_taken_back_is_listed(project: Project, first: list[str]) -> None:
    """Where the cloud refuses, the rest is removed all the same, and the end is no success."""
    assert first
    project.run()
    (project.cloud / "refused").write_text("1 secrets delete")
    done = project.run("cloud-remove")
    assert done.returncode == 1
    assert "gcloud secrets delete wine-api-key" in done.stdout.partition("LEFT")[2]
    assert not json.loads((project.cloud / "state.json").read_text())["services"]

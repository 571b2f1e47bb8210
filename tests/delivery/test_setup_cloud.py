"""The one-time set-up of a Google project: what it makes, that it can run again, that the SDK knows its calls.

Needs STAND_IN, the folder with the stand-in `gcloud`, and, where the real SDK is installed, GCLOUD_LINT.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAND_IN = Path(os.environ["STAND_IN"])

# In a new project nothing is there to describe or to find; each alert policy is kept for the test to read.
GCLOUD = """#!/bin/bash
cd "{folder}"
echo "$*" >> calls
{lint}
case "$*" in
  *policy-from-file*) cp "$(sed 's/.*policy-from-file=\\([^ ]*\\).*/\\1/' <<<"$*")" "policy-$RANDOM.json";;
esac
if [ -n "$NEW_PROJECT" ]; then
  case "$*" in
    *" describe "*--format=none*) exit 1;;
    *list*--filter*) exit 0;;
  esac
fi
exec "{stand_in}/gcloud" "$@"
"""


def set_up(folder: Path, known_to_the_sdk: bool = False, **variables: str) -> list[str]:
    """Run the script; the calls that it made."""
    real = os.environ.get("GCLOUD_LINT") if known_to_the_sdk else None
    lint = f'grep -qxFe "$*" known || "{real}" "gcloud $(printf "%q " "$@")" >&2 && echo "$*" >> known || exit 1'
    (folder / "gcloud").write_text(GCLOUD.format(folder=folder, stand_in=STAND_IN, lint=lint if real else ""))
    (folder / "gcloud").chmod(0o755)
    (folder / "calls").unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "FAKE_GCLOUD_STATE": str(folder / "state"),
        "FAKE_GCLOUD_SERVER": "python3 -m http.server --bind 127.0.0.1 $PORT",
        "GCP_PROJECT": "a-project",
        "GITHUB_REPOSITORY": "somebody/wine",
        "ALERT_EMAIL": "somebody@example.org",
        "WANDB_API_KEY": "not-a-real-key",
        **variables,
    }
    script = [ROOT / ".github" / "setup-cloud.sh"]
    try:
        done = subprocess.run(script, env=environment, check=False, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        subprocess.run([STAND_IN / "gcloud", "--stop"], env=environment, check=True)
    assert "not-a-real-key" not in done.stdout + done.stderr
    return (folder / "calls").read_text().splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_a_new_project_gets_everything_and_a_second_run_nothing(folder: Path) -> None:
    """Everything is made once; only bindings, switched-on interfaces and policies are said again, as they are."""
    first = set_up(folder, known_to_the_sdk=True, NEW_PROJECT="1")
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
    again = set_up(folder, known_to_the_sdk=True, NEW_PROJECT="")
    assert not [call for call in again if " create" in call or "run deploy" in call]


def test_only_the_main_branch_of_this_repository_may_deploy(folder: Path) -> None:
    """The federation names both, and the deployer gets no role on the whole project but to look."""
    calls = set_up(folder, NEW_PROJECT="1")
    (provider,) = [call for call in calls if "create-oidc" in call]
    assert "assertion.repository == 'somebody/wine' && assertion.ref == 'refs/heads/main'" in provider
    on_project = [call for call in calls if call.startswith("projects add-iam-policy-binding")]
    assert [call.partition("--role=")[2].split()[0] for call in on_project] == ["roles/run.viewer"]
    assert not [call for call in calls if "roles/owner" in call or "roles/editor" in call or "admin" in call]


def test_the_alerts_are_readable(folder: Path) -> None:
    """Both policies are JSON that asks for 5xx answers and for the uptime check."""
    set_up(folder, NEW_PROJECT="1")
    policies = [json.loads(path.read_text()) for path in folder.glob("policy-*.json")]
    filters = sorted(policy["conditions"][0]["conditionThreshold"]["filter"] for policy in policies)
    assert 'uptime_check/check_passed" AND resource.type="uptime_url"' in filters[0]
    assert 'response_code_class="5xx"' in filters[1]

"""What the workflows promise by how they are written; that they do it is tested where they are executed."""

from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"


def read(name: str) -> dict[Any, Any]:
    workflow: dict[Any, Any] = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())
    return workflow | {"on": workflow[True]}  # as YAML 1.1 reads that word


MAIN, MONITOR = read("main"), read("monitor")
JOBS: dict[str, dict[str, Any]] = MAIN["jobs"]


def needed(name: str) -> set[str]:
    """The jobs that must be over before this one."""
    direct = JOBS[name].get("needs", [])
    direct = [direct] if isinstance(direct, str) else direct
    return {*direct}.union(*map(needed, direct))


def test_words_alone_release_nothing_and_are_checked_all_the_same() -> None:
    """A push that changes only documents starts nothing; a pull request always reports what it must."""
    assert "**.md" in MAIN["on"]["push"]["paths-ignore"]
    assert not read("pull-request")["on"]["pull_request"]


def test_a_run_that_waits_is_not_lost() -> None:
    """One writer at a time, in the order of arrival; none takes the place of another, and none is cancelled."""
    assert MAIN["concurrency"] == {"group": "main", "cancel-in-progress": False, "queue": "max"}
    assert MONITOR["concurrency"] == MAIN["concurrency"]


def test_production_moves_in_one_place_on_main_after_all_checks() -> None:
    """Training is told never to promote, and what is kept, published, built or deployed follows that place."""
    (pipeline,) = [step for step in JOBS["train"]["steps"] if step.get("run") == "make pipeline"]
    assert pipeline["env"]["PARAMS"].endswith(" -p promote never")
    assert "github.ref == 'refs/heads/main' && needs.test.result == 'success'" in JOBS["production"]["if"]
    assert needed("production") == {"train", "test"}
    assert all("production" in needed(name) for name in JOBS if name not in ("train", "test", "production"))


def test_no_token_that_writes_is_near_a_package() -> None:
    """One job may write the repository; it installs nothing. No job that installs packages may write anything."""
    for workflow in (MAIN, MONITOR):
        jobs = workflow["jobs"].items()
        assert [name for name, job in jobs if job["permissions"].get("contents") == "write"] == ["save"]
    others = [read(name)["jobs"] for name in ("checks", "pull-request")]
    for job in [job for jobs in (JOBS, MONITOR["jobs"], *others) for job in jobs.values()]:
        if "./.github/actions/environment" in [step.get("uses") for step in job.get("steps", [])]:
            keyless = {"id-token"} if job.get("environment") == "monitoring" else set()
            assert {name for name, what in job["permissions"].items() if what != "read"} == keyless
            assert not [value for value in job.get("env", {}).values() if "secrets." in value or "token" in value]


@pytest.mark.parametrize("job", ["build", "attest", "deploy"])
def test_no_key_of_wandb_is_near_a_release(job: str) -> None:
    """It serves what lies in its image; the keys are those of steps that talk to W&B."""
    assert "WANDB" not in yaml.safe_dump(JOBS[job])
    assert not [step for step in JOBS["train"]["steps"] if "WANDB" in str(step) and step.get("run") != "make pipeline"]


def test_what_github_cancels_is_the_release_itself() -> None:
    """No shell and no make between them; whatever became of it, the last step settles both services on one pair."""
    *_, release, settle = JOBS["deploy"]["steps"]
    assert release["run"] == "exec python3 .github/release.py release"
    assert (settle["if"], settle["run"]) == ("always()", "exec python3 .github/release.py settle")


def test_what_could_not_be_attested_is_not_deployed() -> None:
    """Only where the repository does not attest at all a release goes on without; its steps verify before traffic."""
    assert "needs.attest.result == 'success' || needs.attest.result == 'skipped'" in JOBS["deploy"]["if"]
    runs = [step.get("run") for step in JOBS["deploy"]["steps"]]
    assert runs.index("make verify") < runs.index("exec python3 .github/release.py release")


def test_who_reads_the_log_may_do_nothing_else() -> None:
    """Google takes the token of that environment for the account that reads, and of no other job for it."""
    look = MONITOR["jobs"]["look"]
    accounts = [step["with"]["service_account"] for step in look["steps"] if "google-github-actions/auth" in str(step)]
    assert [account.partition("@")[0] for account in accounts] == ["wine-quality-monitor"]
    assert "wine-quality-monitor" not in yaml.safe_dump(MAIN)


def test_what_runs_by_itself_tells_somebody() -> None:
    """Whatever became of the jobs before it: all of them are asked."""
    for workflow in (MAIN, MONITOR):
        tell = workflow["jobs"]["tell"]
        assert tell["if"].startswith("${{ always() && ")
        assert set(tell["needs"]) == set(workflow["jobs"]) - {"tell"}
    assert "github.event_name == 'schedule' || inputs.unattended" in JOBS["tell"]["if"]

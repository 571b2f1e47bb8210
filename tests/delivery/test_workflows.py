"""The workflows, executed whole on this machine: what ran, what was skipped, what build and deployment were given.

Needs root, buildah and RUN_WORKFLOW (a program that runs a workflow with stand-ins for remote actions, which write down
their inputs); BASE_IMAGE names another base. The runs follow each other as in a repository's life; what one remembers
the next finds. Each job starts with a checkout, where `make environment` takes packages from this machine's cache. What
costs the same in every run is done once: layers of images that are the same, and the types that mypy has found.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.delivery.here import API, BASE_IMAGE, BUILD_FLAGS, COMMIT, IS_ROOT, PATH, STAND_INS, UI, needs
from tests.delivery.test_environment import PAYLOADS
from tests.stand_ins.image_registry import ImageRegistry, image_registry
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry

RUN_WORKFLOW = os.environ.get("RUN_WORKFLOW", "")
TOOLS = {"root": IS_ROOT, "buildah": shutil.which("buildah"), "RUN_WORKFLOW": RUN_WORKFLOW}
pytestmark = [pytest.mark.delivery, needs(TOOLS)]
PLACE = "europe-west1-docker.pkg.dev/a-project/wine-quality"
REPOSITORY = {"full_name": "somebody/wine", "name": "wine", "owner": {"login": "somebody"}, "default_branch": "main"}
LIMIT = 1500
UV = ROOT / ".venv" / "bin" / "uv"


class Run:
    """One finished run of a workflow."""

    def __init__(self, folder: Path, workflow: str, event: str, payload: dict[str, Any], *flags: str) -> None:
        checkout = folder.parent / "checkout"
        self.folder = folder
        folder.mkdir()
        (folder / "event.json").write_text(json.dumps(payload | {"repository": REPOSITORY}))
        self.store = folder / "store"
        # the service that a deployment starts finds the model that this very run made
        (folder / "good").symlink_to(self.store / "artifacts" / "model")
        releases = folder.parent / "releases"
        releases.mkdir(exist_ok=True)
        inside = {
            "GH_STORE": releases,
            "GH_ATTESTED": self.store / "calls.jsonl",
            "CONTAINERS_REGISTRIES_CONF": folder.parent / "registries.conf",
            "BUILDAH_ISOLATION": "chroot",
            "BUILDAH_LAYERS": "true",
            "BASE_IMAGE": BASE_IMAGE,
            "BUILD_FLAGS": " ".join(BUILD_FLAGS),
            "PYTEST_ADDOPTS": "tests/serving/test_settings.py",  # all tests have run before
            "GCLOUD_STATE": folder / "cloud",
            "GCLOUD_REVISION": shlex.join([sys.executable, str(STAND_INS / "revision.py")]),
            "MYPY_CACHE_DIR": folder.parent / "types",
            "UV_CACHE_DIR": subprocess.run(
                [UV, "cache", "dir"], check=True, capture_output=True, text=True
            ).stdout.strip(),
            "WORLD": folder,
        }
        (folder / "uv").symlink_to(UV)
        environment = os.environ | {
            "PATH": os.pathsep.join([str(folder), str(folder.parent / "bin"), PATH]),
            "CI_STUB_STORE": str(self.store),
            "LIMIT": str(LIMIT),
        }
        given = [RUN_WORKFLOW, str(checkout), f".github/workflows/{workflow}.yml", event, "--json"]
        given += ["--use-gitignore=false"]
        given += ["--event-json", str(folder / "event.json"), "--matrix", "python:3.11", *flags]
        for name, value in inside.items():
            given += ["--env", f"{name}={value}"]
        with (folder / "log").open("w") as log:
            done = subprocess.run([sys.executable, *given], env=environment, check=False, stdout=log, stderr=log)
        self.ended_well = done.returncode == 0

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        """What was said while it ran, a line each."""
        text = (self.folder / "log").read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    @property
    def log(self) -> str:
        """The end of it, for who wonders why it failed."""
        return "".join(f"{line.get('jobID')}: {line.get('msg', '').rstrip()}\n" for line in self.lines[-150:])

    @property
    def said(self) -> str:
        """Everything that steps printed."""
        return "\n".join(line.get("msg", "") for line in self.lines)

    @property
    def jobs(self) -> list[str]:
        """The jobs of which a step ran, in the order in which they began."""
        return [*dict.fromkeys(line["jobID"] for line in self.lines if "stepResult" in line)]

    def steps(self, job: str) -> list[str]:
        """The steps of a job that ran to a good end, in order."""
        ended = (line for line in self.lines if line.get("jobID") == job and line.get("stepResult") == "success")
        return [line["step"] for line in ended if line.get("stage") == "Main"]

    def given(self, action: str) -> list[dict[str, str]]:
        """The inputs of every call of an action."""
        calls = [json.loads(line) for line in (self.store / "calls.jsonl").read_text().splitlines()]
        return [call["with"] for call in calls if call["action"] == action]

    def artifacts(self) -> set[str]:
        return {path.name for path in (self.store / "artifacts").iterdir()}

    def carried(self) -> str:
        """The model version that images were built with."""
        version: str = json.loads((self.store / "artifacts" / "model" / "release.json").read_text())["version"]
        return version

    def verdict(self, artifact: str = "site") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.store / "artifacts" / artifact / "verdict.json").read_text())
        return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("github")
    subprocess.run(["git", "clone", "--quiet", ROOT, folder / "checkout"], check=True)
    origin = ["remote", "set-url", "origin", f"https://github.com/{REPOSITORY['full_name']}"]
    subprocess.run(["git", *origin], cwd=folder / "checkout", check=True)
    return folder


@pytest.fixture(scope="module")
def images(folder: Path) -> Iterator[ImageRegistry]:
    """What Google's registry holds: a registry on this machine, to which engines push what is for Google's."""
    host, engine = PLACE.partition("/")[0], shutil.which("buildah")
    with image_registry() as registry:
        there = registry.place.partition("/")[0]
        (folder / "registries.conf").write_text(f'[[registry]]\nlocation = "{there}"\ninsecure = true\n')
        (folder / "bin").mkdir()
        (folder / "bin" / "buildah").write_text(
            f"#!/bin/bash\nexec '{engine}' \"${{@/#docker:\\/\\/{host}/docker:\\/\\/{there}}}\"\n"
        )
        (folder / "bin" / "buildah").chmod(0o755)
        yield registry


@pytest.fixture(scope="module")
def retrain(folder: Path, images: ImageRegistry) -> Iterator[Run]:
    """Started as monitoring does it, with everything set up for deployment, where nothing was ever trained."""
    assert not images.manifests
    inputs = {"profile": "quick", "parameters": "-p n_estimators 50", "unattended": "true"}
    variables = {
        "GCP_PROJECT": "a-project",
        "GCP_WORKLOAD_IDENTITY_PROVIDER": "projects/1/providers/github",
        "PAGES": "on",
    }
    flags = [f"--var={name}={value}" for name, value in variables.items()]
    yield Run(folder / "retrain", "main", "workflow_dispatch", {"ref": "refs/heads/main", "inputs": inputs}, *flags)
    environment = os.environ | {"GCLOUD_STATE": str(folder / "retrain" / "cloud")}
    subprocess.run([STAND_INS / "gcloud", "--stop"], env=environment, check=True)


@pytest.fixture(scope="module")
def push(folder: Path, retrain: Run) -> Run:
    """Of code, with no variable and no secret, after the retrain has promoted a version."""
    assert retrain.ended_well, retrain.log
    return Run(folder / "push", "main", "push", {"ref": "refs/heads/main"}, "--var=PROFILE=quick")


@pytest.fixture(scope="module")
def moved(folder: Path, push: Run) -> Run:
    """Somebody has moved `production` in the registry, and says so."""
    assert push.ended_well, push.log
    return Run(folder / "moved", "main", "repository_dispatch", {"action": "production", "ref": "refs/heads/main"})


@pytest.fixture(scope="module")
def by_hand(folder: Path, moved: Run) -> Run:
    """Somebody promotes through the form what the push has trained."""
    assert moved.ended_well, moved.log
    inputs = {"action": "promote", "version": "v1", "reason": "tasted and approved"}
    return Run(folder / "by-hand", "main", "workflow_dispatch", {"ref": "refs/heads/main", "inputs": inputs})


def edit_prose(checkout: Path) -> None:
    """A commit that changes nothing in the model."""
    notebook = checkout / "notebooks" / "03_training.ipynb"
    notebook.write_text(notebook.read_text().replace('"# How well can', '"# How well, indeed, can', 1))
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    subprocess.run(["git", *who, "commit", "--quiet", "--all", "--message=Words"], cwd=checkout, check=True)


@pytest.fixture(scope="module")
def pull_request(folder: Path, by_hand: Run) -> Run:
    """From a branch of the repository itself, which edits a notebook's prose."""
    assert by_hand.ended_well, by_hand.log
    edit_prose(folder / "checkout")
    head = {"ref": "a-branch", "sha": COMMIT, "repo": {"full_name": "somebody/wine"}}
    request = {"number": 7, "head": head, "base": {"ref": "main"}, "user": {"login": "somebody"}}
    return Run(folder / "pull-request", "pull-request", "pull_request", {"pull_request": request, "number": 7})


@pytest.mark.parametrize("field", ["extra_csv", "parameters"])
def test_what_is_typed_into_the_form_is_not_run(folder: Path, field: str) -> None:
    """It is refused as a table's name, and shown as it was typed: quotes, dollars, line breaks."""
    mark = folder / "ran"
    text = " ".join(PAYLOADS).replace("MARK", str(mark))
    inputs = {"profile": "quick", field: text if field == "extra_csv" else f"-p extra_csv {shlex.quote(text)}"}
    run = Run(folder / field, "main", "workflow_dispatch", {"ref": "refs/heads/main", "inputs": inputs}, "--job=train")
    assert not run.ended_well
    assert f"extra_csv={text!r} is refused" in run.said, run.log
    assert not mark.exists()


def test_a_retrain_that_promotes_is_deployed(retrain: Run) -> None:
    """Train → test → promote → save → build → attest → deploy, the first version, with Google's token and no key."""
    assert retrain.ended_well, retrain.log
    first, *between, attest, deploy, last = retrain.jobs
    assert [first, attest, deploy, last] == ["train", "attest", "deploy", "tell"]
    assert sorted(between) == ["build", "lint", "notebooks", "pages", "production", "save", "tests"]
    assert max(map(between.index, ("lint", "notebooks", "tests"))) < between.index("production") < between.index("save")
    assert between.index("save") < between.index("build")
    assert retrain.verdict()["verdict"] == "promote"
    assert all(
        "workload_identity_provider" in call and "credentials_json" not in call for call in retrain.given("auth")
    )
    state = json.loads((retrain.folder / "cloud" / "state.json").read_text())["services"]
    assert state[API]["env"]["WINE_MODEL"] == "wine-quality:v0"
    assert "WINE_REGISTRY" not in state[API]["env"]


def test_what_nobody_waited_for_tells_somebody(folder: Path, retrain: Run) -> None:
    """Once all else is over, in one issue."""
    assert retrain.ended_well, retrain.log
    (issue,) = json.loads((folder / "releases" / "issues.json").read_text())["issues"]
    assert issue["title"] == "v0 is now production"


def test_the_verdict_is_carried_out_after_the_checks(retrain: Run) -> None:
    """The evaluation itself has moved nothing; afterwards verdict, front page and the image's record say what moved."""
    assert retrain.ended_well, retrain.log
    assert retrain.verdict("reports")["promoted"] is False
    assert retrain.verdict("site")["promoted"] is True
    record = json.loads((retrain.store / "artifacts" / "model" / "wine-quality" / "v0.json").read_text())
    assert record["evaluation"]["promoted"] is True
    assert "In production: wine-quality:v0" in (retrain.store / "artifacts" / "site" / "index.html").read_text()


def test_what_was_asked_is_what_is_pushed_and_deployed(retrain: Run, images: ImageRegistry) -> None:
    """By the digests of one build, of this commit."""
    assert retrain.ended_well, retrain.log
    note = json.loads((retrain.store / "artifacts" / "images" / "containers.json").read_text())
    assert (note["commit"], note["version"]) == (COMMIT, "v0")
    state = json.loads((retrain.folder / "cloud" / "state.json").read_text())["services"]
    for name in (API, UI):
        assert note["pushed"][name].startswith(f"{PLACE}/{name}@sha256:")
        assert images.manifest(note["pushed"][name])["config"]["digest"] == note["built"][name]
        (revision,) = state[name]["traffic"]
        assert state[name]["revisions"][revision]["image"] == note["pushed"][name]


def test_what_is_deployed_is_attested_and_verified(retrain: Run) -> None:
    """Both images, with their bills of materials, and the model; asked before anything is deployed."""
    assert retrain.ended_well, retrain.log
    subjects = [call["subject-name"] for call in retrain.given("attest")]
    assert subjects == [f"{PLACE}/{API}", f"{PLACE}/{UI}", "wine-quality", f"{PLACE}/{API}", f"{PLACE}/{UI}"]
    steps = retrain.steps("deploy")
    assert steps.index("make verify") < steps.index("exec python3 .github/release.py release")
    assert retrain.said.count("attested by somebody/wine") == 3


def test_the_job_that_may_write_installs_nothing(retrain: Run) -> None:
    """It takes what another job packed, and runs no package."""
    assert retrain.ended_well, retrain.log
    assert retrain.steps("save")[-1] == "make save"
    assert not [step for step in retrain.steps("save") if "environment" in step]


def test_parameters_of_the_form_reach_the_notebooks(retrain: Run) -> None:
    """What was typed into the form is what the executed notebook shows."""
    assert retrain.ended_well, retrain.log
    notebook = (retrain.store / "artifacts" / "reports" / "03_training.ipynb").read_text()
    assert json.loads(notebook)["metadata"]["papermill"]["parameters"]["n_estimators"] == 50


def test_reports_are_kept_and_published(retrain: Run) -> None:
    """Notebooks, pages and the verdict as one artifact, the evaluation as a page of its own, and Pages with history."""
    assert retrain.ended_well, retrain.log
    assert {"reports", "site", "04_evaluation.html", "quick-reports", "model"} <= retrain.artifacts()
    assert "archive" in str(retrain.given("upload-artifact"))
    (published,) = retrain.given("upload-pages-artifact")
    reports = retrain.store / "artifacts" / published["path"]
    assert {"index.html", "04_evaluation.html", "04_evaluation.ipynb", "history"} <= {p.name for p in reports.iterdir()}


def test_a_push_deploys_code_with_the_version_in_production(push: Run) -> None:
    """The new runner remembers; nothing is promoted; images carry production's version."""
    assert push.ended_well, push.log
    verdict = push.verdict()
    assert verdict["promoted"] is False
    assert (verdict["candidate"]["version"], verdict["production"]["version"]) == ("v1", "v0")
    assert push.carried() == "v0"


def test_without_variables_and_secrets_all_is_green_and_says_what_to_set(push: Run) -> None:
    """Nothing is pushed, deployed or published, and notices name the variables."""
    assert push.ended_well, push.log
    assert sorted(push.jobs) == ["build", "lint", "notebooks", "production", "save", "tests", "train"]
    assert "images" not in push.artifacts()
    assert not push.given("auth")
    assert "GCP_WORKLOAD_IDENTITY_PROVIDER" in push.said
    assert "set the variable PAGES" in push.said


def test_a_moved_alias_is_released_without_training(moved: Run) -> None:
    """The version that carries the alias now is tested and built; no notebook trains, and no report is published."""
    assert moved.ended_well, moved.log
    assert sorted(moved.jobs) == ["build", "lint", "notebooks", "production", "save", "tests"]
    assert moved.carried() == "v0"


def test_what_a_person_asks_for_is_done_and_kept(by_hand: Run) -> None:
    """Nothing is trained; production moves, and the kept history says who asked and why; that version is built."""
    assert by_hand.ended_well, by_hand.log
    assert sorted(by_hand.jobs) == ["build", "lint", "notebooks", "production", "save", "tests"]
    assert by_hand.carried() == "v1"
    with tarfile.open(by_hand.store / "artifacts" / "registry" / "registry.tar.gz") as kept:
        kept.extractall(by_hand.folder / "kept", filter="data")
    last = FolderRegistry(by_hand.folder / "kept").history(MODEL)[-1]
    assert (last.previous, last.version, last.reason, last.by) == ("v0", "v1", "tasted and approved", "nektos/act")


def test_a_branch_promotes_nothing(folder: Path, moved: Run) -> None:
    """From another branch a dispatch trains and is checked, and moves, saves, builds nothing; it gets no key."""
    assert moved.ended_well, moved.log
    inputs = {"profile": "quick", "parameters": "-p n_estimators 40"}
    event = {"ref": "refs/heads/a-branch", "inputs": inputs}
    flags = ["--secret=WANDB_API_KEY=not-a-real-key", "--job=train"]
    run = Run(folder / "a-branch", "main", "workflow_dispatch", event, *flags)
    assert run.ended_well, run.log
    assert run.verdict("reports")["promoted"] is False
    assert run.artifacts() == {"reports", "04_evaluation.html", "trained"}


def test_a_pull_request_is_checked_and_told(pull_request: Run) -> None:
    """Lint, tests, notebooks, containers, and one comment with the verdict; nothing is written back."""
    assert pull_request.ended_well, pull_request.log
    assert sorted(pull_request.jobs) == ["comment", "containers", "lint", "notebooks", "tests"]
    assert "make check" in " ".join(pull_request.steps("lint"))
    assert "make pipeline PROFILE=quick" in " ".join(pull_request.steps("notebooks"))
    (comment,) = pull_request.given("sticky-pull-request-comment")
    assert comment == {"header": "verdict", "path": "reports/summary.md"}
    summary = (pull_request.store / "artifacts" / "quick-reports" / "summary.md").read_text()
    assert summary.startswith("## Verdict: unchanged")
    assert "Dataset v0;" in summary
    assert {"quick-reports", "04_evaluation.html", "base_evaluation.html"} <= pull_request.artifacts()


def test_a_pull_request_meets_its_base(pull_request: Run) -> None:
    """Words alone change nothing in the model: exactly zero in every slice; the cell is named, and seconds told."""
    assert pull_request.ended_well, pull_request.log
    assert "::notice title=Verdict: unchanged::" in pull_request.said
    summary = (pull_request.store / "artifacts" / "quick-reports" / "summary.md").read_text()
    assert len(re.findall("exactly zero$", summary, re.MULTILINE)) == 8
    assert "03_training.ipynb: edited prose" in summary
    assert re.search(r"^\| 04_evaluation \| \d+\.\d \| \d+\.\d \|$", summary, re.MULTILINE)
    assert re.search(r"\[This report\]\(\S+\) · \[The base's report\]\(\S+\)$", summary)


def test_only_main_keeps_the_registry(folder: Path, pull_request: Run) -> None:
    """Four runs on main have left the newest three assets; the pull request left none."""
    assert pull_request.ended_well, pull_request.log
    kept = sorted(path.name for path in (folder / "releases" / "registry").iterdir())
    assert kept == [f"registry-{number:06d}.tar.gz" for number in (2, 3, 4)]

"""Releases on a stand-in for Cloud Run with real local servers: whatever happens, the pair that serves is a whole one.

Where GCLOUD_LINT names a command that knows the real SDK, it is given every call of some cases. The cases run in order
on one cloud, as releases do in life.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from tests import tiny
from tests.conftest import ROOT
from tests.delivery.here import API, COMMIT, PATH, STAND_INS, UI, export
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry

pytestmark = pytest.mark.delivery
PREFIX = "europe-west1-docker.pkg.dev/a-project/wine-quality"

KEY = "a-key-of-the-test"
WANDB_KEY = "a-key-of-wandb"
REPORTS = "https://somebody.github.io/wine"
LINT = {"GCLOUD_LINT": os.environ["GCLOUD_LINT"]} if "GCLOUD_LINT" in os.environ else {}

State = dict[str, tuple[dict[str, int], dict[str, str]]]  # service → traffic, names of pairs


class World:
    """A laptop with this repository's release script, and a cloud."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / ".github", folder / ".github")
        tiny.write_bundle(folder / "bundle")
        tiny.write_bundle(folder / "other", seed=1)
        for name, bundle in {"good": "bundle", "wrong": "other"}.items():
            FolderRegistry(folder / name).publish(folder / bundle, MODEL, kind="model", aliases=["production"])
        export(folder / "good", folder / "artifacts" / "image")
        (folder / "bin").mkdir()  # make as it is here, with this checkout's environment
        (folder / "bin" / "make").write_text(f"#!/bin/sh\nexec '{shutil.which('make')}' -C '{ROOT}' \"$@\"\n")
        (folder / "bin" / "make").chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "GCLOUD_LINT"},
            "PATH": f"{folder / 'bin'}{os.pathsep}{PATH}",
            "WINE_REGISTRY": f"folder:{folder / 'good'}",
            "GCLOUD_STATE": str(folder / "state"),
            "GCLOUD_REVISION": shlex.join([sys.executable, str(STAND_INS / "revision.py")]),
            "GITHUB_SHA": COMMIT,
            "WORLD": str(folder),
            "GCP_PROJECT": "a-project",
            "RELEASE_PATIENCE": "8",  # an API starts in two on a machine that does nothing else
        }

    def start(
        self,
        command: str,
        step: list[str] | None = None,
        *,
        struck: str = "0   ",
        api: str = "good",
        ui: str = "good",
        **variables: str,
    ) -> subprocess.Popen[str]:
        """The release script, or a step that runs it, with these images; `struck` is when it is signalled."""
        (self.folder / "state").mkdir(exist_ok=True)
        (self.folder / "state" / "struck").write_text(struck)
        images = {name: f"{PREFIX}/{fault}@sha256:{'0' * 64}" for name, fault in {API: api, UI: ui}.items()}
        release = json.loads((self.folder / "artifacts" / "image" / "release.json").read_text())
        (self.folder / "artifacts" / "containers.json").write_text(
            json.dumps(release | {"commit": COMMIT, "pushed": images})
        )
        call = step or [sys.executable, ".github/release.py", command]
        streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
        return subprocess.Popen(call, cwd=self.folder, env={**self.environment, **variables}, text=True, **streams)

    def run(self, command: str, *, refused: str = "0", **given: str) -> subprocess.CompletedProcess[str]:
        """The finished release script; `refused`, "N TEXT", is the call of gcloud that fails."""
        (self.folder / "state").mkdir(exist_ok=True)
        (self.folder / "state" / "refused").write_text(refused)
        with self.start(command, None, **given) as process:
            out, err = process.communicate(timeout=120)
            return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def prepare(self, command: str) -> None:
        """Going back needs a pair that was released before the one that serves."""
        while command == "back" and len(self.serving()[UI][1]) < 3:  # the first is the placeholders'
            assert self.run("release").returncode == 0

    def gcloud(self, *words: str, said: str = "") -> None:
        call = [str(STAND_INS / "gcloud"), *words]
        subprocess.run(call, check=True, env=self.environment, capture_output=True, input=said, text=True)

    def services(self) -> dict[str, Any]:
        services: dict[str, Any] = json.loads((self.folder / "state" / "state.json").read_text())["services"]
        return services

    def serving(self) -> State:
        """What each service serves, and the names of the pairs to which it could go back."""
        return {
            name: (service["traffic"], {tag: to for tag, to in service["tags"].items() if tag.startswith("served-")})
            for name, service in self.services().items()
        }

    def pair(self) -> str:
        """The name under which both services serve."""
        names = [
            {tag for tag, revision in tags.items() if traffic == {revision: 100}}
            for traffic, tags in self.serving().values()
        ]
        (name,) = set.intersection(*names)
        return name

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.services()[name]['port']}"

    def check_visitors(self) -> None:
        """Who comes to the public addresses now is served, and correctly."""
        golden = json.loads((self.folder / "bundle" / "reference.json").read_text())["golden"][0]
        body, headers = json.dumps(golden["wine"]).encode(), {"Content-Type": "application/json", "X-API-Key": KEY}
        with urlopen(Request(f"{self.address(API)}/predict", body, headers), timeout=10) as answer:
            assert json.load(answer)["quality"] == pytest.approx(golden["quality"], abs=1e-3)
        with urlopen(self.address(UI), timeout=10) as answer:
            assert b"<html" in answer.read()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A cloud where nothing serves yet."""
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.gcloud("--stop")


@pytest.fixture(scope="module")
def first(world: World) -> subprocess.CompletedProcess[str]:
    """The first release."""
    outputs = {"GITHUB_OUTPUT": str(world.folder / "outputs")}
    return world.run("release", WINE_REPORTS_URL=REPORTS, WANDB_API_KEY=WANDB_KEY, **LINT, **outputs)


@pytest.fixture
def released(world: World, first: subprocess.CompletedProcess[str]) -> World:
    """The cloud after the first release."""
    assert first.returncode == 0, first.stdout + first.stderr
    return world


def test_a_first_release_that_fails_leaves_the_placeholder(world: World) -> None:
    """Where nothing was released yet, a wrong API gets no visitor."""
    done = world.run("release", api="wrong", **LINT)
    assert done.returncode == 1, done.stdout + done.stderr
    revisions = {name: service["revisions"] for name, service in world.services().items()}
    serving = {name: next(iter(traffic)) for name, (traffic, _) in world.serving().items()}
    images = {revisions[name][revision]["image"] for name, revision in serving.items()}
    assert images == {"us-docker.pkg.dev/cloudrun/container/hello"}


def test_the_first_release(released: World) -> None:
    """Both services serve their new revision, whole; the API serves what lies in its image and asks no registry."""
    assert all(list(traffic.values()) == [100] for traffic, _ in released.serving().values())
    variables = {"WINE_API_URL": released.address(API), "WINE_REPORTS_URL": REPORTS}
    assert released.services()[UI]["env"] == variables
    variables = {"WINE_MODEL": "wine-quality:v0", "GOOGLE_CLOUD_PROJECT": "a-project"}
    assert released.services()[API]["env"] == variables
    assert WANDB_KEY not in (released.folder / "state" / "calls.jsonl").read_text()
    assert (released.folder / "outputs").read_text() == f"page={released.address(UI)}\n", "for the run's page on GitHub"
    released.check_visitors()


def test_the_same_digest_again(released: World) -> None:
    """A release of what serves already goes the same way."""
    before = released.pair()
    assert released.run("release").returncode == 0
    assert released.pair() > before
    assert all(before in tags for _, tags in released.serving().values())
    released.check_visitors()


FAILURES = {
    "the API crashes at start": ("crash", "good", "failed to start"),
    "the API answers wrongly": ("wrong", "good", "golden wine 0"),
    "the API hangs": ("hang", "good", "does not answer"),
    "the API fails once it has traffic": ("late", "good", "out of order"),
    "the UI crashes at start": ("good", "crash", "failed to start"),
    "the UI hangs": ("good", "hang", "does not answer"),
    "the UI fails after the API was shifted": ("good", "late", "shift wine-quality-ui"),
}


@pytest.mark.parametrize(("api", "ui", "words"), FAILURES.values(), ids=list(FAILURES))
def test_a_failed_release_changes_nothing(released: World, api: str, ui: str, words: str) -> None:
    """Both services serve what they served before, and the exit code and the log say what failed."""
    before = released.serving()
    done = released.run("release", api=api, ui=ui)
    assert done.returncode == 1, done.stdout + done.stderr
    assert words in done.stdout
    assert "serve what they served before" in done.stderr
    assert released.serving() == before
    released.check_visitors()


@pytest.mark.parametrize("number", range(1, 8))
def test_gcloud_fails_in_the_middle(released: World, number: int) -> None:
    """Whichever call of a release the cloud refuses, both services serve what they served before."""
    before = released.serving()
    done = released.run("release", refused=f"{number} gcloud run")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "503" in done.stdout + done.stderr
    assert released.serving() == before
    released.check_visitors()


def test_the_way_back_is_tried_again(released: World) -> None:
    """A cloud that refuses the first call of the restoration too does not leave a half-moved pair."""
    before = released.serving()
    done = released.run("release", ui="late", refused="3 update-traffic")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED to restore" in done.stdout
    assert released.serving() == before


def test_a_split_of_the_traffic_comes_back(released: World) -> None:
    """An operator's split is part of what a failed release restores."""
    traffic, tags = released.serving()[API]
    (current,), former = traffic, tags[min(tags)]
    released.gcloud("run", "services", "update-traffic", API, f"--to-revisions={current}=90,{former}=10")
    before = released.serving()
    assert released.run("release", ui="late").returncode == 1
    assert released.serving() == before
    released.gcloud("run", "services", "update-traffic", API, f"--to-revisions={current}=100")


STEP = next(
    step["run"]
    for step in yaml.safe_load((ROOT / ".github/workflows/main.yml").read_text())["jobs"]["deploy"]["steps"]
    if "release.py release" in step.get("run", "")
)


AT_ANY_CALL = [("release", number) for number in range(1, 8)] + [("back", number) for number in range(1, 5)]


@pytest.mark.parametrize(("command", "number"), AT_ANY_CALL)
def test_killed_at_any_call(released: World, command: str, number: int) -> None:
    """A machine goes after any call: the next command settles on a pair that served, or is the new one."""
    released.prepare(command)
    before, names = released.pair(), released.serving()[UI][1]
    with released.start(command, struck=f"{number} SIGKILL after gcloud run") as process:
        process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    done = released.run("settle")
    assert done.returncode == 0, done.stdout + done.stderr
    new = released.pair()
    assert new == before or (new > before if command == "release" else new == [*sorted(names)][-2])
    released.check_visitors()


@pytest.mark.parametrize(("command", "number"), AT_ANY_CALL)
def test_cancelled_at_any_call(released: World, command: str, number: int) -> None:
    """As GitHub does it, signalling only what the workflow's step began as: nothing goes on, nothing is mixed."""
    released.prepare(command)
    before = released.pair()
    run = STEP.replace("release.py release", f"release.py {command}")
    step = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", run]
    with released.start(command, step, struck=f"{number} SIGINT before gcloud run") as process:
        for name, seconds in (("SIGTERM", 7.5), ("SIGKILL", 2.5)):
            try:
                out, err = process.communicate(timeout=seconds)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.Signals[name])
        else:
            out, err = process.communicate(timeout=60)
    assert process.returncode != 0, out + err
    with pytest.raises(ProcessLookupError):  # nobody of the step is left
        os.killpg(process.pid, 0)
    done = released.run("settle")
    assert done.returncode == 0, done.stdout + done.stderr
    assert released.pair() == before
    released.check_visitors()


def test_a_first_release_that_is_killed(tmp_path: Path) -> None:
    """Where only placeholders served before, both serve a placeholder again."""
    world = World(tmp_path)
    try:
        with world.start("release", struck="3 SIGKILL after update-traffic") as process:
            process.communicate(timeout=120)
        assert world.run("settle").returncode == 0
        assert world.pair() == "served-000000000000"
    finally:
        world.gcloud("--stop")


def test_what_cannot_be_restored_is_said(released: World, tmp_path: Path) -> None:
    """Where traffic moves once and never again, the exit code is 2 and the commands to type are right."""
    before = released.pair()
    broken = tmp_path / "gcloud"
    moved = tmp_path / "moved"
    broken.write_text(
        f"#!/bin/sh\ncase \"$*\" in *update-traffic*) [ ! -e '{moved}' ] || exit 1; touch '{moved}';; esac\n"
        f"exec '{STAND_INS / 'gcloud'}' \"$@\"\n"
    )
    broken.chmod(0o755)
    done = released.run("release", PATH=f"{tmp_path}{os.pathsep}{released.environment['PATH']}")
    assert done.returncode == 2, done.stdout + done.stderr
    with pytest.raises(ValueError, match="not enough values"):
        released.pair()
    for line in done.stderr.splitlines():
        if line.startswith("gcloud "):
            released.gcloud(*shlex.split(line)[1:])
    assert released.pair() == before


def test_back_goes_further_back_each_time(released: World) -> None:
    """Each time to the pair before, and never again to one gone back from, whatever is released since."""
    for _ in range(2):
        assert released.run("release").returncode == 0
    *_, first, second, third = sorted(released.serving()[API][1])
    done = released.run("back", **LINT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert released.pair() == second
    assert f"The next push deploys main with v0, by `production` in folder:{released.folder / 'good'}" in done.stdout
    assert 'make promote VERSION=v0 REASON="…"' in done.stdout
    released.check_visitors()
    assert released.run("back").returncode == 0
    assert released.pair() == first
    assert released.run("release").returncode == 0
    assert not {second, third} & set(released.serving()[API][1])
    assert released.run("back").returncode == 0
    assert released.pair() == first


def test_back_says_what_the_next_push_deploys_and_moves_production_when_asked(released: World) -> None:
    """As `production` resolves: first to another version than the one that serves; with a reason to that one."""
    registry = FolderRegistry(released.folder / "good")
    registry.publish(released.folder / "other", MODEL, kind="model", aliases=["production"])
    for _ in range(2):
        assert released.run("release").returncode == 0
    done = released.run("back")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The next push deploys main with v1, by `production`" in done.stdout
    done = released.run("back", REASON="too sweet")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The next push deploys main with v0, by `production`" in done.stdout
    assert (registry.aliases(MODEL)["production"], registry.history(MODEL)[-1].reason) == ("v0", "too sweet")


def test_back_that_cannot_move_production_says_so(released: World) -> None:
    """Both services went back all the same; what the next push deploys cannot be said where no registry answers."""
    assert released.run("release").returncode == 0
    before = released.pair()
    done = released.run("back", REASON="too sweet", WINE_REGISTRY="folder:/nowhere")
    assert done.returncode == 1
    assert "both services went back, and `production` did not move to v0" in done.stderr
    assert released.pair() < before
    assert released.run("release").returncode == 0
    done = released.run("back", WINE_REGISTRY="no registry")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The next push deploys what cannot be said, as `make decision" in done.stdout


def test_back_needs_a_pair_that_served(tmp_path: Path) -> None:
    """What serves now is left alone where nothing served before it."""
    world = World(tmp_path)
    try:
        assert world.run("settle").returncode == 0
        done = world.run("back")
        assert done.returncode == 1
        assert "there is no former pair to go back to" in done.stderr
    finally:
        world.gcloud("--stop")


def test_back_is_refused_when_the_former_pair_does_not_answer(released: World) -> None:
    """Nothing moves to a revision that is dead by now."""
    before = released.serving()
    former = before[API][1][sorted(before[API][1])[-2]]
    os.killpg(released.services()[API]["revisions"][former]["pid"], signal.SIGKILL)
    done = released.run("back")
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert released.serving() == before


def test_an_api_with_a_key(released: World) -> None:
    """With API_ACCESS=key the golden wines are asked with the secret key."""
    released.gcloud("secrets", "create", "wine-api-key", "--data-file=-", said=KEY)
    done = released.run("release", API_ACCESS="key", **LINT)
    assert done.returncode == 0, done.stdout + done.stderr
    released.check_visitors()


def test_the_calls_ask_for_what_was_promised(released: World) -> None:
    """Instances, memory, probes, concurrency, time-outs, pinned model and key, as the recorded calls show."""
    calls = [json.loads(line) for line in (released.folder / "state" / "calls.jsonl").read_text().splitlines()]
    deploys = [set(call) for call in calls if call[:2] == ["run", "deploy"] and "--no-traffic" in call]
    both = {"--cpu=1", "--memory=512Mi", "--min-instances=0", "--max-instances=10", "--region=europe-west1"}
    assert all(both <= call for call in deploys)
    *_, api, ui = deploys
    assert any(flag.startswith("--startup-probe=httpGet.path=/health,") for flag in api)
    assert any(flag.startswith("--liveness-probe=httpGet.path=/live,") for flag in api)
    assert {"--session-affinity", "--timeout=3600", "--set-secrets=WINE_API_KEY=wine-api-key:latest"} <= ui
    assert not any(flag.startswith("--allow-unauthenticated") for flag in api | ui)

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

from tests import tiny
from tests.conftest import ROOT
from tests.delivery.here import API, COMMIT, PATH, STAND_INS, UI, export
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry

pytestmark = pytest.mark.delivery
PREFIX = "europe-west1-docker.pkg.dev/a-project/wine-quality"

KEY = "a-key-of-the-test"
REPORTS = "https://somebody.github.io/wine"
LINT = {"GCLOUD_LINT": os.environ["GCLOUD_LINT"]} if "GCLOUD_LINT" in os.environ else {}

State = dict[str, tuple[dict[str, int], str | None]]  # service → traffic, revision tagged `previous`


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
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "GCLOUD_LINT"},
            "PATH": PATH,
            "GCLOUD_STATE": str(folder / "state"),
            "GCLOUD_REVISION": shlex.join([sys.executable, str(STAND_INS / "revision.py")]),
            "GITHUB_SHA": COMMIT,
            "WORLD": str(folder),
            "GCP_PROJECT": "a-project",
            "RELEASE_PATIENCE": "4",
        }

    def start(self, command: str, *, api: str = "good", ui: str = "good", **variables: str) -> subprocess.Popen[str]:
        """The release script, running, where these two images were pushed."""
        images = {name: f"{PREFIX}/{fault}@sha256:{'0' * 64}" for name, fault in {API: api, UI: ui}.items()}
        release = json.loads((self.folder / "artifacts" / "image" / "release.json").read_text())
        (self.folder / "artifacts" / "containers.json").write_text(
            json.dumps(release | {"commit": COMMIT, "images": images})
        )
        call = [sys.executable, str(self.folder / ".github" / "release.py"), command]
        streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(call, cwd=ROOT, env={**self.environment, **variables}, text=True, **streams)

    def run(self, command: str, *, refused: str = "0", **given: str) -> subprocess.CompletedProcess[str]:
        """The finished release script; `refused`, "N TEXT", is the call of gcloud that fails."""
        (self.folder / "state").mkdir(exist_ok=True)
        (self.folder / "state" / "refused").write_text(refused)
        with self.start(command, **given) as process:
            out, err = process.communicate(timeout=120)
            return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def gcloud(self, *words: str, said: str = "") -> None:
        call = [str(STAND_INS / "gcloud"), *words]
        subprocess.run(call, check=True, env=self.environment, capture_output=True, input=said, text=True)

    def services(self) -> dict[str, Any]:
        services: dict[str, Any] = json.loads((self.folder / "state" / "state.json").read_text())["services"]
        return services

    def serving(self) -> State:
        """What each service serves, and where `back` would lead."""
        return {
            name: (service["traffic"], service["tags"].get("previous")) for name, service in self.services().items()
        }

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
    return world.run("release", WINE_REPORTS_URL=REPORTS, **LINT)


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
    """Both services serve their new revision, whole."""
    assert all(list(traffic.values()) == [100] for traffic, _ in released.serving().values())
    variables = {"WINE_API_URL": released.address(API), "WINE_REPORTS_URL": REPORTS}
    assert released.services()[UI]["env"] == variables
    assert released.services()[API]["env"]["WINE_MODEL"] == "wine-quality:v0"
    released.check_visitors()


def test_the_same_digest_again(released: World) -> None:
    """A release of what serves already goes the same way."""
    before = released.serving()
    assert released.run("release").returncode == 0
    after = released.serving()
    assert {name: [previous] for name, (_, previous) in after.items()} == {
        name: list(traffic) for name, (traffic, _) in before.items()
    }
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
    traffic, former = released.serving()[API]
    (current,) = traffic
    released.gcloud("run", "services", "update-traffic", API, f"--to-revisions={current}=90,{former}=10")
    before = released.serving()
    assert released.run("release", ui="late").returncode == 1
    assert released.serving() == before
    released.gcloud("run", "services", "update-traffic", API, f"--to-revisions={current}=100")


def test_a_signal_ends_a_release_like_any_failure(released: World) -> None:
    """Somebody cancels the workflow after the API was shifted."""
    before = released.serving()
    with released.start("release") as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith(f"shift {UI}"):
                process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 1
    assert released.serving() == before


def test_what_cannot_be_restored_is_said(released: World, tmp_path: Path) -> None:
    """Where traffic moves once and never again, the exit code is 2 and the commands to type are right."""
    before = released.serving()
    broken = tmp_path / "gcloud"
    moved = tmp_path / "moved"
    broken.write_text(
        f"#!/bin/sh\ncase \"$*\" in *update-traffic*) [ ! -e '{moved}' ] || exit 1; touch '{moved}';; esac\n"
        f"exec '{STAND_INS / 'gcloud'}' \"$@\"\n"
    )
    broken.chmod(0o755)
    done = released.run("release", PATH=f"{tmp_path}{os.pathsep}{released.environment['PATH']}")
    assert done.returncode == 2, done.stdout + done.stderr
    assert released.serving() != before
    for line in done.stderr.splitlines():
        if line.startswith("gcloud "):
            released.gcloud(*shlex.split(line)[1:])
    assert released.serving() == before


def test_back_and_forth(released: World) -> None:
    """One command returns to the former pair, and the same command once more returns from there."""
    before = released.serving()
    assert released.run("back", **LINT).returncode == 0
    after = released.serving()
    assert {name: next(iter(traffic)) for name, (traffic, _) in after.items()} == {
        name: previous for name, (_, previous) in before.items()
    }
    released.check_visitors()
    assert released.run("back").returncode == 0
    assert released.serving() == before


def test_back_is_refused_when_the_former_pair_does_not_answer(released: World) -> None:
    """Nothing moves to a revision that is dead by now."""
    before = released.serving()
    former = before[API][1]
    assert former
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

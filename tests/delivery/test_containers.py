"""Both images as they are built and run: what is inside, and how they live under 512 MB and one CPU.

Needs root, buildah and a model version in artifacts/image (`make export`). BASE_IMAGE names another base, and
CONTAINER_CHECK a script that builds an image and runs it under such limits.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import pytest

from tests import servers
from tests.conftest import ROOT
from tests.delivery.here import API, BASE_IMAGE, BUILD_FLAGS, COMMIT, IS_ROOT, UI, needs
from tests.servers import Server
from tests.stand_ins.image_registry import image_registry
from tests.stand_ins.wandb_server.__main__ import promote
from tests.stand_ins.wandb_server.app import WandbServer

EXPORT = ROOT / "artifacts" / "image"
TOOLS = {name: which(name) for name in ("buildah", "unshare", "nsenter", "ip")}
CARRIED = {"a model version (make export)": (EXPORT / "release.json").exists()}
pytestmark = [pytest.mark.delivery, needs({"root": IS_ROOT, **TOOLS, **CARRIED})]
CHECK = os.environ.get("CONTAINER_CHECK", "")
limited = needs({"CONTAINER_CHECK, a script that runs an image under limits": CHECK})
WANDB = f"{API}-wandb"
SITE_PACKAGES = {API: 180, WANDB: 260}  # MB at most


def image(name: str) -> str:
    return f"localhost/{name}:{COMMIT}"


def make(target: str, *beside: str, **variables: str) -> str:
    """What a target says, `beside` another program; images are built in layers, so that nothing is installed twice."""
    given = {"BASE_IMAGE": BASE_IMAGE, "BUILD_FLAGS": shlex.join(BUILD_FLAGS), "GITHUB_SHA": COMMIT}
    engine = {"BUILDAH_ISOLATION": "chroot", "BUILDAH_LAYERS": "true"}
    environment = os.environ | given | engine | variables
    command = [sys.executable, *beside, ".github/containers.py", target]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def images() -> list[str]:
    """Both images, built as `make images` builds them."""
    make("build")
    return [API, UI]


@pytest.fixture(scope="session")
def asking_wandb() -> str:
    """What is said where the image that asks W&B is built, started beside a W&B of this machine, and asked."""
    return make("wandb", "-m", "tests.stand_ins.wandb_server", sys.executable)


@contextmanager
def unpacked(name: str) -> Iterator[Path]:
    """The image's root file system."""
    container = buildah("from", "--pull-never", image(name))
    try:
        yield Path(buildah("mount", container))
    finally:
        buildah("rm", container)


def buildah(*words: str) -> str:
    return subprocess.run(["buildah", *words], check=True, capture_output=True, text=True).stdout.strip()


def configuration(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(buildah("inspect", "--type=image", image(name)))["Docker"]["config"]
    return found


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def site_packages(root: Path) -> Path:
    return next((root / "opt/venv/lib").glob("python3*/site-packages"))


@pytest.mark.parametrize("name", [API, UI])
def test_nothing_is_inside_that_does_not_serve(images: list[str], name: str) -> None:
    """No compiler, no notebook, no cache, no test, no other room, and pip not beside the service's packages."""
    assert name in images
    with unpacked(name) as root:
        room = "wine_serving" if name == API else "wine_ui"
        assert {path.name for path in (root / "app").iterdir()} == {room} | ({"registry"} if name == API else set())
        for tool in ("gcc", "cc", "make", "g++"):
            assert not (root / "usr/bin" / tool).exists()
        packages = {path.name for path in site_packages(root).iterdir()}
        assert not packages & {"pip", "setuptools", "sklearn", "wandb", "pytest", "papermill"}
        assert ("pandas" in packages) == (name == UI)
        files = [path for folder in ("app", "opt", "root", "tmp") for path in (root / folder).rglob("*")]
        assert not [path for path in files if path.suffix == ".ipynb" or path.name in {".cache", ".git", "pip.conf"}]
        assert not [*(root / "tmp").iterdir()]


@pytest.mark.parametrize("name", [API, UI])
def test_labels_user_and_health(images: list[str], name: str) -> None:
    """The image says its commit and model version, runs as a number, and knows how to ask for its own health."""
    assert name in images
    found = configuration(name)
    labels = found["Labels"]
    assert labels["org.opencontainers.image.revision"] == COMMIT
    assert labels["org.opencontainers.image.version"] == json.loads((EXPORT / "release.json").read_text())["version"]
    assert found["User"] == "10001:10001"
    assert "curl" not in str(found["Healthcheck"]["Test"])


@pytest.mark.usefixtures("images", "asking_wandb")
def test_the_api_is_small() -> None:
    """180 MB of packages, and 260 MB with what loads versions from W&B."""
    for name, most in SITE_PACKAGES.items():
        with unpacked(name) as root:
            size = megabytes(site_packages(root))
            print(f"{name}: site-packages {size:.0f} MB")
            assert size <= most


def layers(name: str) -> list[str]:
    found: list[str] = json.loads(buildah("inspect", "--type=image", image(name)))["OCIv1"]["rootfs"]["diff_ids"]
    return found


def test_two_builds_make_the_same_layers(images: list[str]) -> None:
    """From the same commit and the same model, with nothing taken from a cache."""
    before = {name: layers(name) for name in images}
    make("build", BUILD_FLAGS=shlex.join([*BUILD_FLAGS, "--no-cache"]))
    assert {name: layers(name) for name in images} == before


def test_what_was_built_and_asked_is_what_is_pushed(images: list[str], tmp_path: Path) -> None:
    """By id and by digest: the pushed manifest holds the configuration that was built, and was asked in between."""
    with image_registry() as registry:
        trusted = tmp_path / "registries.conf"
        host = registry.place.partition("/")[0]
        trusted.write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
        said = make("build", PUSH=registry.place, CONTAINERS_REGISTRIES_CONF=str(trusted))
        noted = json.loads((ROOT / "artifacts" / "containers.json").read_text())
        for name in images:
            assert f"{name} answers correctly" in said
            assert registry.manifest(noted["pushed"][name])["config"]["digest"] == noted["built"][name]
        assert noted["commit"] == COMMIT


def test_both_images_answer_what_a_release_asks(images: list[str]) -> None:
    """`make smoke` with the engine that is here."""
    said = make("smoke")
    assert all(f"{name} answers correctly" in said for name in images)


@pytest.mark.parametrize("name", [API, UI])
def test_neither_a_network_nor_a_writable_file_is_needed(images: list[str], name: str, tmp_path: Path) -> None:
    """With loopback only, and where not even /tmp can be written, the image's own question finds it healthy."""
    assert name in images
    found = configuration(name)
    with unpacked(name) as root:
        script = (
            'ip link set lo up && mount --bind "$0" "$0" && mount --rbind /dev "$0/dev" && '
            'mount -o remount,ro,bind "$0" && exec chroot --userspec=10001:10001 "$0" env -i "$@"'
        )
        inside = [*found["Env"], "env", "-C", "/app"]
        log = tmp_path / "log"
        with log.open("w") as opened:
            command = ["unshare", "--net", "--mount", "sh", "-c", script, str(root), *inside, *found["Cmd"]]
            server = subprocess.Popen(command, stdout=opened, stderr=opened)
        question = ["nsenter", f"--target={server.pid}", "--net", "--root", "env", "-i", *found["Env"]]
        question += found["Healthcheck"]["Test"][1:]
        try:
            assert succeeds(question, server), log.read_text()
            server.terminate()
            server.wait(10)
        finally:
            server.kill()
            server.wait()


def test_an_image_without_a_model_takes_it_from_wandb(asking_wandb: str) -> None:
    """`make smoke` starts it, too: nothing is baked in, and it scores the golden wines of what is in production."""
    assert f"{WANDB} answers correctly" in asking_wandb
    with unpacked(WANDB) as root:
        assert {path.name for path in (root / "app").iterdir()} == {"wine_serving"}
        assert not [text for text in configuration(WANDB)["Env"] if text.startswith("WINE_")]
        assert (site_packages(root) / "wandb").exists()


@pytest.mark.usefixtures("asking_wandb")
def test_what_asks_wandb_writes_to_tmp_alone(wandb_server: WandbServer, tmp_path: Path) -> None:
    """Where nothing else can be written it loads what is in production, and is healthy."""
    promote(wandb_server.place, tmp_path)
    found, port = configuration(WANDB), servers.free_port()
    asked = {name: os.environ[name] for name in ("WINE_REGISTRY", "WANDB_API_KEY", "WANDB_BASE_URL")}
    given = [*found["Env"], f"PORT={port}", *(f"{name}={value}" for name, value in asked.items())]
    with unpacked(WANDB) as root:
        script = (
            'mount --bind "$0" "$0" && mount --rbind /dev "$0/dev" && mount -t tmpfs tmpfs "$0/tmp" && '
            'mount -o remount,ro,bind "$0" && exec chroot --userspec=10001:10001 "$0" env -i "$@"'
        )
        command = ["unshare", "--mount", "sh", "-c", script, str(root), *given, "env", "-C", "/app", *found["Cmd"]]
        with Server(command, "/live", tmp_path / "log", port) as server:
            said = told(server.address, "/health", lambda said: said["status"] == "ok")
            record = told(server.address, "/model", bool)["record"]
    assert said["model_version"] == "v0"
    assert record["digest"] == json.loads((EXPORT / "release.json").read_text())["digest"]


def told(address: str, path: str, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the API says there once that is so."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        said: dict[str, Any] = httpx.get(address + path, timeout=10).json()
        if done(said):
            return said
        time.sleep(0.2)
    raise AssertionError(said)


def succeeds(question: list[str], server: subprocess.Popen[bytes]) -> bool:
    """Whether the command ends well before the server ends or a minute is over."""
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        if subprocess.run(question, check=False, capture_output=True).returncode == 0:
            return True
        time.sleep(0.2)
    return False


def live(name: str, visitors: str, **variables: str) -> None:
    """Build, run under the limits, send the visitors, stop; all of it must go well."""
    environment = os.environ | variables
    after = f"{sys.executable} -m tests.delivery.visitors {visitors} $BASE_URL"
    environment |= {"AFTER": after, "PORT": str(servers.free_port())}
    environment |= {"BUILDAH_LAYERS": "true", "TAG": f"localhost/{name}:under-limits", "BASE_IMAGE": BASE_IMAGE}
    file = "Dockerfile.api" if name == API else "Dockerfile.ui"
    done = subprocess.run([CHECK, ".", file], cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "stopped on SIGTERM" in said, said
    (figures,) = re.findall(r"^.*oom_kills 0$", said, re.MULTILINE)
    print(f"{name}: {figures}")


@limited
def test_the_api_survives_64_connections(images: list[str]) -> None:
    """With no network but loopback, 512 MB and one CPU: all are answered, nothing is killed, SIGTERM ends it."""
    assert API in images
    live(API, "api", HEALTH_PATH="/health")


@limited
def test_the_ui_survives_ten_sessions(images: list[str], tmp_path: Path) -> None:
    """Every session of ten draws the whole page, from a real API, under 512 MB and one CPU."""
    assert UI in images
    with servers.api(tmp_path / "api.log", WINE_REGISTRY=f"folder:{EXPORT}") as api:
        live(UI, "ui", HEALTH_PATH="/_stcore/health", RUN_ENV=f"WINE_API_URL={api.address}")

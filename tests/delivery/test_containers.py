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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from tests import servers
from tests.conftest import ROOT
from tests.delivery.here import API, BASE_IMAGE, BUILD_FLAGS, COMMIT, IS_ROOT, UI, needs
from tests.stand_ins.image_registry import image_registry

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


def make(target: str, **variables: str) -> str:
    """What a target says; images are built in layers, so that nothing is installed twice."""
    given = {"BASE_IMAGE": BASE_IMAGE, "BUILD_FLAGS": shlex.join(BUILD_FLAGS), "GITHUB_SHA": COMMIT}
    engine = {"BUILDAH_ISOLATION": "chroot", "BUILDAH_LAYERS": "true"}
    environment = os.environ | given | engine | variables
    command = [sys.executable, ".github/containers.py", target]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def images() -> list[str]:
    """Both images, built as `make images` builds them."""
    make("build")
    return [API, UI]


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


def test_the_api_is_small(images: list[str]) -> None:
    """180 MB of packages, and 260 MB with what loads versions from W&B."""
    assert API in images
    arguments = [f"--build-context=base=container-image://{BASE_IMAGE}", "--build-arg=LOCK=api-wandb"]
    build = ["buildah", "build", "--format=docker", *BUILD_FLAGS, *arguments, "--target=build"]
    environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}
    command = [*build, f"--tag={image(WANDB)}", "--file=Dockerfile.api", "."]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
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

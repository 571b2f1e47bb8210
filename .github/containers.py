"""Both container images, with docker, podman or buildah, whichever runs here.

    python3 .github/containers.py build     with what artifacts/image holds inside; with PUSH=HOST/PATH push them there
    python3 .github/containers.py smoke     start both, read-only under 512 MB and one CPU, ask them what a release asks
    python3 .github/containers.py version   the model version inside, as an output of a workflow's step

What was pushed stands in artifacts/containers.json with the commit and the model that it is made of. `make deploy`
takes it from there, and refuses it once the checkout or artifacts/image holds something else.

BASE_IMAGE replaces the base, LOCK=api-wandb lets the API load versions from W&B, BUILD_FLAGS are handed to the engine.
"""

import argparse
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from cloud_run import API, UI, ReleaseError, say
from release_checks import ApiCheck, Release, check_ui, read_release, until_answered

ROOT: Final = Path(__file__).parents[1]
PUSHED: Final = ROOT / "artifacts" / "containers.json"
DOCKERFILES: Final = {API: "Dockerfile.api", UI: "Dockerfile.ui"}
PATIENCE: Final = 60.0


def find_engine() -> str:
    """The first engine that answers."""
    for engine in ("docker", "podman", "buildah"):
        try:
            if subprocess.run([engine, "info"], check=False, capture_output=True).returncode == 0:
                return engine
        except FileNotFoundError:
            continue
    raise ReleaseError("neither docker, podman nor buildah runs here: install one of them, or start docker")


def run(*command: str) -> str:
    """What the command prints; its complaints are shown."""
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ReleaseError(f"`{shlex.join(command)}` failed with exit code {done.returncode}")
    return done.stdout.strip()


def commit() -> str:
    """The commit that images are tagged with."""
    return os.environ.get("GITHUB_SHA") or run("git", "rev-parse", "HEAD")


def build(engine: str) -> None:
    """Build both images and, where PUSH says where to, push them."""
    release = read_release()
    place = os.environ.get("PUSH") or "localhost"
    images = {name: f"{place}/{name}:{commit()}" for name in DOCKERFILES}
    for name, image in images.items():
        arguments = {"COMMIT": commit(), "MODEL_VERSION": release.version}
        arguments |= {key: os.environ[key] for key in ("BASE_IMAGE", "LOCK") if os.environ.get(key)}
        flags = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        if engine != "docker":
            flags.append("--format=docker")  # the OCI format has no HEALTHCHECK
            # to their cache a LABEL is the same whatever its ARG has become
            labels = {"revision": commit(), "version": release.version}
            flags += [f"--label=org.opencontainers.image.{key}={value}" for key, value in labels.items()]
        flags += shlex.split(os.environ.get("BUILD_FLAGS", ""))
        say(f"build {image} with {engine}")
        run(engine, "build", *flags, f"--file={DOCKERFILES[name]}", f"--tag={image}", ".")
    if place != "localhost":
        PUSHED.unlink(missing_ok=True)
        pushed = {name: push(engine, image) for name, image in images.items()}
        PUSHED.write_text(json.dumps(origin(release) | {"images": pushed}, indent=2) + "\n")
        say(PUSHED.read_text())


def origin(release: Release) -> dict[str, str]:
    """What images are made of."""
    return {"commit": commit(), "version": release.version, "digest": release.digest}


def read_pushed(release: Release) -> dict[str, str]:
    """Service → image by digest, pushed from here with this very commit and release inside."""
    if not PUSHED.exists():
        raise ReleaseError(
            "no images were pushed from here: `make images PUSH=HOST/PATH` first, or set API_IMAGE and UI_IMAGE"
        )
    pushed = json.loads(PUSHED.read_text())
    for what, here in origin(release).items():
        if pushed.get(what) != here:
            raise ReleaseError(
                f"{PUSHED} names images of {what} {pushed.get(what)}, and here is {here}: `make images PUSH=…` again"
            )
    images: dict[str, str] = pushed["images"]
    return images


def push(engine: str, image: str) -> str:
    """Push an image and give it by digest."""
    repository = image.rpartition(":")[0]
    if engine == "docker":
        run("docker", "push", "--quiet", image)
        known: list[str] = json.loads(run("docker", "image", "inspect", image))[0]["RepoDigests"]
        return next(name for name in known if name.startswith(f"{repository}@"))
    note = ROOT / "artifacts" / "digest"
    run(engine, "push", f"--digestfile={note}", image)
    return f"{repository}@{note.read_text().strip()}"


def smoke(engine: str) -> None:
    """Start both images and ask them what a release asks."""
    release = read_release()
    checks: dict[str, Callable[[str], None]] = {API: ApiCheck(release.version, release.golden(), {}), UI: check_ui}
    for name, check in checks.items():
        image, port = f"localhost/{name}:{commit()}", free_port()
        say(f"start {image}")
        with started(engine, image, port):
            until_answered(partial(check, f"http://127.0.0.1:{port}"), PATIENCE)
        say(f"{name} answers correctly")


@contextmanager
def started(engine: str, image: str, port: int) -> Iterator[None]:
    """A container of `image` that listens on `port`, stopped at the end; its log is shown."""
    if engine == "buildah":
        with started_by_buildah(image, port):
            yield
        return
    limits = ["--read-only", "--memory=512m", "--cpus=1"]
    place = [f"--env=PORT={port}", f"--publish=127.0.0.1:{port}:{port}"]
    container = run(engine, "run", "--detach", *limits, *place, image)
    try:
        yield
    finally:
        run(engine, "stop", "--time=10", container)
        say(run(engine, "logs", container))
        run(engine, "rm", container)


@contextmanager
def started_by_buildah(image: str, port: int) -> Iterator[None]:
    """The same with buildah, which sets no limits and shares the network of the host."""
    configuration = json.loads(run("buildah", "inspect", "--type=image", image))["Docker"]["config"]
    container = run("buildah", "from", "--pull-never", image)
    user, command = f"--user={configuration['User']}", configuration["Cmd"]
    server = subprocess.Popen(["buildah", "run", user, f"--env=PORT={port}", container, "--", *command])
    try:
        yield
    finally:
        server.terminate()
        server.wait(timeout=20)
        run("buildah", "rm", container)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["build", "smoke", "version"])
    command = parser.parse_args().command
    try:
        match command:
            case "build":
                build(find_engine())
            case "smoke":
                smoke(find_engine())
            case _:
                print(f"version={read_release().version}")
    except ReleaseError as error:
        print(f"containers: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

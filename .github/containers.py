"""Both container images, with docker, podman or buildah, whichever runs here: built once, asked, then pushed.

    python3 .github/containers.py build   with what artifacts/image holds inside; with PUSH=HOST/PATH ask and push, too
    python3 .github/containers.py smoke   start both, read-only under 512 MB and one CPU, ask them what a release asks

artifacts/containers.json names what was built by id and what was pushed by digest, with commit and model. Whoever
starts, pushes or deploys takes it from there, and refuses it once the checkout or artifacts/image holds something else:
what was asked is what is pushed, and what was pushed is what is deployed.

BASE_IMAGE puts another image in the place of the stage `base`, LOCK=api-wandb lets the API load versions from W&B,
BUILD_FLAGS are handed to the engine.
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
from typing import Any, Final

from cloud_run import API, UI, ReleaseError, say
from release_checks import ApiCheck, Release, check_ui, read_release, until_answered

ROOT: Final = Path(__file__).parents[1]
NOTE: Final = ROOT / "artifacts" / "containers.json"
DOCKERFILES: Final = {API: "Dockerfile.api", UI: "Dockerfile.ui"}
PATIENCE: Final = float(os.environ.get("RELEASE_PATIENCE") or 60)


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


def origin(release: Release) -> dict[str, str]:
    """What images are made of."""
    commit = os.environ.get("GITHUB_SHA") or run("git", "rev-parse", "HEAD")
    return {"commit": commit, "version": release.version, "digest": release.digest}


def noted(release: Release, what: str, remedy: str) -> dict[str, str]:
    """Service → image, as `what` was noted here of this very commit and release."""
    note = json.loads(NOTE.read_text()) if NOTE.exists() else {}
    if what not in note:
        raise ReleaseError(f"no images were {what} from here: `make {remedy}` first")
    for part, here in origin(release).items():
        if note.get(part) != here:
            raise ReleaseError(
                f"{NOTE} names images of {part} {note.get(part)}, and here is {here}: `make {remedy}` again"
            )
    images: dict[str, str] = note[what]
    return images


def write_note(release: Release, **images: dict[str, str]) -> None:
    """Keep what became of images made of what is here; what was made of anything else is forgotten."""
    note = json.loads(NOTE.read_text()) if NOTE.exists() and "built" not in images else {}
    NOTE.write_text(json.dumps({**note, **origin(release), **images}, indent=2) + "\n")


def build(engine: str) -> None:
    """Build both images and, where PUSH says where to, ask them and push what was asked."""
    release = read_release()
    commit = origin(release)["commit"]
    arguments = {"COMMIT": commit, "MODEL_VERSION": release.version, "SOURCE_DATE_EPOCH": "0"}
    arguments |= {"LOCK": os.environ["LOCK"]} if os.environ.get("LOCK") else {}
    command = [engine, "build"]
    if engine == "docker":  # only a builder in a container of its own gives all files one time
        alone = "docker-container" in run("docker", "buildx", "inspect")
        command = ["docker", "buildx", "build", "--output=type=docker,rewrite-timestamp=true" if alone else "--load"]
    flags = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    if base := os.environ.get("BASE_IMAGE"):
        flags.append(f"--build-context=base={'docker' if engine == 'docker' else 'container'}-image://{base}")
    if engine != "docker":
        # the OCI format has no HEALTHCHECK; to their cache a LABEL is the same whatever its ARG has become
        labels = {"revision": commit, "version": release.version}
        flags += ["--format=docker", "--timestamp=0"]
        flags += [f"--label=org.opencontainers.image.{key}={value}" for key, value in labels.items()]
    flags += shlex.split(os.environ.get("BUILD_FLAGS", ""))
    built = {}
    for name, file in DOCKERFILES.items():
        image = f"localhost/{name}:{commit}"
        say(f"build {image} with {engine}")
        run(*command, *flags, f"--file={file}", f"--tag={image}", ".")
        built[name] = run(engine, "images", "--quiet", "--no-trunc", image)
    write_note(release, built=built)
    if place := os.environ.get("PUSH"):
        smoke(engine)
        pushed = {name: push(engine, image, f"{place}/{name}:{commit}") for name, image in built.items()}
        write_note(release, pushed=pushed)
    say(NOTE.read_text())


def push(engine: str, image: str, target: str) -> str:
    """Push an image, named by its id, to `target`, and give it by digest."""
    repository = target.rpartition(":")[0]
    if engine == "docker":
        run("docker", "tag", image, target)
        run("docker", "push", "--quiet", target)
        known: list[str] = json.loads(run("docker", "image", "inspect", image))[0]["RepoDigests"]
        return next(name for name in known if name.startswith(f"{repository}@"))
    digest = ROOT / "artifacts" / "digest"
    run(engine, "push", f"--digestfile={digest}", image, f"docker://{target}")
    return f"{repository}@{digest.read_text().strip()}"


def smoke(engine: str) -> None:
    """Start both images and ask them what a release asks."""
    release = read_release()
    checks: dict[str, Callable[[str], None]] = {API: ApiCheck(release.version, release.golden(), {}), UI: check_ui}
    for name, image in noted(release, "built", "images").items():
        port = free_port()
        say(f"start {name}, {image}")
        with started(engine, image, port):
            until_answered(partial(checks[name], f"http://127.0.0.1:{port}"), PATIENCE)
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
    configuration: Any = json.loads(run("buildah", "inspect", "--type=image", image))["Docker"]["config"]
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
    parser.add_argument("command", choices=["build", "smoke"])
    try:
        (build if parser.parse_args().command == "build" else smoke)(find_engine())
    except ReleaseError as error:
        print(f"containers: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

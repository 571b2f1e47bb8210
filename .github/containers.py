"""Both container images, with docker, podman or buildah, whichever runs here: built once, asked, then pushed.

    python3 .github/containers.py build   with what artifacts/image holds inside; with PUSH=HOST/PATH ask and push, too
    python3 .github/containers.py smoke   start both, read-only under 512 MB and one CPU, ask them what a release asks
    python3 .github/containers.py wandb   so, too, an API that has W&B's SDK and no model, which WINE_REGISTRY leads to

artifacts/containers.json names what was built by id and what was pushed by digest, with commit and model. Whoever
starts, pushes or deploys takes it from there, and refuses it once the checkout or artifacts/image holds something else:
what was asked is what is pushed, and what was pushed is what is deployed.

BASE_IMAGE replaces the stage `base`; BUILD_FLAGS are handed to the engine (--build-arg=LOCK=api-wandb adds W&B's SDK).
"""

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
from shutil import which
from typing import Any, Final

import command
from cloud_run import API, UI
from command import FailedError, say
from release_checks import ApiCheck, Release, check_ui, read_release, until_answered

ROOT: Final = Path(__file__).parents[1]
NOTE: Final = ROOT / "artifacts" / "containers.json"
DOCKERFILES: Final = {API: "Dockerfile.api", UI: "Dockerfile.ui"}
PATIENCE: Final = float(os.environ.get("RELEASE_PATIENCE") or 60)


def find_engine() -> str:
    """The first engine that answers."""
    for engine in ("docker", "podman", "buildah"):
        if which(engine) and subprocess.run([engine, "info"], check=False, capture_output=True).returncode == 0:
            return engine
    raise FailedError("neither docker, podman nor buildah runs here: install one of them, or start docker")


def run(*words: str) -> str:
    """What the command prints; its complaints are shown."""
    done = subprocess.run(words, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise FailedError(f"`{shlex.join(words)}` failed with exit code {done.returncode}")
    return done.stdout.strip()


def origin(release: Release) -> dict[str, str]:
    """What images are made of."""
    commit = os.environ.get("GITHUB_SHA") or run("git", "rev-parse", "HEAD")
    return {"commit": commit, "version": release.version, "digest": release.digest}


def noted(release: Release, what: str, remedy: str) -> dict[str, str]:
    """Service → image, as `what` was noted here of this very commit and release."""
    note = json.loads(NOTE.read_text()) if NOTE.exists() else {}
    if what not in note:
        raise FailedError(f"no images were {what} from here: `make {remedy}` first")
    for part, here in origin(release).items():
        if note.get(part) != here:
            there = f"{NOTE} names images of {part} {note.get(part)}"
            raise FailedError(f"{there}, and here is {here}: `make {remedy}` again")
    images: dict[str, str] = note[what]
    return images


def make_image(engine: str, release: Release, name: str, file: str, *more: str) -> str:
    """Build an image, and give it by its id."""
    commit = origin(release)["commit"]
    flags = [f"--build-arg=COMMIT={commit}", f"--build-arg=MODEL_VERSION={release.version}"]
    if engine == "docker":  # only a builder in a container of its own gives all files one time
        alone = "docker-container" in run("docker", "buildx", "inspect")
        building = ["docker", "buildx", "build", "--output=type=docker,rewrite-timestamp=true" if alone else "--load"]
    else:
        # the OCI format has no HEALTHCHECK; to their cache a LABEL is the same whatever its ARG has become
        building = [engine, "build", "--format=docker", "--timestamp=0"]
        labels = {"revision": commit, "version": release.version}
        flags += [f"--label=org.opencontainers.image.{key}={value}" for key, value in labels.items()]
    if base := os.environ.get("BASE_IMAGE"):
        flags.append(f"--build-context=base={'docker' if engine == 'docker' else 'container'}-image://{base}")
    flags += ["--build-arg=SOURCE_DATE_EPOCH=0", *shlex.split(os.environ.get("BUILD_FLAGS", "")), *more]
    image = f"localhost/{name}:{commit}"
    say(f"build {image} with {engine}")
    run(*building, *flags, f"--file={file}", f"--tag={image}", ".")
    return run(engine, "images", "--quiet", "--no-trunc", image)


def build() -> None:
    """Build both images and, where PUSH says where to, ask them and push what was asked."""
    engine, release = find_engine(), read_release()
    built = {name: make_image(engine, release, name, file) for name, file in DOCKERFILES.items()}
    note: dict[str, Any] = {**origin(release), "built": built}
    NOTE.write_text(json.dumps(note))
    if place := os.environ.get("PUSH"):
        smoke()
        note["pushed"] = {name: push(engine, built[name], f"{place}/{name}:{note['commit']}") for name in built}
        NOTE.write_text(json.dumps(note))
    say(json.dumps(note, indent=2))


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


def smoke() -> None:
    """Start both images and ask them what a release asks."""
    engine, release = find_engine(), read_release()
    checks: dict[str, Callable[[str], None]] = {API: ApiCheck(release.version, release.golden(), {}), UI: check_ui}
    for name, image in noted(release, "built", "images").items():
        asked(engine, name, image, checks[name])


def wandb() -> None:
    """Build the API without a model, start it, and ask it for the golden wines of what W&B has in production."""
    engine, release = find_engine(), read_release()
    more = ("--build-arg=LOCK=api-wandb", "--target=unbaked")
    image = make_image(engine, release, f"{API}-wandb", DOCKERFILES[API], *more)
    given = [f"--env={name}" for name in ("WINE_REGISTRY", "WANDB_API_KEY", "WANDB_BASE_URL") if name in os.environ]
    asked(engine, f"{API}-wandb", image, ApiCheck(None, release.golden(), {}), *given)


def asked(engine: str, name: str, image: str, check: Callable[[str], None], *given: str) -> None:
    """Start a container of `image` and have it asked; one that is `given` W&B's address and key may write to /tmp."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    say(f"start {name}, {image}")
    with started(engine, image, port, *given):
        until_answered(partial(check, f"http://127.0.0.1:{port}"), PATIENCE)
    say(f"{name} answers correctly")


@contextmanager
def started(engine: str, image: str, port: int, *given: str) -> Iterator[None]:
    """A container of `image` that listens on `port`, stopped at the end; its log is shown."""
    place = ["--network=host", "--tmpfs=/tmp"] if given else [f"--publish=127.0.0.1:{port}:{port}"]
    given = (*given, f"--env=PORT={port}")
    server = None
    if engine == "buildah":  # sets no limits, and shares the network of the host
        configuration: Any = json.loads(run("buildah", "inspect", "--type=image", image))["Docker"]["config"]
        container = run("buildah", "from", "--pull-never", image)
        words = [f"--user={configuration['User']}", *given, container, "--", *configuration["Cmd"]]
        server = subprocess.Popen(["buildah", "run", *words])
    else:
        limits = ("--read-only", "--memory=512m", "--cpus=1", *place)
        container = run(engine, "run", "--detach", *limits, *given, image)
    try:
        yield
    finally:
        if server:
            server.terminate()
            server.wait(timeout=20)
        else:
            run(engine, "stop", "--time=10", container)
            say(run(engine, "logs", container))
        run(engine, "rm", container)


if __name__ == "__main__":
    sys.exit(command.run(__doc__, {"build": build, "smoke": smoke, "wandb": wandb}))

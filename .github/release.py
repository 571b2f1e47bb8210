"""Release both services to Cloud Run together, or leave both as they were.

    python3 .github/release.py release   new revisions get traffic only once they have answered correctly
    python3 .github/release.py back      both services return to the pair of revisions that served before
    python3 .github/release.py prepare   both services exist, with a placeholder where nothing was released yet

A release notes what serves, deploys both without traffic, each under a tag with an address of its own, and asks these
addresses for health and the golden wines; then it shifts the API, asks again, shifts the UI, asks again. Whatever
fails, both services get back the revisions noted at the start. Each shift leaves the tag `previous` on the revision it
replaces, in the very call that moves the traffic, so that `back` always knows the pair to return to.

Exit codes: 0 both serve what was asked for; 1 both serve what they served before; 2 they could not be brought back,
and the commands to type are printed. Needs gcloud and Python's standard library only.
"""

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

from cloud_run import API, API_FLAGS, PREVIOUS, UI, UI_FLAGS, Cloud, ReleaseError, Service, gcloud, say
from containers import read_pushed
from release_checks import ApiCheck, Release, check_ui, read_release, until_answered

OWN_TAG: Final = re.compile(r"r\d{10}")
RESTORE_ATTEMPTS: Final = 4


class NotRestoredError(Exception):
    """Both services could not be brought back; the message says what to type."""


Checks = dict[str, Callable[[str], None]]  # service → what asks it at an address


class Settings(NamedTuple):
    """What the environment asks for."""

    cloud: Cloud
    key_required: bool
    registry: str | None  # wandb:ENTITY/PROJECT, or None where the API serves what its image carries
    patience: float  # seconds that an address has to answer correctly


def read_settings() -> Settings:
    """The variables, or a ReleaseError that names the one that cannot be used."""
    registry = os.environ.get("WINE_REGISTRY", "")
    return Settings(
        Cloud(
            variable("GCP_PROJECT", r"[a-z][-a-z0-9]{4,28}[a-z0-9]", "the id of a Google Cloud project"),
            variable("GCP_REGION", r"[a-z]+-[a-z]+[0-9]+", "a region", default="europe-west1"),
        ),
        variable("API_ACCESS", "public|key", "public or key", default="public") == "key",
        registry if registry.startswith("wandb:") else None,
        float(variable("RELEASE_PATIENCE", r"[0-9]+", "a number of seconds", default="60")),
    )


def variable(name: str, pattern: str, meaning: str, default: str = "") -> str:
    """The value of a variable; an empty one counts as not set."""
    value = os.environ.get(name) or default
    if not re.fullmatch(pattern, value):
        raise ReleaseError(f"{name}={value!r} cannot be used: it must be {meaning}")
    return value


def release(settings: Settings) -> None:
    """Both services serve the new images, or what they served before."""
    carried = read_release()
    images = find_images(carried)
    cloud = settings.cloud
    before = prepare(cloud)
    checks: Checks = {API: ApiCheck(carried.version, carried.golden(), key_header(settings)), UI: check_ui}
    flags = {
        API: (*API_FLAGS, *api_environment(settings, carried)),
        UI: (*UI_FLAGS, *ui_environment(settings, before[API].url)),
    }
    # never used before: an old tag's address may lead elsewhere a while
    tag = datetime.now(UTC).strftime("r%m%d%H%M%S")
    with restored_on_failure(cloud, before):
        for name in (API, UI):
            cloud.deploy(name, images[name], tag, flags[name])
        new = cloud.services()
        for name in (API, UI):
            say(f"ask {new[name].tags[tag]} at {new[name].addresses[tag]}")
            until_answered(partial(checks[name], new[name].addresses[tag]), settings.patience)
        shift_both(settings, before, {name: new[name].tags[tag] for name in (API, UI)}, checks)


def find_images(carried: Release) -> dict[str, str]:
    """By digest: those in API_IMAGE and UI_IMAGE, or else those that were pushed from here."""
    variables = {API: "API_IMAGE", UI: "UI_IMAGE"}
    if not any(os.environ.get(name) for name in variables.values()):
        return read_pushed(carried)
    by_digest = "an image by digest, HOST/PATH@sha256:…, as `make images PUSH=HOST/PATH` prints it"
    return {service: variable(name, r"\S+@sha256:[0-9a-f]{64}", by_digest) for service, name in variables.items()}


def back(settings: Settings) -> None:
    """Both services serve the pair that served before, or what they serve now."""
    now = settings.cloud.services()
    for name in (API, UI):
        if name not in now or PREVIOUS not in now[name].tags:
            raise ReleaseError(f"{name} has no former revision to go back to")
    checks: Checks = {API: ApiCheck(None, [], {}), UI: check_ui}
    for name in (API, UI):
        until_answered(partial(checks[name], now[name].addresses[PREVIOUS]), settings.patience)
    with restored_on_failure(settings.cloud, now):
        shift_both(settings, now, {name: now[name].tags[PREVIOUS] for name in (API, UI)}, checks)


def prepare(cloud: Cloud) -> dict[str, Service]:
    """Both services, each serving something."""
    services = cloud.services()
    missing = [name for name in (API, UI) if name not in services or not services[name].traffic]
    for name in missing:
        cloud.create(name)
    if missing:
        services = cloud.services()
    return {name: services[name] for name in (API, UI)}


def shift_both(settings: Settings, before: dict[str, Service], revisions: dict[str, str], checks: Checks) -> None:
    """All traffic to `revisions`, one service after the other, each asked at its public address before the next."""
    for name in (API, UI):
        say(f"shift {name}: {before[name].serving} → {revisions[name]}")
        stale = [tag for tag in before[name].tags if OWN_TAG.fullmatch(tag)]
        settings.cloud.shift(name, {revisions[name]: 100}, before[name].serving, stale)
        until_answered(partial(checks[name], before[name].url), settings.patience)
    now = settings.cloud.services()
    for name in (API, UI):
        if now[name].traffic != {revisions[name]: 100}:
            raise ReleaseError(f"{name} should serve {revisions[name]}, but serves {now[name].traffic}")
        say(f"{name} serves {revisions[name]} at {now[name].url}")


@contextmanager
def restored_on_failure(cloud: Cloud, before: dict[str, Service]) -> Iterator[None]:
    """Whatever ends the block early, a signal too, both services then serve again what they served `before`."""
    former = {number: signal.signal(number, stopped) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except BaseException as error:
        for number in former:
            signal.signal(number, signal.SIG_IGN)
        say(f"FAILED: {error}")
        restore(cloud, before)
        raise ReleaseError("the release failed; both services serve what they served before") from error
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def stopped(number: int, _: object) -> None:
    """A signal ends the release like any other failure."""
    raise ReleaseError(f"stopped by {signal.Signals(number).name}")


def restore(cloud: Cloud, before: dict[str, Service]) -> None:
    """Bring back the traffic of `before`, with several attempts, and look whether it is there."""
    for attempt in range(RESTORE_ATTEMPTS):
        time.sleep(attempt)
        try:
            for words in repairs(cloud, before):
                say(f"restore: gcloud {' '.join(words)}")
                gcloud(*words)
            if not repairs(cloud, before):
                return
        except ReleaseError as error:
            say(f"FAILED to restore: {error}")
    by_hand = [cloud.shift_words(name, was.traffic, was.tags.get(PREVIOUS), []) for name, was in before.items()]
    raise NotRestoredError("\n".join(f"gcloud {' '.join(words)}" for words in by_hand))


def repairs(cloud: Cloud, before: dict[str, Service]) -> list[list[str]]:
    """The calls that lead from what is there now to `before`."""
    now = cloud.services()
    calls = []
    for name, was in before.items():
        if not now[name].serves_like(was):
            unwanted = [] if PREVIOUS in was.tags else [PREVIOUS]
            calls.append(cloud.shift_words(name, was.traffic, was.tags.get(PREVIOUS), unwanted))
    return calls


def api_environment(settings: Settings, carried: Release) -> tuple[str, ...]:
    """The API is pinned to a version, wherever it loads it from."""
    variables = {"WINE_MODEL": f"{carried.model}:{carried.version}", "GOOGLE_CLOUD_PROJECT": settings.cloud.project}
    secrets = {}
    if settings.registry:
        variables["WINE_REGISTRY"] = settings.registry
        secrets["WANDB_API_KEY"] = "wandb-api-key:latest"
    if settings.key_required:
        secrets["WINE_API_KEY"] = "wine-api-key:latest"
    return environment(variables, secrets)


def ui_environment(settings: Settings, api_url: str) -> tuple[str, ...]:
    """The UI knows where the API is, its key where one is wanted, and the reports where they are published."""
    secrets = {"WINE_API_KEY": "wine-api-key:latest"} if settings.key_required else {}
    reports = variable("WINE_REPORTS_URL", r"(https?://[^\s,]+)?", "an address without a comma")
    return environment({"WINE_API_URL": api_url} | ({"WINE_REPORTS_URL": reports} if reports else {}), secrets)


def environment(variables: dict[str, str], secrets: dict[str, str]) -> tuple[str, ...]:
    """The flags that give a revision exactly these variables and secrets."""
    given = [",".join(f"{name}={value}" for name, value in part.items()) for part in (variables, secrets)]
    return f"--set-env-vars={given[0]}", f"--set-secrets={given[1]}" if secrets else "--clear-secrets"


def key_header(settings: Settings) -> dict[str, str]:
    """What the API wants to see before it predicts."""
    return {"X-API-Key": settings.cloud.secret("wine-api-key")} if settings.key_required else {}


def main() -> int:
    """Run one command; the exit code says what serves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["release", "back", "prepare"])
    command = parser.parse_args().command
    try:
        settings = read_settings()
        match command:
            case "release":
                release(settings)
            case "back":
                back(settings)
            case _:
                prepare(settings.cloud)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    except NotRestoredError as error:
        print(f"release: THE SERVICES COULD NOT BE BROUGHT BACK. Type:\n{error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

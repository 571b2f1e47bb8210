"""Release both services to Cloud Run together, or leave both as they were.

    python3 .github/release.py release   new revisions get traffic only once they have answered correctly
    python3 .github/release.py back      both services return to the pair that served before; once more: further back
    python3 .github/release.py settle    what was killed half-way ends: both serve the newest pair that both served

A release deploys both without traffic, each under a tag with an address of its own, and asks these addresses for health
and the golden wines; then it shifts the API, asks again, shifts the UI, asks again. Whatever fails, both get back what
they served at the start. The call that gives a revision its traffic also leaves on it the tag `served-…`, the same on
both services: the pair's name. Whoever kills a release leaves two services that serve under different names at worst,
and every command begins by settling that. A pair that was gone back from loses its name.

Exit codes: 0 both serve what was asked for; 1 both serve what they served before; 2 they could not be brought back,
and the commands to type are printed. Needs gcloud and Python's standard library only.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import command
from cloud_run import API, API_FLAGS, UI, UI_FLAGS, Cloud, Service, gcloud
from command import FailedError, output, say
from containers import noted
from release_checks import ApiCheck, check_ui, read_release, serving_version, until_answered

BOTH: Final = (API, UI)
SERVED: Final = re.compile(r"served-\d{12}")
FIRST: Final = "served-000000000000"  # what served before this script released anything
LEFT: Final = re.compile(r"new-\d{12}|r\d{10}|previous")  # tags of releases that ended otherwise, and of former ways
PAIRS_KEPT: Final = 6

Services = dict[str, Service]
Checks = dict[str, Callable[[str], None]]  # service → what asks it at an address


class NotRestoredError(FailedError):
    """Both services could not be brought back; the message says what to type."""

    code = 2


class Settings(NamedTuple):
    """What the environment asks for."""

    cloud: Cloud
    key_required: bool
    patience: float  # seconds that an address has to answer correctly

    def headers(self) -> dict[str, str]:
        """What the API wants to see before it predicts."""
        words = ("secrets", "versions", "access", "latest", "--secret=wine-api-key", self.cloud.place[0])
        return {"X-API-Key": gcloud(*words).strip()} if self.key_required else {}


def read_settings() -> Settings:
    """The variables, or a FailedError that names the one that cannot be used."""
    return Settings(
        Cloud(
            variable("GCP_PROJECT", r"[a-z][-a-z0-9]{4,28}[a-z0-9]", "the id of a Google Cloud project"),
            variable("GCP_REGION", r"[a-z]+-[a-z]+[0-9]+", "a region", default="europe-west1"),
        ),
        variable("API_ACCESS", "public|key", "public or key", default="public") == "key",
        float(variable("RELEASE_PATIENCE", r"[0-9]+", "a number of seconds", default="60")),
    )


def variable(name: str, pattern: str, meaning: str, default: str = "") -> str:
    """The value of a variable; an empty one counts as not set."""
    value = os.environ.get(name) or default
    if not re.fullmatch(pattern, value):
        raise FailedError(f"{name}={value!r} cannot be used: it must be {meaning}")
    return value


def release(settings: Settings) -> None:
    """Both services serve the new images, or what they served before."""
    carried = read_release()
    images = noted(carried, "pushed", "images PUSH=HOST/PATH")
    reports = variable("WINE_REPORTS_URL", r"(https?://[^\s,]+)?", "an address without a comma")
    cloud = settings.cloud
    before, _ = settle(cloud)
    checks: Checks = {API: ApiCheck(carried.version, carried.golden(), settings.headers()), UI: check_ui}
    secrets = "--set-secrets=WINE_API_KEY=wine-api-key:latest" if settings.key_required else "--clear-secrets"
    # pinned to the version that lies in the image: a service asks no registry
    pinned = f"WINE_MODEL={carried.model}:{carried.version},GOOGLE_CLOUD_PROJECT={cloud.project}"
    page = f"WINE_API_URL={before[API].url}" + (f",WINE_REPORTS_URL={reports}" if reports else "")
    flags = {
        API: (*API_FLAGS, f"--set-env-vars={pinned}", secrets),
        UI: (*UI_FLAGS, f"--set-env-vars={page}", secrets),
    }
    stamp = datetime.now(UTC).strftime("%y%m%d%H%M%S")
    tag = f"new-{stamp}"  # never used before: an old tag's address may lead elsewhere a while
    with restored_on_failure(cloud, before):
        for name in BOTH:
            cloud.deploy(name, images[name], tag, flags[name])
        new = cloud.services()
        for name in BOTH:
            say(f"ask {new[name].tags[tag]} at {new[name].addresses[tag]}")
            until_answered(partial(checks[name], new[name].addresses[tag]), settings.patience)
        kept = common(before)[-PAIRS_KEPT + 1 :]
        shift_both(settings, new, {name: new[name].tags[tag] for name in BOTH}, [*kept, f"served-{stamp}"], checks)


def back(settings: Settings) -> None:
    """Both services serve the pair that served before what they serve now, or what they serve now."""
    now, moved = settle(settings.cloud)
    if moved:
        return
    serving = pair(now)
    older = [tag for tag in common(now) if serving and tag < serving]
    if not older:
        raise FailedError(f"nothing served before {serving}: there is no former pair to go back to")
    checks: Checks = {API: ApiCheck(None, [], {}), UI: check_ui}
    for name in BOTH:
        until_answered(partial(checks[name], now[name].addresses[older[-1]]), settings.patience)
    with restored_on_failure(settings.cloud, now):
        shift_both(settings, now, {name: now[name].tags[older[-1]] for name in BOTH}, older, checks)
    say_what_follows(serving_version(now[API].url))


def say_what_follows(version: str | None) -> None:
    """Which version the next push would deploy; with REASON `production` first moves to the one that serves now."""
    asked = version and os.environ.get("REASON")
    if asked and subprocess.run(["make", "promote", f"VERSION={version}"], check=False, timeout=900).returncode:
        raise FailedError(f"both services went back, and `production` did not move to {version}: see above")
    try:
        named = re.search(r"^model=(v\d+)$", output("make", "decision", "ACTION=rollback"), re.MULTILINE)
        follows = f"main with {named[1]}" if named else "nothing"
    except FailedError as error:
        follows = f"what cannot be said, as {error}"
    say(f"The next push deploys {follows}, by `production` in {os.environ.get('WINE_REGISTRY') or 'the registry here'}")
    if version and not asked:
        say(f'`make promote VERSION={version} REASON="…"` lets that be what serves now')


def settle(cloud: Cloud) -> tuple[Services, bool]:
    """Both services, serving one pair, and whether traffic was moved for it; a placeholder where nothing served yet."""
    services = cloud.services()
    missing = [name for name in BOTH if name not in services or not services[name].traffic]
    for name in missing:
        cloud.create(name)
    now = cloud.services() if missing else services
    if pair(now):
        return now, False
    mixed, tag = bool(common(now)), (common(now) or [FIRST])[-1]
    for name in BOTH:
        if mixed:
            say(f"MIXED: {name} serves {now[name].serving}; all traffic to {tag}, which both served")
        traffic = {now[name].tags[tag]: 100} if mixed else now[name].traffic
        stale = [each for each in now[name].tags if SERVED.fullmatch(each) and each > tag]
        gcloud(*cloud.shift_words(name, traffic, {} if mixed else {FIRST: now[name].serving}, stale))
    settled = cloud.services()
    if not pair(settled):
        raise FailedError("the two services still serve different pairs: somebody else moves their traffic")
    return settled, mixed


def common(services: Services) -> list[str]:
    """The names of the pairs that both services served, oldest first."""
    return sorted(tag for tag in services[API].tags if SERVED.fullmatch(tag) and tag in services[UI].tags)


def pair(services: Services) -> str | None:
    """The name of the pair that serves; None where the two serve under different names, or under none."""
    both = [services[name] for name in BOTH]
    serving = [tag for tag in common(services) if all(each.serving == each.tags[tag] for each in both)]
    return serving[-1] if serving else None


def shift_both(settings: Settings, now: Services, revisions: dict[str, str], pairs: list[str], checks: Checks) -> None:
    """All traffic to `revisions`, one service after the other, each asked at its public address before the next.

    The last of `pairs` is their name; other tags of releases than `pairs` go.
    """
    for name in BOTH:
        say(f"shift {name}: {now[name].serving} → {revisions[name]}, {pairs[-1]}")
        others = [tag for tag in now[name].tags if (SERVED.fullmatch(tag) or LEFT.fullmatch(tag)) and tag not in pairs]
        gcloud(*settings.cloud.shift_words(name, {revisions[name]: 100}, {pairs[-1]: revisions[name]}, others))
        until_answered(partial(checks[name], now[name].url), settings.patience)
    then = settings.cloud.services()
    for name in BOTH:
        if then[name].traffic != {revisions[name]: 100}:
            raise FailedError(f"{name} should serve {revisions[name]}, but serves {then[name].traffic}")
        say(f"{name} serves {revisions[name]} at {then[name].url}")
    if outputs := os.environ.get("GITHUB_OUTPUT"):  # the run's page leads to what was deployed
        with Path(outputs).open("a", encoding="utf-8") as file:
            file.write(f"page={then[UI].url}\n")


@contextmanager
def restored_on_failure(cloud: Cloud, before: Services) -> Iterator[None]:
    """Whatever ends the block early, a signal too, both services then serve again what they served `before`."""

    def stop(number: int, _: object) -> None:
        raise FailedError(f"stopped by {signal.Signals(number).name}")

    former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except BaseException as error:
        for number in former:
            signal.signal(number, signal.SIG_IGN)
        say(f"FAILED: {error}")
        restore(cloud, before)
        raise FailedError("the release failed; both services serve what they served before") from error
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def restore(cloud: Cloud, before: Services) -> None:
    """Bring back traffic and names of `before`, with several attempts, and look whether they are there."""
    for attempt in range(4):
        time.sleep(attempt)
        try:
            for words in repairs(cloud, before):
                say(f"restore: gcloud {' '.join(words)}")
                gcloud(*words)
            if not repairs(cloud, before):
                return
        except FailedError as error:
            say(f"FAILED to restore: {error}")
    by_hand = [cloud.shift_words(name, was.traffic, served(was), []) for name, was in before.items()]
    typed = "\n".join(f"gcloud {' '.join(words)}" for words in by_hand)
    raise NotRestoredError(f"THE SERVICES COULD NOT BE BROUGHT BACK. Type:\n{typed}")


def repairs(cloud: Cloud, before: Services) -> list[list[str]]:
    """The calls that lead from what is there now to `before`."""
    now = cloud.services()
    calls = []
    for name in BOTH:
        was, names, standing = before[name], served(before[name]), served(now[name])
        if (now[name].traffic, standing) != (was.traffic, names):
            calls.append(cloud.shift_words(name, was.traffic, names, [tag for tag in standing if tag not in names]))
    return calls


def served(service: Service) -> dict[str, str]:
    """The names of pairs that a service bears."""
    return {tag: revision for tag, revision in service.tags.items() if SERVED.fullmatch(tag)}


if __name__ == "__main__":
    todo = {
        "release": lambda: release(read_settings()),
        "back": lambda: back(read_settings()),
        "settle": lambda: say(f"both services serve {pair(settle(read_settings().cloud)[0])}"),
    }
    sys.exit(command.run(__doc__, todo))

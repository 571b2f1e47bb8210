"""What a service must answer before it gets traffic."""

import json
import re
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, NamedTuple

from command import FailedError

EXPORT: Final = Path(__file__).parents[1] / "artifacts" / "image"  # what the API image carries
TOLERANCE: Final = 1e-3  # quality points, as when the bundle checks itself


class WrongAnswerError(FailedError):
    """The revision that was asked answers, and wrongly: waiting does not help."""


class Release(NamedTuple):
    """The model version that an export carries, as its release.json says."""

    model: str
    version: str
    digest: str

    def golden(self) -> list[dict[str, Any]]:
        """The wines that this version must score as when it was made."""
        reference = EXPORT / self.model / self.version / "reference.json"
        wines: list[dict[str, Any]] = json.loads(reference.read_text())["golden"]
        return wines


def read_release() -> Release:
    """What the export in artifacts/image says of itself."""
    file = EXPORT / "release.json"
    try:
        said = json.loads(file.read_text())
        return Release(said["model"], said["version"], said["digest"])
    except FileNotFoundError:
        raise FailedError(f"{file} is not there: `make export` first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FailedError(f"{file} cannot be read ({error!r}): `make export` again") from None


def ask(url: str, body: object = None, headers: dict[str, str] | None = None) -> bytes:
    """The body of a 200 answer to GET, or to POST where `body` is given."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - addresses come from Cloud Run
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            content: bytes = answer.read()
            return content
    except (OSError, HTTPException) as error:  # refused, reset, timed out, 4xx and 5xx
        reason = f": {error.read(400).decode(errors='replace')}" if hasattr(error, "read") else ""
        raise FailedError(f"{url} does not answer: {error}{reason}") from None


def ask_json(url: str, body: object = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """The same, as the JSON object that it must be."""
    try:
        answer = json.loads(ask(url, body, headers))
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise FailedError(f"{url} answers with something that is no JSON object")
    return answer


def serving_version(url: str) -> str | None:
    """The version that the API at `url` answers with, where it is one of a registry."""
    version = ask_json(f"{url}/health").get("model_version")
    return version if isinstance(version, str) and re.fullmatch(r"v\d+", version) else None


def until_answered(check: Callable[[], None], patience: float) -> None:
    """Repeat `check` until it passes, for at most `patience` seconds; a wrong answer ends it at once."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return check()
        except WrongAnswerError:
            raise
        except FailedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


@dataclass(frozen=True)
class ApiCheck:
    """What the API must answer: health, and each golden wine's quality."""

    version: str | None  # None where that is its own affair
    golden: list[dict[str, Any]]
    headers: dict[str, str]

    def __call__(self, url: str) -> None:
        """Ask the API at `url`, or raise a FailedError."""
        health = ask_json(f"{url}/health")
        if health["status"] != "ok":
            raise FailedError(f"{url} is {health['status']}: {health.get('reason')}")
        for number, golden in enumerate(self.golden):
            answer = ask_json(f"{url}/predict", golden["wine"], self.headers | {"X-Wine-Purpose": "check"})
            if self.version and answer["model_version"] != self.version:  # traffic takes a moment to follow
                raise FailedError(f"{url} answers with model {answer['model_version']}, not {self.version}")
            if not abs(answer["quality"] - golden["quality"]) <= TOLERANCE:
                raise WrongAnswerError(
                    f"{url} scores golden wine {number} {answer['quality']:.4f}, not {golden['quality']:.4f}"
                )


def check_ui(url: str) -> None:
    """Ask the UI at `url`, or raise a FailedError."""
    ask(f"{url}/_stcore/health")
    if b"<html" not in ask(url):
        raise WrongAnswerError(f"{url} answers with something that is no page")

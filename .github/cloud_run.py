"""The two services on Cloud Run, through gcloud."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from command import FailedError, output, say

API: Final = "wine-quality-api"
UI: Final = "wine-quality-ui"
PLACEHOLDER: Final = "us-docker.pkg.dev/cloudrun/container/hello"  # Google's own

CONTAINER: Final = ("--cpu=1", "--memory=512Mi", "--min-instances=0", "--max-instances=10", "--cpu-boost")
STARTUP: Final = "periodSeconds=2,timeoutSeconds=2,failureThreshold=60"
LIVENESS: Final = "periodSeconds=30,timeoutSeconds=5,failureThreshold=3"
API_FLAGS: Final = (
    "--port=8000",
    "--timeout=60",
    "--concurrency=64",
    f"--startup-probe=httpGet.path=/health,{STARTUP}",
    f"--liveness-probe=httpGet.path=/live,{LIVENESS}",
)
UI_FLAGS: Final = (
    "--port=8501",
    "--timeout=3600",  # a visitor's WebSocket ends with the request time-out
    "--concurrency=20",
    "--session-affinity",
    f"--startup-probe=httpGet.path=/_stcore/health,{STARTUP}",
    f"--liveness-probe=httpGet.path=/_stcore/health,{LIVENESS}",
)


@dataclass
class Service:
    """What Cloud Run says of one service."""

    url: str
    traffic: dict[str, int] = field(default_factory=dict)  # revision → percent
    tags: dict[str, str] = field(default_factory=dict)  # tag → revision
    addresses: dict[str, str] = field(default_factory=dict)  # tag → address of its own

    @property
    def serving(self) -> str:
        """The revision with most of the traffic."""
        return max(self.traffic, key=lambda revision: self.traffic[revision])


class Cloud:
    """The two services of one project in one region, through gcloud."""

    def __init__(self, project: str, region: str) -> None:
        self.project = project
        self.place = (f"--project={project}", f"--region={region}")

    def services(self) -> dict[str, Service]:
        """The services that exist."""
        answer = gcloud("run", "services", "list", *self.place, "--format=json")
        try:
            listed = json.loads(answer)
        except ValueError:
            raise FailedError(f"gcloud lists the services in a form that is no JSON: {answer[:200]}") from None
        return {item["metadata"]["name"]: parse_service(item) for item in listed}

    def account(self, name: str) -> str:
        """Under whose name a service runs."""
        return f"--service-account={name}@{self.project}.iam.gserviceaccount.com"

    def create(self, name: str) -> None:
        """A public service that serves the placeholder: a first revision cannot be deployed without traffic."""
        say(f"{name} serves nothing yet: a placeholder first")
        flags = (self.account(name), "--allow-unauthenticated", *self.place)
        gcloud("run", "deploy", name, f"--image={PLACEHOLDER}", *flags)

    def deploy(self, name: str, image: str, tag: str, flags: tuple[str, ...]) -> None:
        """A new revision of `name` under `tag`, without traffic."""
        say(f"deploy {name} without traffic: {image}")
        new = (f"--image={image}", f"--tag={tag}", "--no-traffic", self.account(name))
        gcloud("run", "deploy", name, *new, *CONTAINER, *flags, *self.place)

    def shift_words(self, name: str, traffic: dict[str, int], tags: dict[str, str], remove: list[str]) -> list[str]:
        """The call that does this."""
        shares = ",".join(f"{revision}={percent}" for revision, percent in traffic.items())
        words = ["run", "services", "update-traffic", name, f"--to-revisions={shares}"]
        if tags:
            words.append(f"--update-tags={','.join(f'{tag}={revision}' for tag, revision in tags.items())}")
        if remove:
            words.append(f"--remove-tags={','.join(remove)}")
        return [*words, *self.place]


def parse_service(item: dict[str, Any]) -> Service:
    """One entry of `gcloud run services list --format=json`."""
    status = item.get("status", {})
    service = Service(status.get("url", ""))
    for target in status.get("traffic", []):
        revision = target["revisionName"]
        if target.get("percent"):
            service.traffic[revision] = service.traffic.get(revision, 0) + target["percent"]
        if target.get("tag"):
            service.tags[target["tag"]] = revision
            service.addresses[target["tag"]] = target["url"]
    return service


def gcloud(*words: str) -> str:
    """What gcloud prints, or a FailedError with its complaint."""
    return output("gcloud", *words, "--quiet")

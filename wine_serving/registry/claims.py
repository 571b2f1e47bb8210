"""Claims in W&B: of several promoters who want to move one alias at once, one moves it before the others look.

W&B cannot compare and swap. Each promoter claims, by an alias of its own on the version that it promotes, and then
looks: of two, at least one sees the other. Who sees an older claim withdraws its own and waits for its turn; who sees
younger ones waits until they are gone. Two windows stay open: a promoter that stops for longer than its claim lasts
after it has looked, and whoever moves the alias in W&B itself.
"""

import contextlib
import hashlib
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from wine_serving.errors import RegistryError
from wine_serving.registry.wandb_sdk import Project

if TYPE_CHECKING:
    import wandb

BEGINNING: Final = "moving-"
LASTS: Final = timedelta(seconds=90)  # a killed promoter's claim is void, and cleared, afterwards
_WHEN: Final = "%Y%m%dT%H%M%S.%f"


@contextlib.contextmanager
def claimed(project: Project, artifact: "wandb.Artifact", alias: str) -> Iterator[None]:
    """The right to move `alias` to `artifact`, once it is one's turn."""
    name, prefix, claim = artifact.name.split(":")[0], f"{BEGINNING}{_short(alias)}-", ""
    try:
        while (holding := _holding(project, artifact.type, name, prefix)) != {claim}:
            if not holding:
                claim = f"{prefix}{datetime.now(UTC):{_WHEN}}-{secrets.token_hex(4)}"
                project.point(artifact, [claim])
                continue
            if min(holding) != claim:
                project.point(artifact, (), {claim} - {""})
                claim = ""
            time.sleep(0.2)
        yield
    finally:
        with contextlib.suppress(RegistryError):  # it ends by itself
            project.point(artifact, (), {claim} - {""})


def _holding(project: Project, kind: str, name: str, prefix: str) -> set[str]:
    holding: set[str] = set()
    for artifact in project.artifacts(kind, name):
        claims = {alias for alias in artifact.aliases if alias.startswith(prefix)}
        void = {claim for claim in claims if abs(datetime.now(UTC) - _when(claim, prefix)) > LASTS}
        project.point(artifact, (), void)
        holding |= claims - void
    return holding


def _short(alias: str) -> str:
    """A claim does not spell the alias: an automation in W&B that waits for `production` would take it for that."""
    return hashlib.sha256(alias.encode()).hexdigest()[:8]


def _when(claim: str, prefix: str) -> datetime:
    return datetime.strptime(claim.removeprefix(prefix).split("-")[0], _WHEN).replace(tzinfo=UTC)

"""W&B's SDK as this project uses it: defaults, login, sentences for its errors, and each of its quirks.

Quirks were seen in wandb 0.31.0, the version that is locked. Importing wandb costs a second and 47 MB, so that every
function here imports it only when it talks to W&B.
"""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from wine_serving.errors import DigestMismatch, RegistryError, RegistryUnavailable
from wine_serving.provenance import current_commit
from wine_serving.registry.promises import MODEL
from wine_serving.settings import ROOT

if TYPE_CHECKING:
    import wandb

QUIET: Final = {  # nothing on the terminal, nothing to W&B but runs and versions; what the environment says comes first
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_DISABLE_CODE": "true",
}
DEFAULTS: Final = QUIET | {  # for runs: bounded, and this project's only
    "WANDB_DIR": str(ROOT / "artifacts"),
    "WANDB_INIT_TIMEOUT": "10",
    "WANDB_FINISH_TIMEOUT": "15",
    "WANDB_FINISH_TIMEOUT_RAISES": "true",
}
KEYS: Final = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
GIVEN_UP: Final = 3.0  # seconds until W&B's service process is killed, when it does not end after a failure

NO_KEY: Final = (
    "there is no W&B key on this machine: run `wandb login`, or set WANDB_API_KEY (in CI from a secret), "
    "or choose WINE_REGISTRY=folder:artifacts/registry"
)
REFUSALS: Final = {  # what W&B's answer looks like → what it means
    r"not logged in|\b401\b": "the server does not accept the key: make a new one and run `wandb login --relogin`",
    r"permission|\b403\b": "the key may not do this there: ask for access to the project, or use another key",
    r"entity .*not found|not found under entity|run .*not found": (
        "there is no such entity or project, or the key cannot see it: correct WINE_REGISTRY; when the entity is "
        "right, `make pipeline` makes the project"
    ),
    r"organization": "the account belongs to no organisation with a registry: unset WINE_REGISTRY_LINK",
}
NOTHING_THERE: Final = "artifact membership|Unable to parse|Could not find run"


def prepare_environment() -> None:
    """Set W&B's variables for this process and those that it starts: quiet, and offline where nobody is logged in."""
    os.environ.update(DEFAULTS | dict(os.environ))
    if not has_login():
        os.environ.setdefault("WANDB_MODE", "offline")
    _home()
    if commit := current_commit():
        os.environ.setdefault("WANDB_GIT_COMMIT", commit)


def _home() -> Path:
    """The folder in which the SDK keeps runs, made where it was missing."""
    home = Path(os.environ.get("WANDB_DIR", DEFAULTS["WANDB_DIR"]))
    home.mkdir(parents=True, exist_ok=True)
    return home


def has_login() -> bool:
    """Whether the SDK would find a key for its server; it is asked, and imported, only where a key may lie."""
    if any(os.environ.get(name) for name in KEYS):
        return True
    places = (os.environ.get("NETRC"), "~/.netrc", "~/_netrc")
    if not any(place and Path(place).expanduser().is_file() for place in places):
        return False
    import wandb
    from wandb.sdk import wandb_setup

    try:
        return _finds_key(wandb_setup.singleton().settings.base_url, "tracking")  # wandb.setup() would start a service
    except wandb.Error:
        return True  # something that is no key: the first run says so
    finally:
        if wandb.run is None:
            wandb.teardown()  # the SDK reads the environment once, and it is not complete yet


def _finds_key(host: str, source: str) -> bool:
    from wandb.sdk.lib import wbauth

    return wbauth.authenticate_session(host=host, source=source, prompt=False, update_session=False) is not None


def tracking(uri: str) -> dict[str, Any]:
    """Where the runs of the registry at `uri` are tracked, as arguments of `wandb.init`."""
    scheme, _, place = uri.partition(":")
    if scheme == "wandb":
        entity, project = place.split("/")
        return {"entity": entity, "project": project}
    return {"project": os.environ.get("WANDB_PROJECT", MODEL)}


def explain(error: Exception, place: str) -> RegistryError:
    """The sentence for `error`, raised while talking to W&B about `place`."""
    import wandb

    said = " ".join(str(error).split())[:300]
    for pattern, meaning in REFUSALS.items():
        if re.search(pattern, said, re.IGNORECASE):
            return RegistryError(f"W&B refuses {place}: {meaning} (it said: {said})")
    return RegistryUnavailable(
        f"W&B at {wandb.setup().settings.base_url} gives no usable answer about {place} ({said}): see whether the "
        "server and the network are up, and run this again; nothing was taken from the folder instead"
    )


class Project:
    """The W&B project `place` (ENTITY/PROJECT).

    One answer of W&B may take `patience` seconds, a version's files a second more for each MB.
    """

    def __init__(self, place: str, patience: int) -> None:
        self.place = place
        self._patience = patience
        self._api: wandb.Api | None = None
        os.environ.update(QUIET | dict(os.environ))

    def __str__(self) -> str:
        return f"W&B project {self.place}"

    @contextlib.contextmanager
    def talking(self) -> Iterator["wandb.Api"]:
        """W&B's API; what goes wrong while talking to it becomes one sentence of our family."""
        import requests
        import wandb
        from wandb.sdk.lib.service.service_connection import WandbApiFailedError

        try:
            if self._api is None:
                if not _finds_key(wandb.setup().settings.base_url, str(self)):
                    raise RegistryError(NO_KEY)
                self._api = wandb.Api(timeout=self._patience)
            yield self._api
        except (wandb.Error, WandbApiFailedError, requests.RequestException, ValueError, TimeoutError) as error:
            _bound_teardown()
            raise explain(error, self.place) from error

    def close(self) -> None:
        """End W&B's service process, unless a run needs it."""
        import wandb

        if self._api is not None and wandb.run is None:
            self._api = None
            wandb.teardown()

    @contextlib.contextmanager
    def _asking(self) -> Iterator["wandb.Api"]:
        """Like `talking`, but what the SDK says of a thing that is not there ends the block quietly."""
        from wandb.errors import CommError

        with self.talking() as api:
            try:
                yield api
            except (CommError, ValueError) as error:
                if not re.search(NOTHING_THERE, str(error)):
                    raise

    def find(self, ref: str) -> "wandb.Artifact | None":
        """The artifact `NAME:vN` or `NAME:ALIAS`, or None."""
        with self._asking() as api:
            return cast("wandb.Artifact", api.artifact(f"{self.place}/{ref}"))
        return None

    def artifacts(self, kind: str, name: str) -> list["wandb.Artifact"]:
        """Those of one name; empty where there is no such collection, or not even the project."""
        with self._asking() as api:
            return list(api.artifacts(kind, f"{self.place}/{name}"))
        return []

    def check_run(self, run: Any) -> None:
        """RegistryError when `run` is recorded elsewhere, so that it can use and log nothing here."""
        if run.offline or run.disabled or f"{run.entity}/{run.project}" != self.place:
            raise RegistryError(
                f"the run {run.entity}/{run.project}/{run.id} is {'offline' if run.offline else 'online'}, "
                f"but versions are in {self}: start it online, with the entity and project of WINE_REGISTRY"
            )

    @contextlib.contextmanager
    def run(self, resume: str | None = None) -> Iterator[Any]:
        """The run with the id `resume` if W&B has it, else a short one that publishes."""
        import wandb

        entity, project = self.place.split("/")
        bound = self._patience
        settings = wandb.Settings(init_timeout=bound, finish_timeout=bound, silent=True, console="off")
        with self.talking():
            known = resume is not None and self._has_run(resume)
            run = wandb.init(
                entity=entity,
                project=project,
                id=resume if known else None,
                resume="must" if known else None,
                job_type=None if known else "publish",
                mode="online",
                dir=_home(),
                reinit="create_new",
                settings=settings,
            )
        with run:
            yield run

    def _has_run(self, run_id: str) -> bool:
        with self._asking() as api:
            return bool(api.run(f"{self.place}/{run_id}"))
        return False

    def log(
        self, run: Any, directory: Path, name: str, kind: str, metadata: Mapping[str, Any], inputs: Sequence[str]
    ) -> "wandb.Artifact":
        """Log the files as an artifact of `run`, wait until W&B has them all, and tell it what they were made from."""
        import wandb

        card = next(iter(sorted(directory.glob("*_CARD.md"))), None)
        megabytes = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6
        for ref in inputs:
            with self._asking():  # what was deleted since is named in the record all the same
                run.use_artifact(f"{self.place}/{ref}")
        with self.talking():
            described = card.read_text(encoding="utf-8") if card else None
            artifact = wandb.Artifact(name, kind, description=described, metadata=dict(metadata))
            artifact.add_dir(str(directory))
            run.log_artifact(artifact)
            artifact.wait(timeout=round(self._patience + megabytes))
        return artifact

    def point(
        self, artifact: "wandb.Artifact", aliases: Collection[str], take_away: Collection[str] = frozenset()
    ) -> None:
        """Let `aliases` stand at `artifact`, and what stands there of `take_away` nowhere.

        `artifact.save()` would also write back metadata that others have changed since.
        """
        from wandb.sdk.artifacts._validators import FullArtifactPath

        where = FullArtifactPath(name=artifact.name.split(":")[0], project=artifact.project, prefix=artifact.entity)
        with self.talking():
            artifact._add_aliases(set(aliases), where)  # noqa: SLF001
            artifact._delete_aliases(set(take_away), where)  # noqa: SLF001

    def describe(self, artifact: "wandb.Artifact", metadata: Mapping[str, Any]) -> None:
        """Change some of the artifact's metadata."""
        with self.talking():
            artifact.metadata = {**artifact.metadata, **metadata}
            artifact.save()

    def download(self, artifact: "wandb.Artifact", target: Path) -> bool:
        """Fetch the files of `artifact` into `target`; False when it was deleted since it was found.

        `artifact.download()` would keep a second copy of each file in W&B's own cache.
        """
        import requests

        with self.talking():
            try:
                files = list(artifact.files())
            except AttributeError:  # the SDK's way to say that it is gone
                return False
            for file in files:
                path = Path(target, file.name).resolve()
                if not path.is_relative_to(target.resolve()):
                    raise DigestMismatch(f"{artifact.name} in {self} holds a file outside of itself: {file.name}")
                path.parent.mkdir(parents=True, exist_ok=True)
                deadline = time.monotonic() + self._patience + file.size / 1e6
                with requests.get(file.direct_url, stream=True, timeout=self._patience) as answer:
                    answer.raise_for_status()
                    with path.open("wb") as opened:
                        for chunk in answer.iter_content(1 << 20):
                            opened.write(chunk)
                            if time.monotonic() > deadline:
                                raise TimeoutError(f"{artifact.name} was not here in time")
        return True


def push_runs(place: str) -> Iterator[str]:
    """Upload the runs that were recorded offline and are not marked as synchronised; a line when there were any."""
    entity, project = place.split("/")
    home = _home() / "wandb"
    runs = [path for path in sorted(home.glob("offline-run-*")) if not [*path.glob("*.wandb.synced")]]
    if not runs:
        return
    command = [sys.executable, "-m", "wandb", "sync", "--entity", entity, "--project", project, *map(str, runs)]
    ours = {"WANDB_MODE", "WANDB_SERVICE", "WANDB_SILENT"}  # what it does has to go online, and to be said
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    bound = 30 + 30 * len(runs)
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=bound, check=False)
    except subprocess.TimeoutExpired:
        raise RegistryUnavailable(f"W&B took too long to receive {len(runs)} runs of {home}: run this again") from None
    missing = [path.name for path in runs if not [*path.glob("*.wandb.synced")]]
    if missing:  # the command's exit code does not tell
        said = " ".join(line.partition("ERROR")[2].strip() for line in done.stderr.splitlines() if "ERROR" in line)
        raise RegistryUnavailable(f"W&B did not receive {', '.join(missing)} of {home} ({said}): run this again")
    yield f"{len(runs)} offline run{'s' * (len(runs) > 1)} → {place}"


def _bound_teardown() -> None:
    """Have W&B's service process killed where it does not end by itself.

    The SDK waits for its end without bound, and it never ends when the answer to a request that was given up meets a
    closed connection before the request to end is read.
    """
    import wandb

    connection = wandb.setup()._connection  # noqa: SLF001 - wandb offers no way to its process
    service = connection._proc if connection else None  # noqa: SLF001
    if service is None:  # none was started, or it belongs to another process
        return
    process = service._process  # noqa: SLF001

    def join() -> int:
        try:
            return process.wait(GIVEN_UP)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    service.join = join  # type: ignore[method-assign]

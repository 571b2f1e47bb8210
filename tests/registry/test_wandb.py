"""What W&B as registry promises beyond the contract of `test_promises.py`: the real SDK, real HTTP, and its faults."""

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect

from tests.disks import small_disk
from tests.forked import Fork, Forks
from tests.stand_ins.wandb_server.app import WandbServer
from tests.stand_ins.wandb_server.fixtures import serve
from tests.stand_ins.wandb_server.store import Artifact
from wine_serving.errors import AliasMoved, DigestMismatch, RegistryError, RegistryUnavailable, VersionNotFound
from wine_serving.registry import claims, digest_files
from wine_serving.registry.wandb import WandbRegistry

NAME = "wine-quality"
BOUND = 15  # seconds within which every failure is said

SCRIPT = """
import os, sys
from pathlib import Path
from wine_serving.errors import WineServingError
from wine_serving.registry import open_registry
try:
    print({expression})
except WineServingError as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
"""
REGISTRY = "open_registry(os.environ['WINE_REGISTRY'])"


@pytest.fixture
def registry(wandb_server: WandbServer, tmp_path: Path) -> WandbRegistry:
    """An empty registry."""
    return WandbRegistry(wandb_server.place, tmp_path / "cache")


@pytest.fixture
def impatient(wandb_server: WandbServer, tmp_path: Path) -> WandbRegistry:
    """The same registry for whoever gives up after a second what hangs."""
    return WandbRegistry(wandb_server.place, tmp_path / "cache", patience=1)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return directory(tmp_path / "model", "first")


def directory(path: Path, text: str) -> Path:
    """A directory to publish."""
    path.mkdir()
    (path / "model.onnx").write_text(text)
    (path / "MODEL_CARD.md").write_text(f"# The {text} model\n")
    return path


Process = Callable[..., Fork]


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """Processes that have imported the SDK."""
    with Forks("wandb.apis.public", "wine_serving.registry.wandb", "wine_serving.registry.claims") as ready:
        yield ready


@pytest.fixture
def process(forks: Forks) -> Process:
    """Another process, with an empty home and cache, that prints the value of `expression`, or the error's sentence."""

    def start(server: WandbServer, home: Path, expression: str, **changes: str) -> Fork:
        home.mkdir()
        environment = {"PATH": os.environ["PATH"], "HOME": str(home)} | server.environment(home) | changes
        given = {name: value for name, value in environment.items() if value}
        return forks.start(SCRIPT.format(expression=expression), env=given)

    return start


def publishing(path: Path, **options: object) -> str:
    """The expression that publishes `path`."""
    return f"{REGISTRY}.publish(Path({str(path)!r}), {NAME!r}, kind='model', **{options}).version"


def test_another_process_fetches_the_exact_bytes_and_creates_no_run(
    registry: WandbRegistry, process: Process, wandb_server: WandbServer, model: Path, tmp_path: Path
) -> None:
    """By alias, with nothing in its cache."""
    registry.publish(model, NAME, kind="model", aliases=["production"])
    runs = [*wandb_server.project.runs_by_name]
    other = process(wandb_server, tmp_path / "home", f"{REGISTRY}.fetch('{NAME}:production')")
    fetched, errors = other.communicate(timeout=BOUND)
    assert errors == ""
    assert digest_files(Path(fetched.strip())) == digest_files(model)
    assert [*wandb_server.project.runs_by_name] == runs


def test_concurrent_publishers_lose_nothing(
    registry: WandbRegistry, process: Process, wandb_server: WandbServer, tmp_path: Path
) -> None:
    """Three processes publish at once: three versions, whole, and the alias on one of them."""
    sources = [directory(tmp_path / f"source-{number}", str(number)) for number in range(3)]
    writers = [
        process(wandb_server, tmp_path / f"home-{source.name}", publishing(source, aliases=["candidate"]))
        for source in sources
    ]
    versions = sorted(writer.communicate(timeout=60)[0].strip() for writer in writers)
    assert versions == ["v0", "v1", "v2"]
    contents = {(registry.fetch(record.ref) / "model.onnx").read_text() for record in registry.records(NAME)}
    assert contents == {"0", "1", "2"}
    assert registry.aliases(NAME)["candidate"] in versions


def test_publisher_killed_while_uploading_leaves_nothing_visible(
    registry: WandbRegistry, process: Process, wandb_server: WandbServer, model: Path, tmp_path: Path
) -> None:
    """The version before still stands with its aliases, and the next publisher is not disturbed."""
    registry.publish(model, NAME, kind="model", aliases=["candidate"])
    second = directory(tmp_path / "second", "second")
    wandb_server.faults.hang.add("upload")
    wandb_server.arrived["upload"].clear()
    killed = process(wandb_server, tmp_path / "home", publishing(second, aliases=["candidate"]))
    assert wandb_server.arrived["upload"].wait(BOUND)
    killed.kill()
    killed.communicate()
    assert registry.aliases(NAME) == {"candidate": "v0", "latest": "v0"}
    wandb_server.faults.hang.clear()
    assert registry.publish(second, NAME, kind="model").version == "v1"
    assert digest_files(registry.fetch(f"{NAME}:v1")) == digest_files(second)


def test_version_shows_in_wandb_what_a_reader_needs(
    registry: WandbRegistry, wandb_server: WandbServer, model: Path
) -> None:
    """The card is the description, metrics and record are metadata, and the inputs are in W&B's own lineage."""
    registry.publish(model, "wine-quality-data", kind="dataset")
    registry.publish(model, NAME, kind="model", metadata={"rmse": 0.68}, inputs=["wine-quality-data:v0"])
    registry.attach_evaluation(f"{NAME}:v0", {"verdict": "promote"})
    artifact = wandb_server.project.version(f"{NAME}:v0")
    metadata = artifact.described
    assert artifact.description == "# The first model\n"
    assert metadata["rmse"] == 0.68
    assert metadata["registry"]["inputs"] == ["wine-quality-data:v0"]
    assert metadata["registry"]["evaluation"] == {"verdict": "promote"}
    assert artifact.created_by.job_type == "publish"
    assert [each.artifact_sequence.name for each in artifact.created_by.inputs] == ["wine-quality-data"]


def test_deleted_version_is_said(registry: WandbRegistry, wandb_server: WandbServer, model: Path) -> None:
    """Also when it is deleted between two requests of one fetch."""
    registry.publish(model, NAME, kind="model")
    delete = {"artifact_id": wandb_server.project.version(f"{NAME}:v0").id, "delete_aliases": True}
    wandb_server.faults.before["ArtifactMembershipFiles"] = lambda: wandb_server.store.delete_artifact(delete)
    with pytest.raises(VersionNotFound, match="no version v0"):
        registry.fetch(f"{NAME}:v0")
    with pytest.raises(VersionNotFound, match="no version v0"):
        registry.record(f"{NAME}:v0")


def test_altered_file_is_refused(registry: WandbRegistry, wandb_server: WandbServer, model: Path) -> None:
    """What W&B sends must be what was published."""
    registry.publish(model, NAME, kind="model")
    wandb_server.project.version(f"{NAME}:v0").blobs["model.onnx"] = b"altered"
    with pytest.raises(DigestMismatch, match="are not those published as wine-quality:v0"):
        registry.fetch(f"{NAME}:v0")


def test_verified_copy_serves_while_wandb_is_away(
    registry: WandbRegistry, impatient: WandbRegistry, wandb_server: WandbServer, model: Path
) -> None:
    """What was fetched once by an alias is found again by it; what was not, or was altered since, is not."""
    registry.publish(model, NAME, kind="model", aliases=["production"])
    fetched = registry.fetch(registry.record(f"{NAME}:production").ref)
    wandb_server.faults.hang.add("everything")
    with pytest.raises(RegistryUnavailable):
        impatient.fetch(f"{NAME}:production")
    record, copy = registry.cached(f"{NAME}:production")
    assert (record.version, copy) == ("v0", fetched)
    with pytest.raises(RegistryUnavailable, match="no verified copy of wine-quality:candidate"):
        registry.cached(f"{NAME}:candidate")
    (copy / "model.onnx").write_text("altered")
    with pytest.raises(DigestMismatch, match="was altered"):
        registry.cached(f"{NAME}:production")


def test_alias_moved_by_somebody_in_between_is_left_alone(
    registry: WandbRegistry, wandb_server: WandbServer, model: Path, tmp_path: Path
) -> None:
    """Even when it happens between the look and the move; the history keeps only what happened."""
    registry.publish(model, NAME, kind="model", aliases=["production"])
    registry.publish(directory(tmp_path / "second", "second"), NAME, kind="model")
    registry.publish(directory(tmp_path / "third", "third"), NAME, kind="model")
    where = wandb_server.project.collections[NAME].where
    wandb_server.faults.before["UpdateArtifact"] = lambda: where.update(production=where["latest"])
    with pytest.raises(AliasMoved, match="production is v2 and did not move to v1"):
        registry.move_alias(NAME, "production", "v1", reason="late", by="ann", expected="v0")
    assert registry.aliases(NAME)["production"] == "v2"
    assert [move.version for move in registry.history(NAME)] == ["v0", "v2"]


def test_refused_move_never_shows_in_the_history(
    registry: WandbRegistry, wandb_server: WandbServer, model: Path, tmp_path: Path
) -> None:
    """Neither at once nor after later moves: nobody can roll back to what never was production."""
    registry.publish(model, NAME, kind="model", aliases=["production"])
    registry.publish(directory(tmp_path / "second", "second"), NAME, kind="model")
    registry.publish(directory(tmp_path / "third", "third"), NAME, kind="model")
    wandb_server.faults.errors["AddAliases"] = "permission denied"
    with pytest.raises(RegistryError, match="the key may not do this there"):
        registry.move_alias(NAME, "production", "v1", reason="refused", by="ann", expected="v0")
    assert [move.version for move in registry.history(NAME)] == ["v0"]
    wandb_server.faults.errors.clear()
    registry.move_alias(NAME, "production", "v2", reason="allowed", by="ann", expected="v0")
    assert [(move.previous, move.version) for move in registry.history(NAME)] == [(None, "v0"), ("v0", "v2")]


def test_move_that_wandb_takes_and_does_not_make_is_not_reported(
    registry: WandbRegistry, wandb_server: WandbServer, model: Path, tmp_path: Path
) -> None:
    """The alias is read back."""
    registry.publish(model, NAME, kind="model", aliases=["production"])
    registry.publish(directory(tmp_path / "second", "second"), NAME, kind="model")
    wandb_server.project.collections[NAME].protected.add("production")
    with pytest.raises(AliasMoved, match="production is v0 and did not move to v1"):
        registry.move_alias(NAME, "production", "v1", reason="in vain", by="ann", expected="v0")
    assert [move.version for move in registry.history(NAME)] == ["v0"]


def test_move_whose_maker_was_stopped_right_after_stays_in_the_history(
    registry: WandbRegistry,
    impatient: WandbRegistry,
    wandb_server: WandbServer,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With who and why, also once the alias has left the version again."""
    monkeypatch.setattr(claims, "LASTS", timedelta(seconds=3))  # its claim is left, too
    registry.publish(model, NAME, kind="model", aliases=["production"])
    registry.publish(directory(tmp_path / "second", "second"), NAME, kind="model")
    changes: list[str] = []

    def stop(mutation: str) -> None:
        changes.append(mutation)
        if changes.count("UpdateArtifact") > 1:
            raise ClientDisconnect

    wandb_server.faults.change = stop
    with pytest.raises(RegistryUnavailable):
        impatient.move_alias(NAME, "production", "v1", reason="better", by="ann", expected="v0")
    wandb_server.faults.change = None
    assert registry.aliases(NAME)["production"] == "v1"
    registry.move_alias(NAME, "production", "v0", reason="smelt odd", by="bob", expected="v1")
    moves = [(move.previous, move.version, move.by, move.reason) for move in registry.history(NAME)]
    assert moves[1:] == [("v0", "v1", "ann", "better"), ("v1", "v0", "bob", "smelt odd")]


def test_of_several_promoters_at_once_one_wins(
    registry: WandbRegistry, process: Process, wandb_server: WandbServer, model: Path, tmp_path: Path
) -> None:
    """All have seen the same production when the first of them moves it; the others are told."""
    registry.publish(model, NAME, kind="model", aliases=["production"])
    for number in (1, 2, 3):
        registry.publish(directory(tmp_path / f"version-{number}", str(number)), NAME, kind="model")
    wandb_server.operations.clear()
    wandb_server.faults.hang.add("AddAliases")
    move = "{}.move_alias({!r}, 'production', 'v{}', reason='mine', by='p{}', expected='v0')"
    promoters = [
        process(wandb_server, tmp_path / f"home-{number}", move.format(REGISTRY, NAME, number, number))
        for number in (1, 2, 3)
    ]
    while wandb_server.operations.count("AddAliases") < len(promoters):
        assert [promoter.poll() for promoter in promoters] == [None] * 3
        time.sleep(0.05)
    wandb_server.faults.hang.clear()
    errors = [promoter.communicate(timeout=60)[1] for promoter in promoters]
    winner = errors.index("") + 1
    assert [error.partition(":")[0] for error in errors if error] == ["AliasMoved", "AliasMoved"]
    assert registry.aliases(NAME) == {"production": f"v{winner}", "latest": "v3"}
    assert [move.version for move in registry.history(NAME)] == ["v0", f"v{winner}"]
    assert {*wandb_server.project.collections[NAME].where} == {"production", "latest"}


def test_killed_promoter_keeps_nobody_from_promoting_for_long(
    registry: WandbRegistry,
    process: Process,
    wandb_server: WandbServer,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its claim is no alias for others, is void in the end, and is cleared."""
    registry.publish(model, NAME, kind="model", aliases=["production"])
    registry.publish(directory(tmp_path / "second", "second"), NAME, kind="model")
    wandb_server.faults.hang.add("UpdateArtifact")
    wandb_server.arrived["UpdateArtifact"].clear()
    move = f"{REGISTRY}.move_alias({NAME!r}, 'production', 'v1', reason='mine', by='ann')"
    killed = process(wandb_server, tmp_path / "home", move)
    assert wandb_server.arrived["UpdateArtifact"].wait(BOUND)
    killed.kill()
    killed.communicate()
    wandb_server.faults.hang.clear()
    claim = next(alias for alias in wandb_server.project.collections[NAME].where if alias.startswith("moving-"))
    assert "production" not in claim  # an automation in W&B that waits for this alias must not take it for that
    assert registry.aliases(NAME) == {"production": "v0", "latest": "v1"}
    monkeypatch.setattr(claims, "LASTS", timedelta(seconds=3))
    registry.move_alias(NAME, "production", "v1", reason="mine", by="bob", expected="v0")
    assert {*wandb_server.project.collections[NAME].where} == {"production", "latest"}
    assert [move.by for move in registry.history(NAME)][1:] == ["bob"]


def test_same_bytes_published_twice_at_once_are_one_version(
    registry: WandbRegistry, process: Process, wandb_server: WandbServer, model: Path, tmp_path: Path
) -> None:
    """Both publishers get it, and all aliases stand there."""
    wandb_server.faults.hang.add("upload")
    publishers = [
        process(wandb_server, tmp_path / f"home-{number}", publishing(model, aliases=["candidate"]))
        for number in (1, 2)
    ]
    while wandb_server.operations.count("CreateArtifact") < len(publishers):
        assert [publisher.poll() for publisher in publishers] == [None] * 2
        time.sleep(0.05)
    wandb_server.faults.hang.clear()
    assert [publisher.communicate(timeout=60) for publisher in publishers] == [("v0\n", "")] * 2
    assert [record.version for record in registry.records(NAME)] == ["v0"]
    assert registry.aliases(NAME) == {"candidate": "v0", "latest": "v0"}


def test_latest_ends_at_the_newest_of_several_published_at_once(
    registry: WandbRegistry, wandb_server: WandbServer, model: Path
) -> None:
    """Also when the older publisher is the last to finish."""

    def newer() -> None:
        collection = wandb_server.project.collections[NAME]
        artifact = Artifact(collection, "other bytes", "{}", created_by=collection.versions[0].created_by)
        artifact.aliases_at_commit = ["latest"]
        collection.versions.append(artifact)
        artifact.commit()

    wandb_server.faults.before["ArtifactByID"] = newer
    registry.publish(model, NAME, kind="model", aliases=["candidate"])
    where = wandb_server.project.collections[NAME].where
    assert {alias: artifact.version for alias, artifact in where.items()} == {"candidate": "v0", "latest": "v1"}
    assert registry.history(NAME, "latest") == []


def test_one_record_that_cannot_be_read_hides_no_other(
    registry: WandbRegistry, wandb_server: WandbServer, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Metadata that somebody changed in W&B: the version is named with a remedy, and all else goes on."""
    registry.publish(model, NAME, kind="model")
    registry.publish(directory(tmp_path / "second", "second"), NAME, kind="model", aliases=["production"])
    wandb_server.project.version(f"{NAME}:v0").metadata = json.dumps({"registry": {"digest": 3}})
    assert [record.version for record in registry.records(NAME)] == ["v1"]
    assert "W&B's metadata of wine-quality:v0 cannot be read" in caplog.text
    assert registry.record(f"{NAME}:production").version == "v1"
    with pytest.raises(RegistryError, match=r"v0 cannot be read .*publish again"):
        registry.record(f"{NAME}:v0")
    assert registry.publish(directory(tmp_path / "third", "third"), NAME, kind="model").version == "v2"


def test_deleted_input_stops_no_publication(
    registry: WandbRegistry, wandb_server: WandbServer, model: Path, tmp_path: Path
) -> None:
    """A version deleted while it was judged against."""
    registry.publish(model, NAME, kind="model", aliases=["production"])
    registry.publish(directory(tmp_path / "second", "second"), NAME, kind="model")
    gone = {"artifact_id": wandb_server.project.version(f"{NAME}:v0").id, "delete_aliases": True}
    wandb_server.store.delete_artifact(gone)
    verdict, inputs = directory(tmp_path / "verdict", "verdict"), [f"{NAME}:v1", f"{NAME}:v0"]
    published = registry.publish(verdict, "wine-quality-evaluation", kind="report", inputs=inputs)
    assert published.inputs == tuple(inputs)
    assert registry.used_by(f"{NAME}:v1") == [published.ref]
    assert registry.history(NAME) == []


def test_cache_that_is_full_or_may_not_be_written_is_said(registry: WandbRegistry, model: Path, tmp_path: Path) -> None:
    """With the variable that names another one; nothing half fetched stays."""
    (model / "model.onnx").write_bytes(b"x" * 300_000)
    registry.publish(model, NAME, kind="model")
    with small_disk(tmp_path / "disk", "128k") as place:
        with pytest.raises(RegistryError, match=r"No space left .*choose another WANDB_CACHE_DIR"):
            WandbRegistry(registry.place, place).fetch(f"{NAME}:v0")
        left = [path.name for path in place.rglob("*") if path.is_file()]
        assert left == [".lock"]
    (tmp_path / "file").touch()
    with pytest.raises(RegistryError, match="choose another WANDB_CACHE_DIR"):
        WandbRegistry(registry.place, tmp_path / "file").fetch(f"{NAME}:v0")


def test_several_processes_fetch_one_version_at_once(
    registry: WandbRegistry, process: Process, wandb_server: WandbServer, model: Path, tmp_path: Path
) -> None:
    """Into one cache: each gets it."""
    registry.publish(model, NAME, kind="model")
    cache = {"WANDB_CACHE_DIR": str(tmp_path / "shared")}
    fetching = [
        process(wandb_server, tmp_path / f"home-{number}", f"{REGISTRY}.fetch('{NAME}:v0')", **cache)
        for number in range(3)
    ]
    places = {each.communicate(timeout=60) for each in fetching}
    assert len(places) == 1
    assert digest_files(Path(places.pop()[0].strip())) == digest_files(model)


def test_move_by_hand_in_wandb_joins_the_history(
    registry: WandbRegistry, wandb_server: WandbServer, model: Path, tmp_path: Path
) -> None:
    """Nobody has to know our commands to promote; the history says that it was done in W&B."""
    registry.publish(model, NAME, kind="model", aliases=["production"])
    registry.publish(directory(tmp_path / "second", "second"), NAME, kind="model")
    where = wandb_server.project.collections[NAME].where
    where["production"] = where["latest"]
    last = registry.history(NAME)[-1]
    assert (last.previous, last.version, last.by) == ("v0", "v1", "somebody in W&B")


REFUSALS: dict[str, tuple[dict[str, str], str, str]] = {
    "no key": ({"WANDB_API_KEY": ""}, "there is no W&B key on this machine", "wandb login"),
    "wrong key": ({"WANDB_API_KEY": "w" * 40}, "does not accept the key", "wandb login --relogin"),
    "wrong entity": ({"WINE_REGISTRY": "wandb:nobody/wines"}, "no such entity or project", "correct WINE_REGISTRY"),
    "wrong project": ({"WINE_REGISTRY": "wandb:cellar/vines"}, "no such entity or project", "correct WINE_REGISTRY"),
}


@pytest.mark.parametrize(("changes", "what", "remedy"), REFUSALS.values(), ids=REFUSALS)
def test_refusal_is_one_sentence_that_says_what_to_do(
    process: Process, wandb_server: WandbServer, tmp_path: Path, changes: dict[str, str], what: str, remedy: str
) -> None:
    """Nothing falls back to the folder, and nobody is asked for a key."""
    asking = process(wandb_server, tmp_path / "home", f"{REGISTRY}.record('{NAME}:production')", **changes)
    said, error = asking.communicate(timeout=BOUND)
    assert (said, asking.returncode) == ("", 1)
    assert error.startswith("RegistryError: ")
    assert what in error
    assert remedy in error
    assert len(error.splitlines()) == 1


def test_publishing_to_an_entity_that_is_not_ours_is_refused(
    process: Process, wandb_server: WandbServer, model: Path, tmp_path: Path
) -> None:
    """A new project is made; a new entity cannot be."""
    publisher = process(wandb_server, tmp_path / "home", publishing(model), WINE_REGISTRY="wandb:nobody/wines")
    assert "no such entity or project" in publisher.communicate(timeout=BOUND)[1]
    publisher = process(wandb_server, tmp_path / "second", publishing(model), WINE_REGISTRY="wandb:cellar/brand-new")
    assert publisher.communicate(timeout=BOUND)[0] == "v0\n"


def test_dead_or_hanging_server_is_said_in_time(process: Process, tmp_path: Path) -> None:
    """With the time-outs that users have; both at once, as each takes its time."""
    with serve(WandbServer()) as server:
        server.faults.hang.add("everything")
        expression = f"{REGISTRY}.record('{NAME}:production')"
        asking = [
            process(server, tmp_path / "hanging", expression),
            process(server, tmp_path / "dead", expression, WANDB_BASE_URL="http://127.0.0.1:9"),
        ]
        for each in asking:
            assert "RegistryUnavailable: W&B at http://127.0.0.1" in each.communicate(timeout=BOUND)[1]


def lose(server: WandbServer) -> None:
    server.faults.lose_uploads = True


def refuse(server: WandbServer) -> None:
    server.faults.refuse_uploads = True


def hang(server: WandbServer) -> None:
    server.faults.hang.add("upload")


def fail(server: WandbServer) -> None:
    server.faults.errors["CreateArtifact"] = "quota exceeded"


@pytest.mark.parametrize("fault", [lose, refuse, hang, fail])
def test_upload_that_fails_publishes_nothing(
    registry: WandbRegistry,
    impatient: WandbRegistry,
    wandb_server: WandbServer,
    model: Path,
    fault: Callable[[WandbServer], None],
) -> None:
    """The publisher learns of it in time, the run is marked as failed, and the next attempt succeeds."""
    fault(wandb_server)
    with pytest.raises(RegistryUnavailable, match="see whether the server and the network are up"):
        impatient.publish(model, NAME, kind="model")
    assert registry.records(NAME) == []
    wandb_server.start_anew(wandb_server.project.name)
    assert registry.publish(model, NAME, kind="model").version == "v0"


@pytest.mark.parametrize("operation", ["ArtifactMembershipByName", "ProjectArtifacts"])
def test_error_inside_graphql_is_no_missing_version(
    registry: WandbRegistry, wandb_server: WandbServer, model: Path, operation: str
) -> None:
    """A server in trouble is not an empty registry."""
    registry.publish(model, NAME, kind="model", aliases=["production"])
    wandb_server.faults.errors[operation] = "internal error"
    with pytest.raises(RegistryUnavailable, match="internal error"):
        registry.record(f"{NAME}:production") and registry.history(NAME)


def test_run_of_another_project_or_offline_cannot_publish(
    registry: WandbRegistry, wandb_server: WandbServer, model: Path
) -> None:
    """A notebook whose run is recorded elsewhere is told so, before anything is uploaded."""
    import wandb

    with wandb.init(mode="offline", project=wandb_server.project.name) as run:
        for exchange in (
            lambda: registry.publish(model, NAME, kind="model", run=run),
            lambda: registry.fetch(f"{NAME}:v0", run=run),
        ):
            with pytest.raises(RegistryError, match="start it online, with the entity and project of WINE_REGISTRY"):
                exchange()

"""What every registry promises, whichever backend it has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from wine_serving.errors import AliasMoved, DigestMismatch, NothingPromoted, RegistryError, VersionNotFound
from wine_serving.registry import Registry, digest_files
from wine_serving.registry.folder import FolderRegistry
from wine_serving.registry.promises import parse_ref
from wine_serving.registry.wandb import WandbRegistry


@pytest.fixture(params=["folder", "wandb"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """An empty registry of each kind."""
    if request.param == "folder":
        return FolderRegistry(tmp_path / "registry")
    return WandbRegistry(request.getfixturevalue("wandb_server").place, tmp_path / "cache")


def test_versions_are_numbered_from_zero(registry: Registry, first: Path, second: Path) -> None:
    """Each new content gets the next number."""
    published = [registry.publish(each, "wine-quality", kind="model") for each in (first, second)]
    assert [record.version for record in published] == ["v0", "v1"]
    assert [record.ref for record in registry.records("wine-quality")] == ["wine-quality:v0", "wine-quality:v1"]


def test_identical_content_gives_the_existing_version(registry: Registry, first: Path, second: Path) -> None:
    """Publishing the same bytes again moves the aliases to where they are already stored."""
    registry.publish(first, "wine-quality", kind="model", aliases=["candidate"])
    registry.publish(second, "wine-quality", kind="model", aliases=["candidate"])
    assert registry.publish(first, "wine-quality", kind="model", aliases=["candidate"]).version == "v0"
    assert registry.aliases("wine-quality") == {"candidate": "v0", "latest": "v0"}
    assert len(registry.records("wine-quality")) == 2


def test_identical_content_keeps_the_largest_search_that_found_it(registry: Registry, first: Path) -> None:
    """How many were tried is no part of the content, and is not forgotten when it comes again without."""
    for trials, kept in ((None, None), (20, 20), (5, 20), (None, 20)):
        metadata = {"rows": 3} | ({"search": {"trials": trials}} if trials else {})
        registry.publish(first, "wine-quality", kind="model", metadata=metadata)
        standing = registry.record("wine-quality:v0").metadata
        assert standing == {"rows": 3} | ({"search": {"trials": kept}} if kept else {})


def test_fetched_bytes_are_the_published_bytes(registry: Registry, first: Path) -> None:
    """By alias or by version, exactly the published files come back."""
    registry.publish(first, "wine-quality", kind="model", aliases=["candidate"])
    for ref in ("wine-quality:v0", "wine-quality:candidate", "wine-quality:latest"):
        assert digest_files(registry.fetch(ref)) == digest_files(first)


def test_record_keeps_metadata_and_lineage_both_ways(registry: Registry, first: Path, second: Path) -> None:
    """From a model to its dataset, and from the dataset to the models made from it."""
    registry.publish(first, "wine-quality-data", kind="dataset", metadata={"rows": 3})
    registry.publish(second, "wine-quality", kind="model", inputs=["wine-quality-data:v0"])
    assert registry.record("wine-quality-data:v0").metadata == {"rows": 3}
    assert registry.record("wine-quality:v0").inputs == ("wine-quality-data:v0",)
    assert registry.used_by("wine-quality-data:latest") == ["wine-quality:v0"]


def test_alias_moves_with_a_history(registry: Registry, first: Path, second: Path) -> None:
    """Who moved production, from where, to where and why is kept."""
    for each in (first, second):
        registry.publish(each, "wine-quality", kind="model")
    registry.move_alias("wine-quality", "production", "v0", reason="first", by="ann", expected=None)
    registry.move_alias("wine-quality", "production", "v1", reason="better", by="bob", expected="v0")
    moves = registry.history("wine-quality")
    assert [(m.previous, m.version, m.by, m.reason) for m in moves] == [
        (None, "v0", "ann", "first"),
        ("v0", "v1", "bob", "better"),
    ]
    assert registry.record("wine-quality:production").version == "v1"


def test_alias_that_somebody_moved_meanwhile_is_left_alone(registry: Registry, first: Path, second: Path) -> None:
    """A decision made on an outdated view does not take effect."""
    for each in (first, second):
        registry.publish(each, "wine-quality", kind="model", aliases=["production"])
    with pytest.raises(AliasMoved, match="production is v1, not v0"):
        registry.move_alias("wine-quality", "production", "v0", reason="late", by="ann", expected="v0")
    assert registry.aliases("wine-quality")["production"] == "v1"


def test_evaluation_and_monitoring_are_kept_beside_the_version(registry: Registry, first: Path) -> None:
    """A verdict, and what monitoring found, join the record without changing the version's bytes."""
    published = registry.publish(first, "wine-quality", kind="model")
    registry.attach_evaluation("wine-quality:v0", {"verdict": "promote"})
    registry.attach_monitoring("wine-quality:v0", {"answer": "worse"})
    assert registry.record("wine-quality:v0").evaluation == {"verdict": "promote"}
    assert registry.record("wine-quality:v0").monitoring == {"answer": "worse"}
    assert registry.record("wine-quality:v0").digest == published.digest
    registry.fetch("wine-quality:v0")


def test_unknown_version_or_alias_is_said(registry: Registry, first: Path) -> None:
    """The sentence says what there is instead."""
    registry.publish(first, "wine-quality", kind="model", aliases=["candidate"])
    with pytest.raises(VersionNotFound, match=r"no version v7.*versions v0"):
        registry.record("wine-quality:v7")
    with pytest.raises(VersionNotFound, match=r"no alias 'champion'.*candidate = v0"):
        registry.fetch("wine-quality:champion")


def test_nothing_promoted_says_which_command_to_run(registry: Registry) -> None:
    """An empty registry is a normal beginning."""
    with pytest.raises(NothingPromoted, match="make pipeline"):
        registry.record("wine-quality:production")


def test_empty_directory_is_refused(registry: Registry, tmp_path: Path) -> None:
    """There is no version of nothing."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(RegistryError, match="nothing to publish"):
        registry.publish(tmp_path / "empty", "wine-quality", kind="model")


@pytest.mark.parametrize("alias", ["v3", "a/b", ""])
def test_alias_that_would_pass_for_a_version_or_a_path_is_refused(registry: Registry, first: Path, alias: str) -> None:
    """By publishing, moving and copying alike; nothing is published."""
    for attempt in (
        lambda: registry.publish(first, "wine-quality", kind="model", aliases=[alias]),
        lambda: registry.move_alias("wine-quality", alias, "v0", reason="x", by="ann"),
        lambda: registry.adopt_moves("wine-quality", alias, []),
    ):
        with pytest.raises(RegistryError, match=r"no reference|cannot be an alias"):
            attempt()
    assert registry.records("wine-quality") == []


def test_link_in_a_published_folder_is_refused(registry: Registry, first: Path, second: Path) -> None:
    """A version holds files, not the way to some that may change."""
    (first / "inner" / "other").symlink_to(second)
    with pytest.raises(RegistryError, match=r"inner/other is a link"):
        registry.publish(first, "wine-quality", kind="model")


def test_version_made_from_what_was_deleted_is_published(registry: Registry, first: Path, second: Path) -> None:
    """Its record names what it was made from all the same."""
    registry.publish(first, "wine-quality", kind="model")
    inputs = ["wine-quality:v0", "wine-quality:v7", "wine-quality-data:v0"]
    assert registry.publish(second, "wine-quality-evaluation", kind="report", inputs=inputs).inputs == tuple(inputs)


@pytest.mark.parametrize("ref", ["wine-quality", "../x:v0", "wine:v0:v1", "", "a/b:v0"])
def test_malformed_reference_is_refused(ref: str) -> None:
    """A reference is NAME:ALIAS or NAME:vN, never a path."""
    with pytest.raises(RegistryError, match="no reference"):
        parse_ref(ref)


def test_version_of_another_registry_is_adopted_as_it_is(
    registry: Registry, tmp_path: Path, first: Path, second: Path
) -> None:
    """Its bytes, time, author, metadata, evaluation and lineage; and who moved its aliases."""
    made = FolderRegistry(tmp_path / "elsewhere")
    made.publish(first, "wine-quality-data", kind="dataset")
    made.publish(second, "wine-quality", kind="model", metadata={"rmse": 0.68}, inputs=["wine-quality-data:v0"])
    made.move_alias("wine-quality", "production", "v0", reason="first", by="ann")
    made.attach_evaluation("wine-quality:v0", {"verdict": "promote"})
    for ref in ("wine-quality-data:v0", "wine-quality:v0"):
        adopted = registry.adopt(made.record(ref), made.fetch(ref), made.record(ref).inputs)
        assert adopted.model_copy(update={"run": None, "origin": None}) == made.record(ref)
        assert digest_files(registry.fetch(ref)) == adopted.files
    assert registry.adopt_moves("wine-quality", "production", made.history("wine-quality"))
    assert registry.aliases("wine-quality")["production"] == "v0"
    assert registry.history("wine-quality") == made.history("wine-quality")
    assert not registry.adopt_moves("wine-quality", "production", made.history("wine-quality"))


def test_altered_version_is_not_adopted(registry: Registry, tmp_path: Path, first: Path, second: Path) -> None:
    """Only the files that the record names come in."""
    record = FolderRegistry(tmp_path / "elsewhere").publish(first, "wine-quality", kind="model")
    with pytest.raises(DigestMismatch, match="are not those published as wine-quality:v0"):
        registry.adopt(record, second, [])
    assert registry.records("wine-quality") == []


def test_no_registry_of_another_checkout_is_used_unasked(tmp_path: Path) -> None:
    """A Python that runs this checkout's code, started in another one, must have WINE_REGISTRY to write anywhere."""
    other = tmp_path / "copy"
    (other / "wine_serving").mkdir(parents=True)
    (other / "wine_serving" / "settings.py").touch()
    (other / "notebooks").mkdir()
    ask = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from wine_serving.registry import open_registry; "
    ask += "from wine_serving.settings import Settings; print(open_registry(Settings.from_environment().registry).root)"

    def asked(**variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", ask]
        environment = os.environ | variables
        return subprocess.run(
            command, cwd=other / "notebooks", env=environment, capture_output=True, text=True, check=False
        )

    refused = asked()
    assert refused.returncode == 1
    assert f"this Python runs the code of {ROOT} and would use its registry, but you are in {other}" in refused.stderr
    assert asked(WINE_REGISTRY=f"folder:{tmp_path}").stdout == f"{tmp_path}\n"

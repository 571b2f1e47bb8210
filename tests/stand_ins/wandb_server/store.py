"""What the server remembers: projects with their runs, collections and versions, as plain objects.

The attributes and methods bear the names of `schema.graphql`'s fields, in snake case.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

_ids = count(1)


def new_id(kind: str) -> str:
    """An identifier that no other object has."""
    return base64.b64encode(f"{kind}:{next(_ids)}".encode()).decode()


def now() -> str:
    """The present time as W&B writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def page(nodes: Iterable[Any]) -> dict[str, Any]:
    """All nodes as the one page of a connection."""
    edges = [{"node": node, "cursor": str(number)} for number, node in enumerate(nodes)]
    return {"edges": edges, "page_info": {"has_next_page": False, "end_cursor": None}, "total_count": len(edges)}


class RefusedError(Exception):
    """An answer in GraphQL's `errors`, with the HTTP status that W&B gives it."""

    def __init__(self, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.status = status


@dataclass(eq=False)
class Entity:
    """A person's or a team's account; only a team with an `organization` can link into its registry."""

    name: str
    organization: "Organization | None" = None
    xxhash_digests_enabled: bool = False
    id: str = field(default_factory=lambda: new_id("Entity"))

    @property
    def user(self) -> dict[str, Any] | None:
        return None if self.organization else {"id": self.id, "name": self.name, "organizations": []}


@dataclass(eq=False)
class Organization:
    """An organisation and the entity that owns its registries."""

    name: str
    org_entity: Entity
    core_weave_organization_id: str | None = None
    id: str = field(default_factory=lambda: new_id("Organization"))


@dataclass(eq=False)
class Run:
    """A tracked run: what `upsertBucket`, the file stream and the file uploads said of it."""

    name: str
    project: "Project"
    display_name: str = ""
    description: str | None = None
    notes: str | None = None
    group: str | None = None
    job_type: str | None = None
    commit: str | None = None
    tags: list[str] = field(default_factory=list)
    alerts: list[tuple[str, str]] = field(default_factory=list)  # title and text
    state: str = "running"
    exit_code: int | None = None
    config: str = "{}"
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    inputs: list["Artifact"] = field(default_factory=list)
    outputs: list["Artifact"] = field(default_factory=list)
    created_at: str = field(default_factory=now)
    id: str = field(default_factory=lambda: new_id("Run"))

    project_id = 1
    sweep_name = None
    read_only = False
    system_metrics = "{}"
    log_line_count = events_line_count = 0
    events_tail = "[]"
    user = {"id": "user", "name": "Ann", "username": "ann"}  # noqa: RUF012 - never changed

    @property
    def heartbeat_at(self) -> str:
        return self.created_at

    @property
    def history_line_count(self) -> int:
        return len(self.history)

    @property
    def history_keys(self) -> dict[str, Any]:
        keys = {key for row in self.history for key in row}
        return {"lastStep": len(self.history), "keys": {key: {"typeCounts": []} for key in keys}}

    @property
    def summary_metrics(self) -> str:
        return json.dumps(self.summary)

    @property
    def history_tail(self) -> str:
        return json.dumps([json.dumps(row) for row in self.history[-1:]])

    def wandb_config(self, keys: Sequence[str]) -> str:
        """What the SDK keeps in the configuration for itself; a run that has it can be resumed."""
        ours = json.loads(self.config).get("_wandb", {}).get("value", {})
        return json.dumps({key: ours[key] for key in keys if key in ours})

    @property
    def parameters(self) -> dict[str, Any]:
        """The configuration as the notebook gave it, without W&B's own keys."""
        return {key: entry["value"] for key, entry in json.loads(self.config).items() if key != "_wandb"}

    def input_artifacts(self, **_: Any) -> dict[str, Any]:
        return page(self.inputs)

    def output_artifacts(self, **_: Any) -> dict[str, Any]:
        return page(self.outputs)

    def stream(self, message: dict[str, Any]) -> None:
        """Take one message of the file stream."""
        for name, part in message.get("files", {}).items():
            lines = [json.loads(line) for line in part["content"]] if name.endswith((".jsonl", ".json")) else []
            if name == "wandb-history.jsonl":
                self.history[part["offset"] :] = lines
            elif name == "wandb-summary.json" and lines:
                self.summary = lines[-1]
        if message.get("complete"):
            self.exit_code = message.get("exitcode", 0)
            self.state = "failed" if self.exit_code else "finished"


@dataclass(eq=False)
class Artifact:
    """One version of a collection; it has a number, and is seen, only once it is committed."""

    artifact_sequence: "Collection"
    digest: str
    metadata: str
    created_by: Run
    description: str | None = None
    version_index: int | None = None
    state: str = "PENDING"
    aliases_at_commit: list[str] = field(default_factory=list)
    manifest: bytes = b""
    blobs: dict[str, bytes] = field(default_factory=dict)
    created_at: str = field(default_factory=now)
    updated_at: str = field(default_factory=now)
    id: str = field(default_factory=lambda: new_id("Artifact"))

    ttl_duration_seconds = -2
    ttl_is_inherited = True
    commit_hash = history_step = None
    tags: Sequence[str] = ()

    @property
    def artifact_type(self) -> "ArtifactType":
        return self.artifact_sequence.default_artifact_type

    @property
    def described(self) -> dict[str, Any]:
        """The metadata as an object."""
        return dict(json.loads(self.metadata))

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        """The manifest's files: path → digest and size."""
        contents: dict[str, dict[str, Any]] = json.loads(self.manifest or b'{"contents": {}}')["contents"]
        return contents

    @property
    def size(self) -> int:
        return sum(entry["size"] for entry in self.entries.values())

    @property
    def file_count(self) -> int:
        return len(self.entries)

    @property
    def version(self) -> str:
        return f"v{self.version_index}"

    @property
    def aliases(self) -> list["Alias"]:
        return [alias for alias in self.artifact_sequence.standing() if alias.artifact is self]

    @property
    def current_manifest(self) -> dict[str, Any]:
        return {"id": self.id, "file": {"id": self.id, "direct_url": f"{self._store.url}/manifests/{self.id}"}}

    @property
    def used_by(self) -> dict[str, Any]:
        runs = self.artifact_sequence.project.runs_by_name.values()
        return page(run for run in runs if self in run.inputs)

    @property
    def _store(self) -> "Store":
        return self.artifact_sequence.project.store

    def file(self, path: str) -> dict[str, Any]:
        """A committed file, with the address to fetch it from."""
        url = f"{self._store.url}/blobs/{self.id}/{path}"
        entry = self.entries[path]
        return {
            "id": f"{self.id}/{path}",
            "name": path,
            "display_name": path,
            "direct_url": url,
            "url": url,
            "size_bytes": entry["size"],
            "digest": entry["digest"],
            "md5": entry["digest"],
            "storage_path": path,
            "updated_at": self.updated_at,
        }

    def commit(self) -> None:
        """Give the version its number once every file of its manifest is here, whole."""
        for path, entry in self.entries.items():
            digest = base64.b64encode(hashlib.md5(self.blobs.get(path, b""), usedforsecurity=False).digest()).decode()
            if path not in self.blobs or digest != entry["digest"]:
                raise RefusedError(f"file {path} of the artifact was not uploaded")
        if self.state == "PENDING":
            self.version_index = next(self.artifact_sequence.numbers)
            self.state = "COMMITTED"
        self.artifact_sequence.where.update(dict.fromkeys(self.aliases_at_commit, self))


@dataclass(eq=False)
class Alias:
    """An alias where it stands."""

    alias: str
    artifact: Artifact

    @property
    def id(self) -> str:
        return f"{self.artifact.id}/{self.alias}"

    @property
    def artifact_collection(self) -> "Collection":
        return self.artifact.artifact_sequence


@dataclass(eq=False)
class Collection:
    """An artifact sequence: numbered versions of one thing; an alias stands on one version at most."""

    name: str
    default_artifact_type: "ArtifactType"
    project: "Project"
    versions: list[Artifact] = field(default_factory=list)
    where: dict[str, Artifact] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)  # aliases that do not move, whatever is answered
    numbers: Any = field(default_factory=count)
    created_at: str = field(default_factory=now)
    id: str = field(default_factory=lambda: new_id("ArtifactCollection"))

    __typename = "ArtifactSequence"
    description = None
    digest_algorithm = "MANIFEST_MD5"
    tags = {"edges": ()}  # noqa: RUF012 - never changed

    @property
    def updated_at(self) -> str:
        return self.created_at

    @property
    def committed(self) -> list[Artifact]:
        return [artifact for artifact in self.versions if artifact.state == "COMMITTED"]

    @property
    def latest_artifact(self) -> Artifact | None:
        return self.committed[-1] if self.committed else None

    def standing(self) -> list[Alias]:
        """Every alias with the version on which it stands."""
        return [Alias(alias, artifact) for alias, artifact in self.where.items() if artifact.state == "COMMITTED"]

    def aliases(self, **_: Any) -> dict[str, Any]:
        return page(self.standing())

    def artifacts(self, **_: Any) -> dict[str, Any]:
        connection = page(reversed(self.committed))
        for edge in connection["edges"]:
            edge["version"] = edge["node"].version
        return connection

    def find(self, selector: str) -> Artifact | None:
        """The committed version with this alias or number."""
        if (artifact := self.where.get(selector)) and artifact.state == "COMMITTED":
            return artifact
        return next((artifact for artifact in self.committed if artifact.version == selector), None)

    def artifact_membership(self, alias_name: str) -> "Membership | None":
        artifact = self.find(alias_name)
        return Membership(self, artifact) if artifact else None


@dataclass(eq=False)
class Membership:
    """A version as seen through a collection: its own, or a registry's that links to it."""

    artifact_collection: Collection
    artifact: Artifact

    @property
    def id(self) -> str:
        return f"{self.artifact_collection.id}/{self.artifact.id}"

    @property
    def version_index(self) -> int | None:
        return self.artifact.version_index

    @property
    def created_at(self) -> str:
        return self.artifact.created_at

    @property
    def aliases(self) -> list[Alias]:
        return [alias for alias in self.artifact_collection.standing() if alias.artifact is self.artifact]

    def files(self, names: Sequence[str] | None = None, **_: Any) -> dict[str, Any]:
        return page(self.artifact.file(path) for path in self.artifact.entries if names is None or path in names)


@dataclass(eq=False)
class ArtifactType:
    """All collections of one type in a project."""

    name: str
    project: "Project"
    created_at: str = field(default_factory=now)
    id: str = field(default_factory=lambda: new_id("ArtifactType"))

    description = None

    def artifact_collection(self, name: str) -> Collection | None:
        found = self.project.artifact_collection(name)
        return found if found and found.default_artifact_type is self else None

    def artifact_collections(self, **_: Any) -> dict[str, Any]:
        collections = self.project.collections.values()
        return page(each for each in collections if each.default_artifact_type is self)


@dataclass(eq=False)
class Project:
    """Runs and collections under ENTITY/NAME."""

    name: str
    entity: Entity
    store: "Store"
    runs_by_name: dict[str, Run] = field(default_factory=dict)
    collections: dict[str, Collection] = field(default_factory=dict)
    types: dict[str, ArtifactType] = field(default_factory=dict)
    id: str = field(default_factory=lambda: new_id("Project"))

    internal_id = "1"
    read_only = False

    @property
    def entity_name(self) -> str:
        return self.entity.name

    def run(self, name: str) -> Run | None:
        return self.runs_by_name.get(name)

    def bucket(self, name: str, **_: Any) -> Run | None:
        return self.run(name)

    def runs(self, **_: Any) -> dict[str, Any]:
        return page(self.runs_by_name.values())

    def run_count(self, **_: Any) -> int:
        return len(self.runs_by_name)

    def artifact_type(self, name: str) -> ArtifactType | None:
        return self.types.get(name)

    def artifact_types(self, **_: Any) -> dict[str, Any]:
        return page(self.types.values())

    def artifact_collection(self, name: str) -> Collection | None:
        return self.collections.get(name)

    def artifact_collection_membership(self, name: str) -> Membership | None:
        collection, _, selector = name.partition(":")
        found = self.collections.get(collection)
        return found.artifact_membership(selector or "latest") if found else None

    def artifact(self, name: str) -> Artifact | None:
        membership = self.artifact_collection_membership(name)
        return membership.artifact if membership else None

    def version(self, name: str) -> Artifact:
        """A version that must be there."""
        if (found := self.artifact(name)) is None:
            raise RefusedError(f"artifact {name} not found", 404)
        return found

    def collection_to_write(self, name: str, type_name: str) -> Collection:
        """The collection of this name, made when new; W&B refuses another type for an old one."""
        artifact_type = self.types.setdefault(type_name, ArtifactType(type_name, self))
        collection = self.collections.setdefault(name, Collection(name, artifact_type, self))
        if collection.default_artifact_type is not artifact_type:
            raise RefusedError(f"artifact collection {name} is of type {collection.default_artifact_type.name}", 409)
        return collection


class Store:
    """Everything on the server, and GraphQL's root: one method for each query and mutation."""

    def __init__(self) -> None:
        self.url = ""
        self.entities: dict[str, Entity] = {}
        self.projects: dict[tuple[str, str], Project] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.by_client_id: dict[str, Artifact] = {}

    def add_entity(self, name: str, organization: Organization | None = None) -> Entity:
        """An account that the key may write to."""
        return self.entities.setdefault(name, Entity(name, organization))

    def add_project(self, entity: str, name: str) -> Project:
        """The project, made when new; W&B makes one for a run the same way."""
        if entity not in self.entities:
            raise RefusedError(f"entity {entity} not found", 404)
        return self.projects.setdefault((entity, name), Project(name, self.entities[entity], self))

    # --- queries

    def viewer(self) -> dict[str, Any]:
        names = list(self.entities)
        user = {"id": "user", "name": "Ann", "username": "ann", "email": "ann@example.org", "flags": "{}"}
        return user | {"admin": False, "entity": names[0], "teams": page({"name": name} for name in names[1:])}

    def server_info(self) -> dict[str, Any]:
        enabled = (
            "ARTIFACT_MEMBERSHIP_IN_LINK_ARTIFACT_RESPONSE",
            "MARK_RUN_FILES_UPLOADED",
            "TOTAL_COUNT_IN_FILE_CONNECTION",
        )
        return {"features": [{"name": name, "is_enabled": True} for name in enabled]}

    def entity(self, name: str) -> Entity | None:
        return self.entities.get(name)

    def organization(self, name: str) -> Organization | None:
        organizations = (entity.organization for entity in self.entities.values() if entity.organization)
        return next((each for each in organizations if each.name == name), None)

    def project(self, name: str | None = None, entity_name: str | None = None) -> Project | None:
        return self.projects.get((entity_name or next(iter(self.entities)), name or "uncategorized"))

    model = project

    def artifact(self, id: str) -> Artifact | None:
        found = self.artifacts.get(id)
        return found if found and found.state != "DELETED" else None

    def artifact_collection(self, id: str) -> Collection | None:
        collections = (each for project in self.projects.values() for each in project.collections.values())
        return next((collection for collection in collections if collection.id == id), None)

    # --- runs

    def upsert_bucket(self, input: dict[str, Any]) -> dict[str, Any]:
        entity = input.get("entity_name") or next(iter(self.entities))
        project = self.add_project(entity, input.get("model_name") or "uncategorized")
        run = next((run for run in project.runs_by_name.values() if run.id == input.get("id")), None)
        inserted = run is None and input.get("name") not in project.runs_by_name
        if run is None:
            name = input.get("name") or f"run{next(_ids)}"
            run = project.runs_by_name.setdefault(name, Run(name, project, display_name=f"vivid-cork-{next(_ids)}"))
        given = {"group": input.get("group_name")} | {
            name: input.get(name)
            for name in ("display_name", "description", "notes", "job_type", "commit", "tags", "config", "state")
        }
        for name, value in given.items():
            if value is not None:
                setattr(run, name, value)
        return {"bucket": run, "inserted": inserted}

    def upsert_model(self, input: dict[str, Any]) -> dict[str, Any]:
        project = self.add_project(input["entity_name"], input["name"])
        return {"project": project, "model": project, "inserted": True}

    def create_run_files(self, input: dict[str, Any]) -> dict[str, Any]:
        run = self.run(input["entity_name"], input["project_name"], input["run_name"])
        where = f"{self.url}/run-files/{run.project.entity.name}/{run.project.name}/{run.name}"
        return {
            "run_id": run.id,
            "upload_headers": [],
            "files": [{"id": name, "name": name, "upload_url": f"{where}/{name}"} for name in input["files"]],
        }

    def mark_run_files_uploaded(self, input: dict[str, Any]) -> dict[str, Any]:
        run = self.run(input["entity_name"], input["project_name"], input["run_name"])
        return {"success": all(name in run.files for name in input["files"])}

    def notify_scriptable_run_alert(self, input: dict[str, Any]) -> dict[str, Any]:
        run = self.run(input["entity_name"], input["project_name"], input["run_name"])
        run.alerts.append((input["title"], input["text"]))
        return {"success": True}

    def run(self, entity: str, project: str, name: str) -> Run:
        """A run that must be there."""
        found = self.projects.get((entity, project))
        if found is None or name not in found.runs_by_name:
            raise RefusedError(f"run {entity}/{project}/{name} not found", 404)
        return found.runs_by_name[name]

    # --- artifacts

    def create_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        run = self.run(input["entity_name"], input["project_name"], input["run_name"])
        collection = run.project.collection_to_write(input["artifact_collection_name"], input["artifact_type_name"])
        artifact = next((each for each in collection.committed if each.digest == input["digest"]), None)
        if artifact is None:
            artifact = Artifact(collection, input["digest"], input.get("metadata") or "{}", created_by=run)
            artifact.description = input.get("description")
            collection.versions.append(artifact)
            self.artifacts[artifact.id] = artifact
        self.by_client_id[input["client_id"]] = artifact
        if artifact not in run.outputs:
            run.outputs.append(artifact)
        artifact.aliases_at_commit = [alias["alias"] for alias in input.get("aliases") or ()]
        if artifact.state == "COMMITTED":
            artifact.commit()
        return {"artifact": artifact}

    def create_artifact_manifest(self, input: dict[str, Any]) -> dict[str, Any]:
        artifact = self._artifact(input["artifact_id"])
        url = f"{self.url}/manifests/{artifact.id}"
        return {
            "artifact_manifest": {
                "id": artifact.id,
                "file": {"id": artifact.id, "upload_url": url, "upload_headers": []},
            }
        }

    def create_artifact_files(self, input: dict[str, Any]) -> dict[str, Any]:
        return {
            "files": page(
                {
                    "id": f"{spec['artifact_id']}/{spec['name']}",
                    "storage_path": spec["name"],
                    "upload_url": f"{self.url}/blobs/{spec['artifact_id']}/{spec['name']}",
                    "upload_headers": [],
                    "upload_multipart_urls": None,
                    "artifact": self._artifact(spec["artifact_id"]),
                }
                for spec in input["artifact_files"]
            )
        }

    def commit_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        artifact = self._artifact(input["artifact_id"])
        artifact.commit()
        return {"artifact": artifact}

    def update_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        artifact = self._artifact(input["artifact_id"])
        for name in ("metadata", "description"):
            if input.get(name) is not None:
                setattr(artifact, name, input[name])
        artifact.updated_at = now()
        return {"artifact": artifact}

    def delete_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        artifact = self._artifact(input["artifact_id"])
        if artifact.aliases and not input.get("delete_aliases"):
            raise RefusedError("cannot delete artifact with aliases", 409)
        artifact.state = "DELETED"
        return {"artifact": artifact}

    def use_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        artifact = self._artifact(input["artifact_id"])
        run = self.run(input["entity_name"], input["project_name"], input["run_name"])
        if artifact not in run.inputs:
            run.inputs.append(artifact)
        return {"artifact": artifact}

    def add_aliases(self, input: dict[str, Any]) -> dict[str, Any]:
        artifact = self._artifact(input["artifact_id"])
        for alias in input["aliases"]:
            collection = self._collection(alias)
            if alias["alias"] not in collection.protected:
                collection.where[alias["alias"]] = artifact
        return {"success": True}

    def delete_aliases(self, input: dict[str, Any]) -> dict[str, Any]:
        artifact = self._artifact(input["artifact_id"])
        for alias in input["aliases"]:
            where = self._collection(alias).where
            if where.get(alias["alias"]) is artifact:
                del where[alias["alias"]]
        return {"success": True}

    def link_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        artifact = self._artifact(input.get("artifact_id") or self.by_client_id[input["client_id"]].id)
        project = self.add_project(input["entity_name"], input["project_name"])
        target = project.collection_to_write(input["artifact_portfolio_name"], artifact.artifact_type.name)
        if artifact not in target.versions:
            target.versions.append(artifact)
        for alias in input.get("aliases") or ():
            target.where[alias["alias"]] = artifact
        return {"version_index": target.versions.index(artifact), "artifact_membership": Membership(target, artifact)}

    def _artifact(self, id: str) -> Artifact:
        if (artifact := self.artifact(id)) is None:
            raise RefusedError(f"artifact {id} not found", 404)
        return artifact

    def _collection(self, alias: dict[str, Any]) -> Collection:
        return self.projects[alias["entity_name"], alias["project_name"]].collections[alias["artifact_collection_name"]]


def snake(name: str) -> str:
    """GraphQL's camelCase as Python's snake_case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()

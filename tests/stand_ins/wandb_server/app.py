"""The HTTP side: GraphQL, the file stream, uploads and downloads, and the faults that a test can switch on."""

import asyncio
import base64
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from graphql import GraphQLResolveInfo, build_schema, execute_sync, parse, validate
from graphql.language import DocumentNode, FieldNode, OperationDefinitionNode, OperationType
from starlette.requests import ClientDisconnect

from tests.stand_ins.wandb_server.store import RefusedError, Store, snake
from wine_serving.registry.wandb_sdk import QUIET

ENTITY = "cellar"
KEY = "k" * 40  # the only key that the server accepts
SCHEMA = build_schema((Path(__file__).parent / "schema.graphql").read_text())


@dataclass
class Faults:
    """What goes wrong, by the name of a GraphQL operation or one of "upload", "download", "file_stream"."""

    hang: set[str] = field(default_factory=set)  # never answered, as long as the test runs; "everything" for all
    errors: dict[str, str] = field(default_factory=dict)  # answered with this message in GraphQL's `errors`
    before: dict[str, Callable[[], object]] = field(default_factory=dict)  # happens once, just before the operation
    change: Callable[[str], object] | None = None  # happens before each mutation; may raise ClientDisconnect: not made
    slow: float = 0  # seconds that every answer takes
    refuse_uploads: bool = False  # a bucket that answers 403
    lose_uploads: bool = False  # a bucket that answers 200 and keeps nothing


class WandbServer:
    """A small W&B: what it stores, what goes wrong, and what it was asked that it does not know."""

    def __init__(self) -> None:
        self.store = Store()
        self.store.add_entity(ENTITY)
        self.app = self._routes()
        self.start_anew("wines")

    def start_anew(self, project_name: str) -> None:
        """No faults, nothing recorded, and an empty project."""
        self.faults = Faults()
        self.unknown: list[str] = []
        self.operations: list[str] = []  # the names of GraphQL's operations, in the order of arrival
        self.arrived: dict[str, threading.Event] = defaultdict(threading.Event)
        self.project = self.store.add_project(ENTITY, project_name)

    @property
    def place(self) -> str:
        """The project, as in WINE_REGISTRY after `wandb:`."""
        return f"{ENTITY}/{self.project.name}"

    def environment(self, home: Path) -> dict[str, str]:
        """The variables that point the SDK here, quietly, with its files in `home`."""
        directories = {f"WANDB_{name}": str(home) for name in ("DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR")}
        return (
            QUIET
            | directories
            | {"WANDB_BASE_URL": self.store.url, "WANDB_API_KEY": KEY, "WINE_REGISTRY": f"wandb:{self.place}"}
        )

    def _routes(self) -> FastAPI:
        app = FastAPI(openapi_url=None, exception_handlers={RefusedError: refused, ClientDisconnect: gone})
        app.post("/graphql")(self.graphql)
        app.post("/files/{entity}/{project}/{run}/file_stream")(self.file_stream)
        app.put("/run-files/{entity}/{project}/{run}/{name:path}")(self.put_run_file)
        app.get("/run-files/{entity}/{project}/{run}/{name:path}")(self.get_run_file)
        app.put("/manifests/{id}")(self.put_manifest)
        app.get("/manifests/{id}")(self.get_manifest)
        app.put("/blobs/{id}/{path:path}")(self.put_blob)
        app.get("/blobs/{id}/{path:path}")(self.get_blob)
        app.post("/sdk/otel/v1/metrics")(self.telemetry)
        app.api_route("/{path:path}", methods=["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH"])(self.other)
        return app

    # --- GraphQL

    async def graphql(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Basic {base64.b64encode(f'api:{KEY}'.encode()).decode()}":
            return JSONResponse({"errors": [{"message": "user is not logged in"}]}, 401)
        body = await request.json()
        document, broken = read(body["query"])
        name = operation_name(document)
        self.operations.append(name)
        await self._happen(name)
        if self.faults.change and is_mutation(document):
            self.faults.change(name)
        if name in self.faults.errors:
            return JSONResponse({"data": None, "errors": [{"message": self.faults.errors[name]}]})
        if broken:
            return self._unknown(f"{name}: {broken}")
        return self._execute(name, document, body.get("variables"))

    def _execute(self, name: str, document: DocumentNode, variables: dict[str, Any] | None) -> Response:
        result = execute_sync(
            SCHEMA,
            document,
            self.store,
            variable_values=variables,
            field_resolver=resolve,
            type_resolver=collection_type,
        )
        status = 200
        for error in result.errors or ():
            if not isinstance(error.original_error, RefusedError):
                return self._unknown(f"{name}({variables}): {error}")
            status = error.original_error.status
        answer: dict[str, Any] = {"data": result.data}
        if result.errors:
            answer["errors"] = [error.formatted for error in result.errors]
        return JSONResponse(answer, status)

    # --- everything else

    async def file_stream(self, entity: str, project: str, run: str, request: Request) -> Response:
        await self._happen("file_stream")
        self.store.run(entity, project, run).stream(await request.json())
        return JSONResponse({})

    async def put_run_file(self, entity: str, project: str, run: str, name: str, request: Request) -> Response:
        if (body := await self._uploaded(request)) is not None:
            self.store.run(entity, project, run).files[name] = body
        return Response(status_code=403 if self.faults.refuse_uploads else 200)

    async def get_run_file(self, entity: str, project: str, run: str, name: str) -> Response:
        await self._happen("download")
        return stored(self.store.run(entity, project, run).files.get(name))

    async def put_manifest(self, id: str, request: Request) -> Response:
        self.store.artifacts[id].manifest = await request.body()
        return Response()

    async def get_manifest(self, id: str) -> Response:
        return Response(self.store.artifacts[id].manifest)

    async def put_blob(self, id: str, path: str, request: Request) -> Response:
        if (body := await self._uploaded(request)) is not None:
            self.store.artifacts[id].blobs[path] = body
        return Response(status_code=403 if self.faults.refuse_uploads else 200)

    async def get_blob(self, id: str, path: str) -> Response:
        await self._happen("download")
        return stored(self.store.artifacts[id].blobs.get(path))

    async def telemetry(self) -> Response:
        return Response(status_code=404)

    async def other(self, request: Request) -> Response:
        return self._unknown(f"{request.method} {request.url.path}")

    async def _uploaded(self, request: Request) -> bytes | None:
        await self._happen("upload")
        body = await request.body()
        return None if self.faults.lose_uploads or self.faults.refuse_uploads else body

    async def _happen(self, name: str) -> None:
        if change := self.faults.before.pop(name, None):
            change()
        self.arrived[name].set()
        await asyncio.sleep(self.faults.slow)
        while self.faults.hang & {name, "everything"}:  # noqa: ASYNC110 - released from the test's thread
            await asyncio.sleep(0.02)

    def _unknown(self, what: str) -> Response:
        self.unknown.append(what)
        return JSONResponse({"data": None, "errors": [{"message": f"unknown to the tests' server: {what}"}]})


@cache
def read(query: str) -> tuple[DocumentNode, str]:
    """The document, and what the schema does not know of it; once for each query, as the SDK has few and asks often."""
    document = parse(query, no_location=True)
    return document, "; ".join(error.message for error in validate(SCHEMA, document))


def operation_name(document: DocumentNode) -> str:
    """The operation's name, or its first field when it has none."""
    operation = next(each for each in document.definitions if isinstance(each, OperationDefinitionNode))
    first = operation.selection_set.selections[0]
    assert isinstance(first, FieldNode)
    return (operation.name or first.name).value


def is_mutation(document: DocumentNode) -> bool:
    """Whether the operation changes what is stored."""
    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    return operations[0].operation is OperationType.MUTATION


def resolve(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
    """The key, attribute or method of this field's name, in snake case."""
    name = snake(info.field_name)
    value = source.get(name) if isinstance(source, dict) else getattr(source, name)
    return value(**snake_keys(arguments)) if callable(value) else value


def collection_type(*_: Any) -> str:
    """The one type of collection that there is here."""
    return "ArtifactSequence"


def snake_keys(value: Any) -> Any:
    """Input objects with their keys in snake case."""
    if isinstance(value, dict):
        return {snake(key): snake_keys(each) for key, each in value.items()}
    return [snake_keys(each) for each in value] if isinstance(value, list) else value


def stored(content: bytes | None) -> Response:
    """A stored file, or 404."""
    return Response(status_code=404) if content is None else Response(content)


async def refused(_: Request, error: RefusedError) -> Response:
    """A refusal outside of GraphQL."""
    return JSONResponse({"error": str(error)}, error.status)


async def gone(_: Request, __: ClientDisconnect) -> Response:
    """The SDK gave up waiting; nobody reads this answer."""
    return Response(status_code=400)

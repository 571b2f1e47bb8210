"""Routes that are documented like any other of FastAPI, but go from the body's bytes to the answer's bytes at once."""

import inspect
import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from wine_serving.api.middleware import CALL
from wine_serving.errors import RequestRefused
from wine_serving.schema import INPUTS, Batch, Problem, Wine, problems

BODY_LIMIT: Final = 8 * 1024 * 1024  # bytes; 10,000 wines take about 3 MB


class BodyRoute(APIRoute):
    """For endpoints `(body) -> answer`.

    FastAPI parses, validates, validates the answer and encodes it in steps that together take longer than predicting;
    here pydantic-core validates the bytes, and the answer is encoded as it is. The endpoint's signature stays what the
    OpenAPI document is made from. As in FastAPI, `async def` runs in the event loop, `def` in a thread.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        (body,) = inspect.signature(endpoint).parameters.values()
        adapter: TypeAdapter[Any] = TypeAdapter(body.annotation)
        in_loop = inspect.iscoroutinefunction(endpoint)

        async def app(_: Scope, receive: Receive, send: Send) -> None:
            given = _validated(adapter, await _read(CALL.get().headers, receive))
            answer = await (endpoint(given) if in_loop else run_in_threadpool(endpoint, given))
            body = to_json(answer)
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        self.app = app


async def _read(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    kind, _, parameters = headers.get(b"content-type", b"").lower().partition(b";")
    if kind.strip() != b"application/json" or parameters.strip() not in (b"", b"charset=utf-8", b'charset="utf-8"'):
        raise RequestRefused(415, "the body must be JSON in UTF-8: send it with Content-Type: application/json")
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestRefused(400, "the caller went away before the body was complete")
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > BODY_LIMIT:
            raise RequestRefused(413, f"the body is longer than {BODY_LIMIT} bytes: send the wines in several batches")
        if not message.get("more_body", False):
            return body


def _validated(adapter: TypeAdapter[Any], body: bytes) -> Any:
    try:
        given = adapter.validate_json(body)
    except ValidationError as error:
        raise _broken_rules(error) from None
    if body.count(b":") != _fields(given):
        # Every field is required and none is text with a colon: more colons than fields are keys given twice, of which
        # any JSON parser keeps one without a word.
        raise _given_twice(body)
    return given


def _fields(given: Wine | Batch) -> int:
    return len(INPUTS) if isinstance(given, Wine) else 1 + len(INPUTS) * len(given.wines)


def _broken_rules(error: ValidationError) -> RequestRefused:
    found = problems(error)
    if error.errors()[0]["type"] == "json_invalid":
        return RequestRefused(400, f"the body is no valid JSON in UTF-8: {found[0].message}")
    where = f"row {found[0].row}: " if found[0].row is not None else ""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return RequestRefused(422, f"{where}{found[0].message}{more}", [problem._asdict() for problem in found])


def _given_twice(body: bytes) -> RequestRefused:
    pairs = json.loads(body, object_pairs_hook=list)
    found = [Problem(None, key, f"{key} is given more than once") for key in _repeated(pairs)]
    for row, wine in enumerate(dict(pairs).get("wines", [])):
        found.extend(Problem(row, key, f"{key} is given more than once") for key in _repeated(wine))
    return RequestRefused(422, found[0].message, [problem._asdict() for problem in found])


def _repeated(pairs: list[tuple[str, object]]) -> list[str]:
    return [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]
